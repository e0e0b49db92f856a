/**
 * Looks at one ClickCluster: what the copies of the API server's objects say (caches.ts), and what
 * actor hosts, gateways and backends answer (data-plane.ts).
 *
 *  B1 A copy that is not current, a document that cannot be read, a host that did not answer: UNKNOWN,
 *     or no report. Nothing else is (O1 of plan/world.ts).
 *  B2 All questions go out at once, and each has its deadline: a look takes no longer than the slowest.
 */
import { decodeAssignment, type Assignment } from "../../actors/assignment/assignment.ts";
import { messageOf } from "../../actors/core/errors.ts";
import { decodeTable } from "../../actors/routing/table-json.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { HotAdSplit } from "../api/hot-ad-split.ts";
import { limitsOf } from "../api/limits.ts";
import { COMPONENTS, type Component } from "../api/release.ts";
import type { KubeObject } from "../kube/object.ts";
import type { Reflector } from "../kube/reflector.ts";
import {
  CLUSTER_LABEL,
  COMPONENT_LABEL,
  DIGEST_ANNOTATION,
  RELEASE_LABEL,
  stateName,
} from "../render/manifest.ts";
import type { Rendered } from "../render/render.ts";
import type { ConfigMap } from "../state/config-map.ts";
import { ASSIGNMENT_KEY, ROUTING_KEY } from "../state/names.ts";
import {
  UNKNOWN,
  type ActorHost,
  type HostReport,
  type Observed,
  type Seen,
  type Workload,
} from "../plan/world.ts";
import type { Caches, PodObject } from "./caches.ts";
import type { DataPlane, SharedTexts } from "./data-plane.ts";
import { actorHostOf, addressOf, hasServed } from "./pods.ts";

