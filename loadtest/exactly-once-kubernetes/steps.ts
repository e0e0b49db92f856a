/**
 * What is done to the cluster, one after the other or at the same time, and what clients saw of each
 * while it lasted: that is read from their own record afterwards.
 *
 *  I5 A step that did nothing is no step: each returns its proof, or throws.
 */
import type { SentClick } from "../exactly-once/send.ts";

export interface Step {
  readonly what: string;
  /** No valid click may miss its redirect at its first attempt meanwhile. */
  readonly keepsRedirects: boolean;
  /** Wall time. */
  readonly fromMs: number;
  readonly untilMs: number;
  readonly proof: string;
}

export interface Steps {
  readonly done: readonly Step[];
  run(what: string, keepsRedirects: boolean, work: () => Promise<string>): Promise<void>;
}

export function createSteps(say: (line: string) => void): Steps {
  const done: Step[] = [];
  return {
    done,
    async run(what, keepsRedirects, work) {
      const fromMs = Date.now();
      say(`${what} …`);
      const proof = await work();
      const untilMs = Date.now();
      done.push({ what, keepsRedirects, fromMs, untilMs, proof });
      say(`  done in ${((untilMs - fromMs) / 1_000).toFixed(1)} s: ${proof}`);
    },
  };
}

export interface Seen {
  readonly clicks: number;
  /** Valid clicks over HTTP, and those that were not redirected at that attempt. */
  readonly redirects: number;
  readonly failed: number;
  /** Clicks sent before it began and again after it had: repeats, and what was asked for again. */
  readonly straddling: number;
}

/** A little longer than the step itself: a connection may break when all looks well again. */
const AFTER_MS = 2_000;

/** `steps`: all of them; what one of them excuses is not laid at another's door. */
export function seenDuring(step: Step, steps: readonly Step[], all: readonly SentClick[]): Seen {
  const { fromMs, untilMs } = step;
  const others = steps.filter((each) => each !== step && !each.keepsRedirects);
  let [clicks, redirects, failed, straddling] = [0, 0, 0, 0];
  for (const { click, attempts } of all) {
    const within = attempts.filter(({ sentMs, endedMs }) => endedMs >= fromMs && sentMs < untilMs + AFTER_MS);
    clicks += within.length;
    if (attempts.some(({ sentMs }) => sentMs < fromMs) && attempts.some(({ sentMs }) => sentMs >= fromMs))
      straddling += 1;
    if (click.kind !== "valid") continue;
    for (const { way, answer, sentMs, endedMs } of within) {
      if (way !== "http" || others.some((other) => endedMs >= other.fromMs && sentMs < other.untilMs))
        continue;
      redirects += 1;
      if (answer !== "redirected") failed += 1;
    }
  }
  return { clicks, redirects, failed, straddling };
}
