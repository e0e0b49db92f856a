/** What would be said for each click of an outage, said once in a while, with how often it was not. */
import type { Clock } from "./clock.ts";

/** `say` is called with the number of calls under this name that were suppressed since the last. */
export type Throttle = (name: string, say: (suppressed: number) => void) => void;

export function createThrottle(clock: Clock, everyMs: number): Throttle {
  const said = new Map<string, { atMs: number; suppressed: number }>();
  return (name, say) => {
    const now = clock.monotonic();
    const last = said.get(name);
    if (last !== undefined && now - last.atMs < everyMs) {
      last.suppressed += 1;
      return;
    }
    said.set(name, { atMs: now, suppressed: 0 });
    say(last?.suppressed ?? 0);
  };
}