export interface ObserveDeps {
  readonly caches: Caches;
  readonly dataPlane: DataPlane;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Look {
  readonly observed: Observed;
  /** As they stand in the state; UNKNOWN where they could not be read. */
  readonly texts: Seen<SharedTexts>;
}

export async function observe(deps: ObserveDeps, cluster: ClickCluster, rendered: Rendered): Promise<Look> {
  const { caches, dataPlane, logger } = deps;
  const { name, namespace } = cluster.metadata;
  const own = <T extends KubeObject>(reflector: Reflector<T> | undefined): Seen<readonly T[]> =>
    reflector?.isCurrent === true
      ? [...reflector.objects.values()].filter(
          ({ metadata }) => metadata.namespace === namespace && metadata.labels?.[CLUSTER_LABEL] === name,
        )
      : UNKNOWN;
  const pods = own(caches.pods);
  const hosts = hostsOf(pods);
  const [reports, waitingClicks, backends] = await Promise.all([
    reportsOf(deps, cluster, hosts),
    waitingClicksOf(deps, cluster, pods),
    dataPlane.backends(cluster),
  ]);
  const texts = textsOf(caches, namespace, name);
  const workloads = Object.fromEntries(
    COMPONENTS.map((component) => [component, workloadOf(caches, rendered, namespace, component, pods)]),
  ) as Record<Component, Seen<Workload | undefined>>;
  const splits: Seen<readonly HotAdSplit[]> = caches.splits.isCurrent
    ? ([...caches.splits.objects.values()] as readonly HotAdSplit[]).filter(
        ({ metadata, spec }) => metadata.namespace === namespace && spec.clusterName === name,
      )
    : UNKNOWN;
  const decoded = decode(cluster, texts, deps.clock.now(), logger);
  const observed: Observed = {
    ...decoded,
    workloads,
    hosts,
    reports,
    splits,
    waitingClicks,
    backends,
    objects: objectsOf(caches, own, stateName(name)),
  };
  return { observed, texts };
}

const componentOf = ({ metadata }: KubeObject): string | undefined => metadata.labels?.[COMPONENT_LABEL];

function hostsOf(pods: Seen<readonly PodObject[]>): Seen<ReadonlyMap<string, ActorHost>> {
  if (pods === UNKNOWN) return UNKNOWN;
  const hosts = pods.filter((pod) => componentOf(pod) === "actors");
  return new Map(hosts.map((pod) => [pod.metadata.name, actorHostOf(pod)]));
}

/** Of those that answer. */
async function reportsOf(
  { dataPlane, logger }: ObserveDeps,
  cluster: ClickCluster,
  hosts: Seen<ReadonlyMap<string, ActorHost>>,
): Promise<ReadonlyMap<string, HostReport>> {
  if (hosts === UNKNOWN) return new Map();
  const asked = [...hosts].filter(([, { isUp }]) => isUp);
  const answers = await Promise.all(
    asked.map(async ([name, { address }]) => {
      try {
        return [[name, await dataPlane.hostReport(cluster, name, address)] as const];
      } catch (error) {
        logger.debug({ host: name, error: messageOf(error) }, "a host does not report");
        return [];
      }
    }),
  );
  return new Map(answers.flat());
}

/** A gateway that has never served has nothing; one that is there and does not answer may have. */
async function waitingClicksOf(
  { dataPlane, logger }: ObserveDeps,
  cluster: ClickCluster,
  pods: Seen<readonly PodObject[]>,
): Promise<Seen<number>> {
  if (pods === UNKNOWN) return UNKNOWN;
  const gateways = pods.filter((pod) => componentOf(pod) === "gateways" && hasServed(pod));
  try {
    const counts = await Promise.all(
      gateways.map((pod) => dataPlane.spooledClicks(cluster, addressOf(pod, "gateways"))),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  } catch (error) {
    logger.debug({ error: messageOf(error) }, "a gateway does not report");
    return UNKNOWN;
  }
}

function workloadOf(
  caches: Caches,
  rendered: Rendered,
  namespace: string,
  component: Component,
  pods: Seen<readonly PodObject[]>,
): Seen<Workload | undefined> {
  const { kind, metadata } = rendered.workloads[component];
  const reflector = caches.workloads.get(kind);
  if (reflector?.isCurrent !== true || pods === UNKNOWN) return UNKNOWN;
  const found = reflector.objects.get(`${namespace}/${metadata.name}`);
  if (found === undefined) return undefined;
  const { spec = {}, status = {} } = found;
  const own = pods.filter((pod) => componentOf(pod) === component).length;
  return {
    replicas: spec.replicas ?? 1,
    // The two copies are not of one moment: as many as either knows of.
    pods: Math.max(own, status.replicas ?? 0),
    ready: status.readyReplicas ?? 0,
    release: found.metadata.labels?.[RELEASE_LABEL] ?? "",
  };
}

function textsOf(caches: Caches, namespace: string, cluster: string): Seen<SharedTexts> {
  const configMaps = caches.rendered.get("ConfigMap");
  if (configMaps?.isCurrent !== true) return UNKNOWN;
  const state = configMaps.objects.get(`${namespace}/${stateName(cluster)}`) as ConfigMap | undefined;
  return { routing: state?.data?.[ROUTING_KEY], assignment: state?.data?.[ASSIGNMENT_KEY] };
}

function decode(
  cluster: ClickCluster,
  texts: Seen<SharedTexts>,
  nowMs: number,
  logger: Logger,
): Pick<Observed, "routing" | "assignment"> {
  if (texts === UNKNOWN) return { routing: UNKNOWN, assignment: UNKNOWN };
  const orUnknown = <T>(what: string, text: string | undefined, read: (text: string) => T) => {
    try {
      return text === undefined ? undefined : read(text);
    } catch (error) {
      logger.error({ cluster: cluster.metadata.name, error: messageOf(error) }, `the ${what} cannot be read`);
      return UNKNOWN;
    }
  };
  const limits = limitsOf(cluster.spec);
  return {
    routing: orUnknown<RoutingTable>("routing table", texts.routing, (text) =>
      decodeTable(text, nowMs, limits),
    ),
    assignment: orUnknown<Assignment>("assignment", texts.assignment, decodeAssignment),
  };
}

/** All that carries the cluster's label and a digest: what was rendered for it, now or by a former version. */
function objectsOf(
  caches: Caches,
  own: (reflector: Reflector<KubeObject>) => Seen<readonly KubeObject[]>,
  state: string,
): Seen<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const [kind, reflector] of caches.rendered) {
    const objects = own(reflector);
    if (objects === UNKNOWN) return UNKNOWN;
    for (const { metadata } of objects) {
      const digest = metadata.annotations?.[DIGEST_ANNOTATION];
      if (digest === undefined || (kind === "ConfigMap" && metadata.name === state)) continue;
      if (metadata.deletionTimestamp === undefined) found.set(`${kind}/${metadata.name}`, digest);
    }
  }
  return found;
}
