/** What a gateway could not give to its shard at once, as metrics. */
import type { Metrics } from "../../actors/runtime/metrics.ts";
import type { SpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";
import type { SpoolDrainer } from "../../actors/spill/spool-drainer.ts";
import type { Spool } from "./spooling.ts";

export function observeSpill(
  metrics: Metrics,
  stats: SpillingShardPort["stats"],
  drainer: Pick<SpoolDrainer, "backlog">,
  spool: Pick<Spool, "usage" | "maxBytes">,
): void {
  const clicks = metrics.gauge({
    name: "adtally_gateway_deferred_clicks",
    help: "Clicks deferred since the process started: to the spill topic, or to this gateway's disk.",
    labels: { to: ["spill", "spool"] },
  });
  const blocks = metrics.gauge({
    name: "adtally_gateway_spool_blocks",
    help: "Blocks on this gateway's disk that wait to be drained, as of the scrape before.",
    labels: {},
  });
  const notKept = metrics.gauge({
    name: "adtally_gateway_clicks_not_kept",
    help: "Clicks since the process started that nothing could keep: redirected, and never counted.",
    labels: {},
  });
  const bytes = metrics.gauge({
    name: "adtally_gateway_spool_bytes",
    help: "What the spool takes on this gateway's disk, and what it may.",
    labels: { what: ["used", "allowed"] },
  });
  metrics.beforeScrape(() => {
    drainer.backlog().then(
      (backlog) => blocks.of({}).set(backlog),
      // The spool's own work says what is wrong with it.
      () => undefined,
    );
    notKept.of({}).set(stats.notKept);
    bytes.of({ what: "used" }).set(spool.usage().bytes);
    bytes.of({ what: "allowed" }).set(spool.maxBytes);
    clicks.of({ to: "spill" }).set(stats.spilled);
    clicks.of({ to: "spool" }).set(stats.spooled);
  });
}
