/** What a gateway's router tells about itself. Hosts are no closed set, so none is a label. */
import { RETRY_REASONS, type RetryReason, type ShardRouter } from "./shard-router.ts";
import type { Metrics } from "../../runtime/metrics.ts";

export interface ShardRouterMetrics {
  readonly onRetry: (why: RetryReason) => void;
  observe(router: ShardRouter): void;
}

export function createShardRouterMetrics(metrics: Metrics): ShardRouterMetrics {
  const retries = metrics.counter({
    name: "adtally_gateway_submission_retries_total",
    help: "Submissions sent to an actor host once more, by why.",
    labels: { why: RETRY_REASONS },
  });
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: {} }).of({});
  const hosts = gauge("adtally_gateway_actor_hosts", "Actor hosts of the newest assignment.");
  const reachable = gauge("adtally_gateway_actor_hosts_reachable", "Those whose stream is open.");
  const version = gauge("adtally_gateway_assignment_version", "Version of the assignment in use.");
  const clicks = gauge("adtally_gateway_held_clicks", "Clicks given to actor hosts and not yet answered.");
  return {
    onRetry: (why) => retries.of({ why }).add(),
    observe(router) {
      metrics.beforeScrape(() => {
        const states = router.hosts();
        hosts.set(states.length);
        reachable.set(states.filter(({ isReachable }) => isReachable).length);
        version.set(router.assignment.version);
        clicks.set(states.reduce((sum, state) => sum + state.clicks, 0));
      });
    },
  };
}
