/**
 * Half of all clicks are repeats: every second iteration clicks a link that was clicked a second
 * before. Each is redirected; each link counts once.
 */
import { followLink } from "./lib/click.ts";
import { iteration, load, offered, rate, token, warmUp, warmUpClicks } from "./lib/traffic.ts";

export { handleSummary } from "./lib/traffic.ts";

const warm = warmUpClicks(rate);
/** How far back a repeat reaches, in links: about a second. */
const behind = Math.max(1, Math.floor(rate / 2));

export const options = offered({ warm_up: warmUp("warmUpClick", rate), load: load("click", rate) }, ["load"]);

export function warmUpClick(): void {
  followLink(token(iteration()));
}

export function click(): void {
  const i = iteration();
  const link = i >> 1;
  followLink(token(warm + (i % 2 === 0 ? link : Math.max(0, link - behind))));
}
