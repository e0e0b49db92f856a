/** Pauses that double from one failure to the next, up to a bound, each somewhere in its upper half. */
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";

export interface Backoff {
  /** Failures in a row. */
  readonly failures: number;
  /** Counts a failure. Resolves after its pause, or when the signal says so. */
  pause(signal?: AbortSignal): Promise<void>;
  /** Counts a failure; how long to wait after it. */
  nextMs(): number;
  reset(): void;
}

export interface BackoffDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly minMs?: number;
  readonly maxMs?: number;
}

export function createBackoff({ clock, random, minMs = 200, maxMs = 30_000 }: BackoffDeps): Backoff {
  let failures = 0;
  function nextMs(): number {
    const longest = Math.min(maxMs, minMs * 2 ** Math.min(failures, 20));
    failures += 1;
    return longest * (0.5 + random(2).readUInt16BE() / 131_072);
  }
  return {
    get failures() {
      return failures;
    },
    nextMs,
    pause(signal) {
      return new Promise((resolve) => {
        const end = (): void => {
          timer.cancel();
          signal?.removeEventListener("abort", end);
          resolve();
        };
        const timer = clock.after(nextMs(), end);
        if (signal?.aborted === true) end();
        else signal?.addEventListener("abort", end, { once: true });
      });
    },
    reset() {
      failures = 0;
    },
  };
}
