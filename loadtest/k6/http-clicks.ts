/** Browsers: each iteration follows one signed link, at a rate that is held or raised to the knee. */
import { followLink } from "./lib/click.ts";
import { iteration, load, offered, rampTo, rate, token, warmUp, warmUpClicks } from "./lib/traffic.ts";

export { handleSummary } from "./lib/traffic.ts";

const warm = warmUpClicks(rate);

export const options = offered(
  { warm_up: warmUp("warmUpClick", rate), load: load("click", rate, { rampTo: rampTo() }) },
  ["load"],
);

export function warmUpClick(): void {
  followLink(token(iteration()));
}

export function click(): void {
  followLink(token(warm + iteration()));
}
