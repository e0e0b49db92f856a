/** How long an actor waits before it tries its log again. */
const FIRST_MS = 20;
const LAST_MS = 2_000;

/** Wait before retry 1, 2, 3 …: doubling, capped. One caller at a time waits on its own log, so no jitter spreads a herd. */
export function backoffMs(retry: number): number {
  return Math.min(LAST_MS, FIRST_MS * 2 ** (retry - 1));
}
