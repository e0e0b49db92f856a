/**
 * CPU time of the target's processes in each phase of a run: sampled while k6 runs, told apart
 * afterwards by when k6 says that a phase's first and last click were.
 */
import { countOf, valueOf, type K6Summary } from "./k6.ts";

const EVERY_MS = 200;
/** What a click leaves to be done: counts go out every 400 ms, raw rows every 700. */
const AFTERMATH_MS = 1_500;

type Cpu = ReadonlyMap<string, number>;

export interface CpuSamples {
  /** Of each process, at a time; what lies between two samples is taken as even. */
  at(timeMs: number): Cpu;
  stop(): Promise<void>;
}

export function sampleCpu(read: () => Promise<Cpu>): CpuSamples {
  const samples: { readonly timeMs: number; readonly cpu: Cpu }[] = [];
  let stopped = false;
  const looping = (async () => {
    while (!stopped) {
      samples.push({ cpu: await read(), timeMs: Date.now() });
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  return {
    at(timeMs) {
      const found = samples.findIndex((sample) => sample.timeMs >= timeMs);
      const after = found === -1 ? samples.length - 1 : Math.max(1, found);
      const [a, b] = [samples[after - 1]!, samples[after]!];
      const share = Math.min(1, Math.max(0, (timeMs - a.timeMs) / (b.timeMs - a.timeMs)));
      return new Map([...a.cpu].map(([name, us]) => [name, us + share * ((b.cpu.get(name) ?? us) - us)]));
    },
    async stop() {
      stopped = true;
      await looping;
    },
  };
}

/** Microseconds a click of each process whose name begins so, summed, by phase. */
export function cpuByPhase(
  samples: CpuSamples,
  summary: K6Summary,
  phases: readonly string[],
  processes: readonly string[],
): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const phase of phases) {
    const clicks = countOf(summary, `clicks_sent{scenario:${phase}}`);
    const time = `click_at_ms{scenario:${phase}}`;
    const from = samples.at(valueOf(summary, time, "min"));
    const to = samples.at(valueOf(summary, time, "max") + AFTERMATH_MS);
    for (const process of processes) {
      let us = 0;
      for (const [name, until] of to) if (name.startsWith(process)) us += until - (from.get(name) ?? 0);
      figures[`${phase}: CPU µs a click, ${process}`] = Math.round((us / clicks) * 10) / 10;
    }
  }
  return figures;
}
