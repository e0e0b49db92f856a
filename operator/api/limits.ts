/** The data plane's limits, as a ClickCluster sets them. */
import { DEFAULT_LIMITS, routingLeadOf, type Limits } from "../../actors/core/limits.ts";
import type { ClickClusterSpec } from "./click-cluster.ts";

/**
 * How late a pod sees a change of a mounted ConfigMap: the kubelet looks once a minute, with a
 * jitter, and its own copy of the object may be a moment old.
 */
export const STATE_LAG_SECONDS = 90;

export function limitsOf({ retention }: ClickClusterSpec): Limits {
  const routingLagMs = STATE_LAG_SECONDS * 1_000;
  return {
    ...DEFAULT_LIMITS,
    tokenLifeMs: retention.tokenLifeSeconds * 1_000,
    allowedLatenessMs: retention.allowedLatenessSeconds * 1_000,
    clockSkewMs: retention.clockSkewSeconds * 1_000,
    routingLagMs,
    routingLeadMs: routingLeadOf(retention.clockSkewSeconds * 1_000, routingLagMs),
    dedupRetentionMs: retention.dedupRetentionSeconds * 1_000,
    // A window that a held-back click reopens must still be there.
    windowRetentionMs: Math.max(
      DEFAULT_LIMITS.windowRetentionMs,
      (retention.dedupRetentionSeconds + retention.clockSkewSeconds + 60) * 1_000,
    ),
    logRetentionMs: retention.logRetentionSeconds * 1_000,
  };
}
