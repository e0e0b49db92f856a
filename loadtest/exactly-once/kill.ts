/**
 * Kills the program while clicks come, and starts it again on the same folder at once: at
 * random moments of the traffic, and now and then while it is still starting. In between it is
 * stopped in good order a few times, so that a kill meets saved state and not the log alone. The
 * ClickHouse engine's process is killed by itself as well, the last time just when all is
 * sent: no later click papers over what it failed to take then.
 */
import type { SeededRandom } from "../../actors/sim/random.ts";
import { beginProgram, enginePid, type Place, type Program } from "../lib/program.ts";
import { sleep, until } from "../lib/wait.ts";

const ENGINE_DEADLINE_MS = 30_000;
/** Of the program's kills, every fourth is followed by one more before it serves again. */
const KILLED_AGAIN = 4;
const AFTER_ALL = 2;

export interface Kill {
  readonly what: "program" | "program, while it started" | "program, with SIGTERM" | "engine";
  /** Since the first click. */
  readonly atMs: number;
  readonly afterClicks: number;
  /** Until it served again; undefined: it was killed once more before that. */
  readonly recoveryMs: number | undefined;
}

export interface KillOptions {
  readonly place: Place;
  readonly program: Program;
  readonly clicks: number;
  readonly kills: number;
  readonly stops: number;
  readonly engineKills: number;
  readonly random: SeededRandom;
  readonly released: () => number;
  /** Settles once every click has had its answer, or has been given up. */
  readonly allSent: Promise<unknown>;
  readonly say: (line: string) => void;
}

/** Resolves with the program that runs at the end, and every kill. */
export async function killAgainAndAgain(
  options: KillOptions,
): Promise<{ readonly program: Program; readonly kills: readonly Kill[] }> {
  const { place, clicks, random, released, say } = options;
  const startedAt = performance.now();
  const kills: Kill[] = [];
  let program = options.program;
  const anyTime = () => 0.03 + 0.92 * random.next();
  const moments = [
    ...Array.from({ length: options.kills }, () => ({ what: "kill", share: anyTime() })),
    ...Array.from({ length: options.stops }, () => ({ what: "stop", share: anyTime() })),
    ...Array.from({ length: options.engineKills }, (_, i) => ({
      what: "engine",
      share: i === 0 ? AFTER_ALL : anyTime(),
    })),
  ].sort((a, b) => a.share - b.share);

  function record(kill: Kill): void {
    kills.push(kill);
    const { what, afterClicks, atMs, recoveryMs } = kill;
    const then = recoveryMs === undefined ? "" : `, served again after ${Math.round(recoveryMs)} ms`;
    say(`  ended ${what} after ${afterClicks} clicks (${(atMs / 1_000).toFixed(1)} s)${then}`);
  }

  async function killProgram(afterClicks: number, whileStarting: boolean): Promise<void> {
    const { startMs } = program;
    let killedAt = performance.now();
    let what: Kill["what"] = "program";
    await program.kill();
    let starting = beginProgram(place);
    if (whileStarting) {
      record({ what, atMs: killedAt - startedAt, afterClicks, recoveryMs: undefined });
      await sleep(random.next() * startMs);
      killedAt = performance.now();
      what = "program, while it started";
      await starting.kill();
      starting = beginProgram(place);
    }
    program = await starting.ready;
    const recoveryMs = performance.now() - killedAt;
    record({ what, atMs: killedAt - startedAt, afterClicks, recoveryMs });
  }

  async function stopProgram(afterClicks: number): Promise<void> {
    const stoppedAt = performance.now();
    await program.stop();
    program = await beginProgram(place).ready;
    const recoveryMs = performance.now() - stoppedAt;
    record({ what: "program, with SIGTERM", atMs: stoppedAt - startedAt, afterClicks, recoveryMs });
  }

  async function killEngine(afterClicks: number): Promise<void> {
    const pid = await until("the engine's process", ENGINE_DEADLINE_MS, () => enginePid(program));
    const killedAt = performance.now();
    process.kill(pid, "SIGKILL");
    await until("the engine serving again", ENGINE_DEADLINE_MS, async () => {
      const next = await enginePid(program);
      if (next === undefined || next === pid) return undefined;
      return (await fetch(`${program.clickhouseUrl}/ping`)).ok ? true : undefined;
    });
    const atMs = killedAt - startedAt;
    record({ what: "engine", atMs, afterClicks, recoveryMs: performance.now() - killedAt });
  }

  let programKills = 0;
  try {
    for (const { what, share } of moments) {
      if (share === AFTER_ALL) await options.allSent;
      while (released() < Math.min(clicks, Math.floor(clicks * share))) await sleep(5);
      await sleep(random.next() * 50);
      if (what === "engine") await killEngine(released());
      else if (what === "stop") await stopProgram(released());
      else if (programKills < options.kills) {
        programKills += 1;
        // A kill in mid-start is one kill more: it takes the place of a later one.
        const again = programKills < options.kills && programKills % KILLED_AGAIN === 2;
        if (again) programKills += 1;
        await killProgram(released(), again);
      }
    }
  } catch (error) {
    // The caller knows only the program that it started.
    await program.kill();
    throw error;
  }
  return { program, kills };
}
