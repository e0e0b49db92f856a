/**
 * What the planner looks at. What is wanted is the ClickCluster and the objects that are rendered from
 * it; what there is was observed just before, part by part.
 *
 *  O1 What could not be observed is UNKNOWN, and nothing else is: `undefined`, an empty map or a
 *     missing object say that it was looked for and is not there.
 *  O2 The planner remembers nothing. What it must know of earlier stands in the status of the
 *     ClickCluster and of the HotAdSplits, and so outlives the operator.
 */
import type { Assignment } from "../../actors/assignment/assignment.ts";
import type { AdRate, HostReport } from "../../actors/load/report.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { HotAdSplit } from "../api/hot-ad-split.ts";
import type { Component } from "../api/release.ts";

export const UNKNOWN = "unknown";
export type Seen<T> = T | typeof UNKNOWN;

export interface Desired {
  readonly cluster: ClickCluster;
  /**
   * What is rendered besides the workloads (Services, disruption budgets, the gateways' autoscaler,
   * …): a digest of each by its "Kind/name". Other renderings are applied; none restarts a pod.
   */
  readonly objects: ReadonlyMap<string, string>;
}

/** A StatefulSet or Deployment. */
export interface Workload {
  readonly replicas: number;
  /** Those that end are among them. */
  readonly pods: number;
  readonly ready: number;
  /** What its new pods run (releaseOf): the operator's own label on it. */
  readonly release: string;
}

/** The pod of an actor host. */
export interface ActorHost {
  readonly uid: string;
  /** Of its ShardService: "10.0.0.7:7070". */
  readonly address: string;
  readonly release: string;
  /**
   * It has started and lives, and can be given shards. Not its readiness: a host that acquires
   * shards is not ready.
   */
  readonly isUp: boolean;
  readonly isEnding: boolean;
}

export type { AdRate, HostReport };

export interface Backends {
  readonly redpanda: Seen<boolean>;
  readonly clickhouse: Seen<boolean>;
  readonly redis: Seen<boolean>;
}

export interface Observed {
  readonly routing: Seen<RoutingTable | undefined>;
  readonly assignment: Seen<Assignment | undefined>;
  readonly workloads: Readonly<Record<Component, Seen<Workload | undefined>>>;
  /** By name; hosts are named by their ordinals (hostName). */
  readonly hosts: Seen<ReadonlyMap<string, ActorHost>>;
  /** Of the hosts that answered: of another one nothing is known. */
  readonly reports: ReadonlyMap<string, HostReport>;
  /** Of this cluster. */
  readonly splits: Seen<readonly HotAdSplit[]>;
  /** Clicks in the spill topic and in the gateways' spools. */
  readonly waitingClicks: Seen<number>;
  readonly backends: Backends;
  /** As Desired.objects. */
  readonly objects: Seen<ReadonlyMap<string, string>>;
}

export const hostName = (cluster: string, ordinal: number): string => `${cluster}-actors-${ordinal}`;

/** Infinity for a host that is none of the cluster's. */
export function ordinalOf(cluster: string, host: string): number {
  const prefix = hostName(cluster, 0).slice(0, -1);
  const rest = host.startsWith(prefix) ? host.slice(prefix.length) : "";
  return /^(0|[1-9]\d{0,5})$/.test(rest) ? Number(rest) : Infinity;
}
