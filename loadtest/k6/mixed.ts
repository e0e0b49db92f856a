/** A day's mixture: browsers click, pages ask for impressions, advertisers read their reports. */
import { check } from "k6";
import http from "k6/http";
import { followLink } from "./lib/click.ts";
import {
  advertisers,
  iteration,
  key,
  load,
  offered,
  rate,
  reportUrl,
  token,
  url,
  warmUp,
  warmUpClicks,
} from "./lib/traffic.ts";

export { handleSummary } from "./lib/traffic.ts";

/** Of a hundred clicks' time: this many report queries, and requests for impressions. */
const REPORTS_A_SECOND = Math.max(1, Math.round(rate / 100));
const PLACEMENTS_A_SECOND = Math.max(1, Math.round(rate / 50));
const IMPRESSIONS_A_REQUEST = 20;

const warm = warmUpClicks(rate);
const authorization = `Bearer ${key}`;

export const options = offered(
  {
    warm_up: warmUp("warmUpClick", rate),
    clicks: load("click", rate),
    reports: load("report", REPORTS_A_SECOND),
    impressions: load("place", PLACEMENTS_A_SECOND),
  },
  ["clicks"],
);

export function warmUpClick(): void {
  followLink(token(iteration()));
}

export function click(): void {
  followLink(token(warm + iteration()));
}

export function report(): void {
  const advertiser = advertisers[iteration() % advertisers.length];
  const { status } = http.get(`${reportUrl}/v1/reports/clicks?advertiser_id=${advertiser}`, {
    headers: { authorization },
    tags: { name: "/v1/reports/clicks" },
  });
  check(status, { "report answered": () => status === 200 });
}

export function place(): void {
  const body = JSON.stringify({ ad_id: "1001", count: IMPRESSIONS_A_REQUEST });
  const { status } = http.post(`${url}/v1/impressions`, body, {
    headers: { authorization, "content-type": "application/json" },
    tags: { name: "/v1/impressions" },
  });
  check(status, { "impressions issued": () => status === 200 });
}
