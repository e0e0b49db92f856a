/** The data plane's limits, as a ClickCluster sets them. */
import { DEFAULT_LIMITS, type Limits } from "../../actors/core/limits.ts";
import type { ClickClusterSpec } from "./click-cluster.ts";

export function limitsOf({ retention }: ClickClusterSpec): Limits {
  return {
    ...DEFAULT_LIMITS,
    tokenLifeMs: retention.tokenLifeSeconds * 1_000,
    allowedLatenessMs: retention.allowedLatenessSeconds * 1_000,
    clockSkewMs: retention.clockSkewSeconds * 1_000,
    dedupRetentionMs: retention.dedupRetentionSeconds * 1_000,
    // A window that a held-back click reopens must still be there.
    windowRetentionMs: Math.max(
      DEFAULT_LIMITS.windowRetentionMs,
      (retention.dedupRetentionSeconds + retention.clockSkewSeconds + 60) * 1_000,
    ),
    logRetentionMs: retention.logRetentionSeconds * 1_000,
  };
}
