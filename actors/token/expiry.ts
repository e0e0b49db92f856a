/**
 * How old an impression is, judged by its own timestamp when a gateway receives the click.
 * Tokens and SDK click ids are judged alike.
 */
import type { Limits } from "../core/limits.ts";

export type Age = "live" | "expired" | "in-future";

/** Live from `clockSkewMs` before its own time until the end of `tokenLifeMs`, both included. */
export function judgeAge(
  impressionMs: number,
  receivedMs: number,
  limits: Pick<Limits, "tokenLifeMs" | "clockSkewMs">,
): Age {
  if (impressionMs > receivedMs + limits.clockSkewMs) return "in-future";
  return receivedMs > expiresAtMs(impressionMs, limits) ? "expired" : "live";
}

/** The last millisecond at which a click on the impression still counts. */
export function expiresAtMs(impressionMs: number, limits: Pick<Limits, "tokenLifeMs">): number {
  return impressionMs + limits.tokenLifeMs;
}
