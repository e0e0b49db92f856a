/** Tumbling windows: one minute is the finest. Times are milliseconds since 1970, UTC. */
export const WINDOW_MS = 60_000;

/** The window of a time, as minutes since 1970. */
export function minuteOf(timeMs: number): number {
  return Math.floor(timeMs / WINDOW_MS);
}

export function minuteStartMs(minute: number): number {
  return minute * WINDOW_MS;
}
