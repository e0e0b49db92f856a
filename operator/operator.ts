/**
 * The operator, put together: copies of the API server's objects, the Lease, and the loops. What it asks
 * of the data plane is handed in.
 *
 *   stop: the loops end their rounds, the Lease is given back, the watches end.
 */
import { AdtallyError } from "../actors/core/errors.ts";
import type { Clock, RandomBytes } from "../actors/runtime/clock.ts";
import type { Logger } from "../actors/runtime/log.ts";
import type { Metrics } from "../actors/runtime/metrics.ts";
import { createEventSink } from "./act/events.ts";
import { startController, type ControllerDeps } from "./controller.ts";
import type { KubeClient } from "./kube/client.ts";
import { startElector } from "./lead/elector.ts";
import { leaseTimes } from "./lead/lease.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { openCaches, type Caches } from "./observe/caches.ts";
import type { DataPlane } from "./observe/data-plane.ts";

export interface OperatorOptions {
  /** Undefined: all. */
  readonly watchNamespace: string | undefined;
  readonly leaseNamespace: string;
  readonly leaseName: string;
  readonly leaseMs: number;
  readonly roundMs: number;
  readonly relistMs: number;
  /** The API server ends watches after so long. */
  readonly watchSeconds: number;
  /** Of this very process, among all that ever were. */
  readonly identity: string;
}

export interface OperatorDeps {
  readonly client: KubeClient;
  readonly dataPlane: DataPlane;
  readonly options: OperatorOptions;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly metrics: OperatorMetrics & Pick<Metrics, "beforeScrape">;
  readonly render?: ControllerDeps["render"];
}

export interface Operator {
  readonly caches: Caches;
  /** Of our term; undefined: another leads. */
  readonly epoch: number | undefined;
  /** Kinds of objects that nothing is known of now. */
  stale(): readonly string[];
  stop(): Promise<void>;
}

export function startOperator(deps: OperatorDeps): Operator {
  const { client, clock, dataPlane, logger, metrics, options, random } = deps;
  const caches = openCaches(
    {
      client,
      clock,
      random,
      logger,
      watchSeconds: options.watchSeconds,
      relistMs: options.relistMs,
      onRestart: (_kind, why) => metrics.watchRestart(why),
    },
    options.watchNamespace,
  );
  const events = createEventSink({
    client,
    instance: options.identity,
    clock,
    logger,
    onEvent: metrics.event,
  });
  const elector = startElector({
    client,
    namespace: options.leaseNamespace,
    name: options.leaseName,
    identity: options.identity,
    times: leaseTimes(options.leaseMs),
    clock,
    random,
    logger,
    onChange() {
      controller.wakeAll();
    },
  });
  const controller = startController({
    client,
    caches,
    events,
    dataPlane,
    leadership: elector,
    clock,
    random,
    logger,
    roundMs: options.roundMs,
    onRound: metrics.round,
    onAction: metrics.action,
    ...(deps.render !== undefined && { render: deps.render }),
  });
  metrics.beforeScrape(() => {
    metrics.clusters(caches.clusters.objects.size);
    metrics.leading(elector.epoch);
    metrics.stale(caches.stale().length);
  });

  return {
    caches,
    get epoch() {
      return elector.epoch;
    },
    stale: () => caches.stale(),
    async stop() {
      await controller.close();
      await events.settled();
      await elector.close();
      await caches.close();
      await dataPlane.close();
    },
  };
}

/** For readiness: what must hold before an operator can do its work, leading or not. */
export function assertSeen(operator: Pick<Operator, "stale">): void {
  const stale = operator.stale();
  if (stale.length > 0) throw new AdtallyError("KUBERNETES_UNAVAILABLE", `not read yet: ${stale.join(", ")}`);
}
