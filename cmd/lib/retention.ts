/**
 * How long what is remembered, from configuration to the limits of the data plane. The operator
 * derives the same from a ClickCluster (operator/api/limits.ts; retention.test.ts holds the two together).
 */
import { DEFAULT_LIMITS, RELATIONS, routingLeadOf, type Limits } from "../../actors/core/limits.ts";
import { flagOf, type ConfigOf } from "../config/setting.ts";
import type { retentionSettings } from "../config/settings.ts";

export type RetentionConfig = ConfigOf<typeof retentionSettings>;

const FLAG_OF_LIMIT: readonly (readonly [keyof Limits, keyof RetentionConfig])[] = [
  ["tokenLifeMs", "tokenLifeSeconds"],
  ["allowedLatenessMs", "allowedLatenessSeconds"],
  ["clockSkewMs", "clockSkewSeconds"],
  ["routingLagMs", "stateLagSeconds"],
  ["dedupRetentionMs", "dedupRetentionSeconds"],
  ["logRetentionMs", "logRetentionSeconds"],
];

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** A program that has no such settings has the defaults. */
export function limitsOf(config: Partial<RetentionConfig>): Limits {
  const given = FLAG_OF_LIMIT.flatMap(([limit, name]) => {
    const seconds = config[name];
    return seconds === undefined ? [] : [[limit, seconds * SECOND_MS] as const];
  });
  const limits: Limits = { ...DEFAULT_LIMITS, ...Object.fromEntries(given) };
  // A window that a held-back click reopens must still be there.
  const least = limits.dedupRetentionMs + limits.clockSkewMs + MINUTE_MS;
  return {
    ...limits,
    routingLeadMs: routingLeadOf(limits.clockSkewMs, limits.routingLagMs),
    windowRetentionMs: Math.max(limits.windowRetentionMs, least),
  };
}

/** Each fault is a relation that does not hold, by its flags. */
export function checkRetention(config: RetentionConfig): readonly string[] {
  const limits = limitsOf(config);
  return RELATIONS.filter(([, holds]) => !holds(limits)).map(([relation]) => {
    const involved = FLAG_OF_LIMIT.filter(([limit]) => relation.includes(limit));
    const given = involved.map(([, name]) => `${flagOf(name)} ${config[name]}`).join(", ");
    const named = involved.reduce((text, [limit, name]) => text.replaceAll(limit, flagOf(name)), relation);
    return `${named} does not hold: ${given}`;
  });
}
