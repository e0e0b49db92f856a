/** How fast clicks were sent and answered, from the clients' own record. */
import type { SentClick } from "./send.ts";

export interface Pace {
  /** Clicks with an answer; repeats are neither counted nor waited for. */
  readonly answered: number;
  /** From the first attempt of all until each of these clicks had its answer, at whichever attempt. */
  readonly tookMs: number;
  /** Clicks sent and answered, a second, over all of that time. */
  readonly perSecond: number;
}

export function paceOf(all: readonly SentClick[]): Pace {
  let answered = 0;
  let [firstMs, lastMs] = [Infinity, -Infinity];
  for (const { attempts } of all) {
    let answeredMs = Infinity;
    for (const { send, sentMs, endedMs, answer } of attempts) {
      if (send > 0) continue;
      firstMs = Math.min(firstMs, sentMs);
      if (answer !== undefined) answeredMs = Math.min(answeredMs, endedMs);
    }
    if (answeredMs === Infinity) continue;
    answered += 1;
    lastMs = Math.max(lastMs, answeredMs);
  }
  const tookMs = answered === 0 ? 0 : lastMs - firstMs;
  return { answered, tookMs, perSecond: tookMs === 0 ? 0 : (answered / tookMs) * 1_000 };
}
