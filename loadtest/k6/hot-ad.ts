/**
 * One ad takes four clicks in five: the same traffic spread over all ads, then an ad that is split
 * over all shards, both once more, so that the machine's own moods show, and at last an ad that
 * lives on one shard. The tokens lie in that order.
 */
import { Trend } from "k6/metrics";
import type { Options } from "k6/options";
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

const PHASES = ["spread", "hot_split", "spread_again", "hot_split_again", "hot"];
const JUDGED = PHASES.slice(0, 4);
/** Between two phases, so that one's answers do not fall into the next. */
const PAUSE_SECONDS = 2;
const seconds = Math.ceil(durationSeconds / PHASES.length);
const warm = warmUpClicks(rate);
const each = rate * seconds + rate;

/** When clicks were: tells the phases apart for whoever samples CPU time meanwhile. */
const clickedAt = new Trend("click_at_ms");

const part = (run: string, turn: number) =>
  load(run, rate, { after: turn * (seconds + PAUSE_SECONDS), seconds });

const scenarios = offered(
  {
    warm_up: warmUp("warmUpClick", rate),
    spread: part("clickSpread", 0),
    hot_split: part("clickHotSplit", 1),
    spread_again: part("clickSpreadAgain", 2),
    hot_split_again: part("clickHotSplitAgain", 3),
    hot: part("clickHot", 4),
  },
  JUDGED,
  ["hot"],
);
// No bounds: k6 tells a scenario's figures apart only where a threshold asks for them.
const shown = PHASES.flatMap((phase): [string, string[]][] => [
  [`click_at_ms{scenario:${phase}}`, ["max>=0"]],
  [`clicks_sent{scenario:${phase}}`, ["count>=0"]],
]);
export const options: Options = {
  ...scenarios,
  thresholds: { ...scenarios.thresholds, ...Object.fromEntries(shown) },
};

function click(turn: number): void {
  clickedAt.add(Date.now());
  followLink(token(warm + turn * each + iteration()));
}

export const warmUpClick = (): void => followLink(token(iteration()));
export const clickSpread = (): void => click(0);
export const clickHotSplit = (): void => click(1);
export const clickSpreadAgain = (): void => click(2);
export const clickHotSplitAgain = (): void => click(3);
export const clickHot = (): void => click(4);
