/**
 * One click as a browser makes it or as an SDK submits it, and its place in the account:
 * acked (the answer makes it durable), refused (an answer that keeps nothing), or unanswered
 * (it may have been taken or not).
 */
import { check } from "k6";
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";
import { url } from "./traffic.ts";

export const sent = new Counter("clicks_sent");
export const acked = new Counter("clicks_acked");
const refused = new Counter("clicks_refused");
const unanswered = new Counter("clicks_unanswered");
export const latency = new Trend("click_ms", true);

const links = `${url}/click?i=`;
// k6 makes a module's object and its functions anew each time they are named.
const { get } = http;
/** Of so many redirects of a user one is looked at: a header costs more than all else of an answer. */
const LOOK_EVERY = 32;
let redirects = 0;

/**
 * Follows the signed link; the redirect must lead to the registered page. Without parameters of its
 * own, which k6 would read again for each request: its deadline is k6's, a minute.
 */
export function followLink(token: string): void {
  sent.add(1);
  const answer = get(links + token);
  const { status } = answer;
  latency.add(answer.timings.duration);
  account(1, status === 302 ? "acked" : status === 0 ? "unanswered" : "refused");
  if (status === 302 && redirects++ % LOOK_EVERY === 0) {
    const to = answer.headers["Location"] ?? "";
    if (!to.startsWith("https://shop.example/ad/")) check(to, { "redirected to the ad's page": () => false });
  }
}

export function account(clicks: number, what: "acked" | "refused" | "unanswered"): void {
  if (what === "acked") acked.add(clicks);
  else if (what === "refused") refused.add(clicks);
  else unanswered.add(clicks);
}
