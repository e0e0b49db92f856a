/** How fast a number that only rises has risen of late. */
import type { Clock } from "./clock.ts";

export interface RecentRate {
  /** Over the last `spanMs`, or since the beginning where that is later. */
  perSecond(): number;
  close(): void;
}

const STEPS = 10;

export function createRecentRate(clock: Clock, spanMs: number, read: () => number): RecentRate {
  const seen = [{ atMs: clock.monotonic(), value: read() }];
  const timer = clock.every(spanMs / STEPS, () => {
    const atMs = clock.monotonic();
    seen.push({ atMs, value: read() });
    while (seen.length > 2 && seen[1]!.atMs <= atMs - spanMs) seen.shift();
  });
  return {
    perSecond() {
      const { atMs, value } = seen[0]!;
      const elapsedMs = clock.monotonic() - atMs;
      return elapsedMs > 0 ? ((read() - value) * 1_000) / elapsedMs : 0;
    },
    close: () => timer.cancel(),
  };
}
