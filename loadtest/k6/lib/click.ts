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

const REQUEST_DEADLINE = "20s";
const browser = {
  tags: { name: "/click" },
  timeout: REQUEST_DEADLINE,
  headers: { "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 k6" },
};

/** Follows the signed link; the redirect must lead to the registered page. */
export function followLink(token: string): void {
  sent.add(1);
  const { status, headers, timings } = http.get(`${url}/click?i=${token}`, browser);
  latency.add(timings.duration);
  account(1, status === 302 ? "acked" : status === 0 ? "unanswered" : "refused");
  if (status === 302) {
    const to = headers["Location"] ?? "";
    if (!to.startsWith("https://shop.example/ad/")) check(to, { "redirected to the ad's page": () => false });
  }
}

export function account(clicks: number, what: "acked" | "refused" | "unanswered"): void {
  if (what === "acked") acked.add(clicks);
  else if (what === "refused") refused.add(clicks);
  else unanswered.add(clicks);
}
