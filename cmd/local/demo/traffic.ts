/**
 * The demo's present: clicks on the ads of its history, at the rate at which that went on, sent to
 * this very program as browsers send them. Each is issued, clicked and counted like any other;
 * some are sent twice.
 *
 *  T1 One second's clicks are under way at a time: a program that is slow is not made slower.
 */
import { issueImpressions, type IssueDeps } from "../../../actors/placement/issue.ts";
import type { Clock } from "../../../actors/runtime/clock.ts";
import { HISTORY_ADS, poisson, rateAt } from "./history.ts";

export interface TrafficDeps extends IssueDeps {
  readonly clock: Clock;
  /** Where this program serves. */
  readonly url: string;
}

const EVERY_MS = 1_000;
const PER_MINUTE = 60_000 / EVERY_MS;
const ANSWER_MS = 5_000;
const SENT_TWICE = 0.03;

/** Returns what ends it. */
export function startTraffic(deps: TrafficDeps): () => void {
  const { clock, url } = deps;
  const random = () => deps.random(4).readUInt32LE() / 4_294_967_296;
  const send = async (token: string): Promise<void> => {
    const response = await fetch(`${url}/click?i=${token}`, {
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await response.body?.cancel();
  };
  const second = async (): Promise<void> => {
    for (const ad of HISTORY_ADS) {
      const nowMs = clock.now();
      const clicks = poisson(rateAt(ad, nowMs) / PER_MINUTE, random);
      if (clicks === 0) continue;
      for (const { tokenText } of issueImpressions(deps, ad.adId, clicks, nowMs, nowMs)) {
        await send(tokenText);
        if (random() < SENT_TWICE) await send(tokenText);
      }
    }
  };
  let isUnderWay = false;
  const timer = clock.every(EVERY_MS, () => {
    if (isUnderWay) return;
    isUnderWay = true;
    // A click that fails is a visitor's who went away: the next second has others.
    second()
      .catch(() => {})
      .finally(() => (isUnderWay = false));
  });
  return () => timer.cancel();
}
