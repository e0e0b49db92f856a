/** What a gateway could not give to its shard at once, as metrics. */
import type { Metrics } from "../../actors/runtime/metrics.ts";
import type { SpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";

export function observeSpill(metrics: Metrics, stats: SpillingShardPort["stats"]): void {
  const clicks = metrics.gauge({
    name: "adtally_gateway_deferred_clicks",
    help: "Clicks deferred since the process started: to the spill topic, or to this gateway's disk.",
    labels: { to: ["spill", "spool"] },
  });
  metrics.beforeScrape(() => {
    clicks.of({ to: "spill" }).set(stats.spilled);
    clicks.of({ to: "spool" }).set(stats.spooled);
  });
}
