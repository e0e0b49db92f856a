/**
 * One ad takes four clicks in five: first the same traffic spread over all ads, then an ad that
 * lives on one shard, then one that is split over all of them. The tokens lie in that order.
 */
import { followLink } from "./lib/click.ts";
import {
  durationSeconds,
  iteration,
  load,
  offered,
  rate,
  token,
  warmUp,
  warmUpClicks,
} from "./lib/traffic.ts";

export { handleSummary } from "./lib/traffic.ts";

/** Between two thirds, so that one's answers do not fall into the next. */
const PAUSE_SECONDS = 2;
const third = Math.ceil(durationSeconds / 3);
const warm = warmUpClicks(rate);
const each = rate * third + rate;

const part = (run: string, turn: number) =>
  load(run, rate, { after: turn * (third + PAUSE_SECONDS), seconds: third });

export const options = offered(
  {
    warm_up: warmUp("warmUpClick", rate),
    spread: part("clickSpread", 0),
    hot: part("clickHot", 1),
    hot_split: part("clickHotSplit", 2),
  },
  ["spread", "hot_split"],
  ["hot"],
);

export function warmUpClick(): void {
  followLink(token(iteration()));
}

export function clickSpread(): void {
  followLink(token(warm + iteration()));
}

export function clickHot(): void {
  followLink(token(warm + each + iteration()));
}

export function clickHotSplit(): void {
  followLink(token(warm + 2 * each + iteration()));
}
