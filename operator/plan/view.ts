/**
 * What is wanted and what there is, side by side, with what follows from both at once: the first thing
 * that the planner makes, and all that its parts look at.
 *
 *  W1 A routing table or an assignment older than one that is known to have been published, or none
 *     where there was one, is not what there is, and `lost` names it. The table then counts as UNKNOWN:
 *     only a person can say what the tokens out there were issued by. The assignment is made again.
 */
import type { Assignment } from "../../actors/assignment/assignment.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Generation } from "../../actors/routing/generation.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { ClickClusterSpec } from "../api/click-cluster.ts";
import type { ClickClusterStatus } from "../api/click-cluster-status.ts";
import { limitsOf } from "../api/limits.ts";
import {
  ordinalOf,
  UNKNOWN,
  type ActorHost,
  type Desired,
  type Observed,
  type Seen,
  type Workload,
} from "./world.ts";

export interface View {
  readonly desired: Desired;
  readonly name: string;
  readonly spec: ClickClusterSpec;
  /** As it was last written. */
  readonly status: ClickClusterStatus;
  readonly observed: Observed;
  readonly routing: Seen<RoutingTable | undefined>;
  readonly newest: Generation | undefined;
  readonly assignment: Seen<Assignment | undefined>;
  readonly lost: readonly ("routing" | "assignment")[];
  readonly limits: Limits;
  readonly nowMs: number;
}

export function viewOf(desired: Desired, observed: Observed, nowMs: number): View {
  const { spec, status = {}, metadata } = desired.cluster;
  const isRoutingLost = isOlder(observed.routing, status);
  const version = newestVersion(observed, status);
  const isAssignmentLost = observed.assignment !== UNKNOWN && (observed.assignment?.version ?? 0) < version;
  const routing = isRoutingLost ? UNKNOWN : observed.routing;
  return {
    desired,
    name: metadata.name,
    spec,
    status,
    observed,
    routing,
    newest: routing === UNKNOWN ? undefined : routing?.newestFirst[0],
    assignment: isAssignmentLost ? recovered(observed, version, nowMs) : observed.assignment,
    lost: [
      ...(isRoutingLost ? (["routing"] as const) : []),
      ...(isAssignmentLost ? (["assignment"] as const) : []),
    ],
    limits: limitsOf(spec),
    nowMs,
  };
}

function isOlder(routing: Observed["routing"], { routing: published }: ClickClusterStatus): boolean {
  if (routing === UNKNOWN || published === undefined) return false;
  const newest = routing?.newestFirst[0];
  return newest === undefined || newest.inForceFromMs < Date.parse(published.inForceFrom);
}

/** Of the assignments that somebody is known to have seen. */
function newestVersion({ reports }: Observed, { assignmentVersion = 0 }: ClickClusterStatus): number {
  return Math.max(assignmentVersion, ...[...reports.values()].map((report) => report.assignmentVersion));
}

/**
 * Where an assignment begins that goes on from none: the time in seconds. One may have been published,
 * and lost, that nobody has told of yet, and hosts that follow it take up no other of the same version.
 */
export const versionAnew = (nowMs: number): number => Math.floor(nowMs / 1_000);

/** The assignment that was lost, from what the hosts still hold by it; not before all have said so. */
function recovered({ hosts, reports }: Observed, newest: number, nowMs: number): Seen<Assignment> {
  if (hosts === UNKNOWN) return UNKNOWN;
  const owners = new Map<number, { host: string; epoch: number }>();
  const addresses = new Map<string, string>();
  let version = Math.max(newest, versionAnew(nowMs));
  for (const [host, { address, isUp }] of hosts) {
    const report = reports.get(host);
    if (report === undefined && isUp) return UNKNOWN;
    addresses.set(host, address);
    for (const [shard, epoch] of report?.held ?? []) {
      version = Math.max(version, epoch);
      if (epoch > (owners.get(shard)?.epoch ?? -1)) owners.set(shard, { host, epoch });
    }
  }
  return { version, hosts: addresses, shards: owners };
}

/** A StatefulSet's pods, and what the StatefulSet says; undefined where one of the two is not known. */
export interface Fleet {
  readonly workload: Workload;
  readonly hosts: ReadonlyMap<string, ActorHost>;
}

export function fleetOf({ observed: { hosts, workloads } }: View): Fleet | undefined {
  const { actors } = workloads;
  return hosts === UNKNOWN || actors === UNKNOWN || actors === undefined
    ? undefined
    : { workload: actors, hosts };
}

/** Since when a host cannot be given shards; undefined: it can. */
export function awaySinceMs({ name, nowMs, observed, status }: View, host: string): number | undefined {
  const { hosts } = observed;
  if (hosts === UNKNOWN || ordinalOf(name, host) === Infinity) return undefined;
  const pod = hosts.get(host);
  if (pod?.isUp === true && !pod.isEnding) return undefined;
  const since = status.actors?.hosts.find((each) => each.name === host)?.awaySince;
  return since === undefined ? nowMs : Math.min(nowMs, Date.parse(since));
}

/** Shards that their owners serve, and those that do not, or of which nobody has said so. */
export function heldOf(
  { observed: { reports } }: View,
  { shards }: Assignment,
): {
  readonly held: readonly number[];
  readonly open: readonly number[];
} {
  const held: number[] = [];
  const open: number[] = [];
  for (const [shard, { host, epoch }] of shards) {
    const byEpoch = reports.get(host)?.held.get(shard);
    (byEpoch !== undefined && byEpoch >= epoch ? held : open).push(shard);
  }
  return { held, open };
}

export const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
