/**
 * A cluster to plan for, in memory: a StatefulSet's and a Deployment's controller, actor hosts that obey
 * the assignment as the real ones do (moveOf), shared documents that are replaced upon what stands or not
 * at all, and observers that see parts of it, late or not.
 */
import { moveOf, NO_ASSIGNMENT, type Assignment } from "../../actors/assignment/assignment.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { HotAdSplit } from "../api/hot-ad-split.ts";
import type { Component } from "../api/release.ts";
import type { Action } from "./actions.ts";
import { timeOf } from "./view.ts";
import {
  hostName,
  UNKNOWN,
  type Desired,
  type HostReport,
  type Observed,
  type Seen,
  type Workload,
} from "./world.ts";

export interface Pod {
  readonly uid: string;
  readonly release: string;
  readonly held: Map<number, number>;
  /** The newest assignment that it has seen: it takes up no older one. */
  follows: Assignment;
  isUp: boolean;
  isEnding: boolean;
  /** When it comes up; Infinity: not before it is healed. */
  upAtMs: number;
  goneAtMs: number;
}

export interface World {
  nowMs: number;
  cluster: ClickCluster;
  objects: Map<string, string>;
  wantedObjects: ReadonlyMap<string, string>;
  routing: RoutingTable | undefined;
  assignment: Assignment | undefined;
  workloads: Record<Component, Workload | undefined>;
  pods: Map<string, Pod>;
  splits: HotAdSplit[];
  /** Clicks a second by ad, and of all others together. */
  adRates: Map<number, number>;
  otherClicks: number;
  /** In the gateways' volumes. */
  waitingClicks: number;
  isBackendUp: boolean;
  serial: number;
  readonly events: string[];
}

const NAME = "c";
export const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, each) => all + each, 0);

export function desiredOf({ cluster, wantedObjects }: World): Desired {
  return { cluster, objects: wantedObjects };
}

/** While clicks come in, each look finds other ones that are not counted yet. */
function underWay(world: World, name: string): number {
  if ((world.workloads.gateways?.pods ?? 0) === 0) return 0;
  return (Math.floor(world.nowMs / 1_000) * 37 + 11 * Number(name.split("-").at(-1))) % 240;
}

/** A host serves its share of the traffic; of a split ad, its share of the ad's shards. */
function reportOf(world: World, name: string, pod: Pod): HostReport {
  const table = world.routing?.newestFirst.find((each) => each.inForceFromMs <= world.nowMs);
  const shardCount = table?.shardCount ?? 1;
  // While a shard moves, its clicks go to one of the two: to the next owner once that one serves.
  const gets = (shard: number): boolean => {
    const owner = world.assignment?.shards.get(shard)?.host ?? name;
    return pod.held.has(shard) && (owner === name || world.pods.get(owner)?.held.has(shard) !== true);
  };
  const own = [...pod.held.keys()].filter((shard) => shard < shardCount && gets(shard)).length / shardCount;
  const topAds = [...world.adRates].flatMap(([adId, clicks]) => {
    const ways = table?.splits.get(adId) ?? 1;
    const shards = Array.from({ length: ways }, (_, i) => (adId + i) % shardCount);
    const here = shards.filter(gets).length;
    return here === 0 ? [] : [{ adId, clicksPerSecond: (clicks * here) / ways, error: 0 }];
  });
  const clicksPerSecond = own * world.otherClicks + sum(topAds.map((each) => each.clicksPerSecond));
  return {
    assignmentVersion: pod.follows.version,
    held: new Map(pod.held),
    clicksPerSecond,
    cpuPercent: clicksPerSecond / 1_000,
    lagClicks: underWay(world, name),
    topAds,
  };
}

export function observe(world: World): Observed {
  const up = [...world.pods].filter(([, pod]) => pod.isUp);
  return {
    routing: world.routing,
    assignment: world.assignment,
    workloads: { ...world.workloads },
    hosts: new Map(
      [...world.pods].map(([name, { uid, release, isUp, isEnding }]) => [
        name,
        { uid, release, isUp, isEnding, address: `${name}:7070` },
      ]),
    ),
    reports: new Map(up.map(([name, pod]) => [name, reportOf(world, name, pod)])),
    splits: [...world.splits],
    // Where there is no gateway, there is none to ask.
    waitingClicks: (world.workloads.gateways?.pods ?? 0) === 0 ? 0 : world.waitingClicks,
    backends: { redpanda: world.isBackendUp, clickhouse: world.isBackendUp, redis: world.isBackendUp },
    objects: new Map(world.objects),
  };
}

/** Each part as it is, as it was, or not at all. */
export function observeBadly(
  world: World,
  random: SeededRandom,
  last: Observed | undefined,
  stale: boolean,
): Observed {
  const whole = observe(world);
  const part = <T>(now: Seen<T>, before: Seen<T> | undefined): Seen<T> => {
    if (random.chance(0.12)) return UNKNOWN;
    return stale && before !== undefined && random.chance(0.15) ? before : now;
  };
  const reports = new Map([...whole.reports].filter(() => !random.chance(0.15)));
  return {
    routing: part(whole.routing, last?.routing),
    assignment: part(whole.assignment, last?.assignment),
    workloads: {
      actors: part(whole.workloads.actors, last?.workloads.actors),
      gateways: part(whole.workloads.gateways, last?.workloads.gateways),
      query: part(whole.workloads.query, last?.workloads.query),
      ingest: part(whole.workloads.ingest, last?.workloads.ingest),
    },
    hosts: part(whole.hosts, last?.hosts),
    reports: stale && last !== undefined && random.chance(0.1) ? last.reports : reports,
    splits: part(whole.splits, last?.splits),
    waitingClicks: part(whole.waitingClicks, last?.waitingClicks),
    backends: {
      redpanda: part(whole.backends.redpanda, undefined),
      clickhouse: part(whole.backends.clickhouse, undefined),
      redis: part(whole.backends.redis, undefined),
    },
    objects: part(whole.objects, last?.objects),
  };
}

/** Does what is asked, or refuses it as Kubernetes and the shared documents would. */
export function act(world: World, action: Action): void {
  const { metadata } = world.cluster;
  switch (action.kind) {
    case "add-finalizer":
      world.cluster = { ...world.cluster, metadata: { ...metadata, finalizers: ["adtally.dev/drain"] } };
      break;
    case "remove-finalizer":
      world.cluster = { ...world.cluster, metadata: { ...metadata, finalizers: [] } };
      break;
    case "publish-routing":
      if ((world.routing?.newestFirst[0]?.number ?? 0) === action.after) world.routing = action.table;
      break;
    case "publish-assignment":
      if ((world.assignment?.version ?? 0) === action.after) world.assignment = action.assignment;
      break;
    case "apply-workload": {
      const { pods = 0, ready = 0, replicas = 1 } = world.workloads[action.component] ?? {};
      const { release } = action;
      world.workloads[action.component] = { pods, ready, release, replicas: action.replicas ?? replicas };
      break;
    }
    case "restart-host": {
      const pod = world.pods.get(action.host);
      if (pod?.uid === action.uid) Object.assign(pod, { isEnding: true, goneAtMs: world.nowMs + 5_000 });
      break;
    }
    case "apply-split": {
      const there = world.splits.find((each) => each.metadata.name === action.name);
      world.splits = world.splits.filter((each) => each !== there);
      world.serial += 1;
      const made = {
        name: action.name,
        namespace: "ns",
        uid: `split-${world.serial}`,
        generation: 1,
        creationTimestamp: timeOf(world.nowMs),
      };
      const kept = there && { ...there.metadata, generation: there.metadata.generation + 1 };
      world.splits.push({ metadata: kept ?? made, spec: action.spec, status: there?.status });
      break;
    }
    case "delete-split":
      world.splits = world.splits.filter((each) => each.metadata.uid !== action.uid);
      break;
    case "set-split-status":
      world.splits = world.splits.map((each) =>
        each.metadata.name === action.name ? { ...each, status: action.status } : each,
      );
      break;
    case "apply-object":
      world.objects.set(action.object, world.wantedObjects.get(action.object) ?? "");
      break;
    case "delete-object":
      world.objects.delete(action.object);
      break;
    case "set-status":
      world.cluster = { ...world.cluster, status: action.status };
      break;
    case "emit-event":
      world.events.push(action.because.reason);
      break;
  }
}

/** Time goes by: Kubernetes' controllers and the hosts do their work. `haste`: how much of it. */
export function pass(world: World, ms: number, random: SeededRandom, haste: number): void {
  world.nowMs += ms;
  const { actors, gateways, ingest, query } = world.workloads;
  for (const [name, pod] of world.pods) {
    if (pod.goneAtMs <= world.nowMs) world.pods.delete(name);
    else if (!pod.isUp && !pod.isEnding && pod.upAtMs <= world.nowMs) pod.isUp = true;
  }
  for (let ordinal = 0; ordinal < (actors?.replicas ?? 0); ordinal++) {
    const name = hostName(NAME, ordinal);
    if (!world.pods.has(name) && random.chance(haste))
      addPod(world, name, actors!.release, world.nowMs + 4_000);
  }
  for (const [name, pod] of world.pods) {
    const isExtra = Number(name.split("-").at(-1)) >= (actors?.replicas ?? 0);
    if (isExtra && !pod.isEnding) Object.assign(pod, { isEnding: true, goneAtMs: world.nowMs + 5_000 });
  }
  if (actors !== undefined) world.workloads.actors = { ...actors, pods: world.pods.size };
  for (const [component, each] of [
    ["gateways", gateways],
    ["query", query],
    ["ingest", ingest],
  ] as const) {
    if (each !== undefined)
      world.workloads[component] = { ...each, pods: each.replicas, ready: each.replicas };
  }
  // What is spooled is in volumes, which outlive their gateways: only those hand it in.
  if ((gateways?.pods ?? 0) > 0 && world.isBackendUp && random.chance(haste)) world.waitingClicks = 0;
  for (const [name, pod] of world.pods) if (pod.isUp) obey(world, name, pod, random, haste);
}

export function addPod(world: World, name: string, release: string, upAtMs: number): Pod {
  world.serial += 1;
  const pod: Pod = {
    uid: `pod-${world.serial}`,
    release,
    held: new Map(),
    follows: NO_ASSIGNMENT,
    isUp: false,
    isEnding: false,
    upAtMs,
    goneAtMs: Infinity,
  };
  world.pods.set(name, pod);
  return pod;
}

/** As cmd/actor/ownership.ts: a shard that is another's is served until that one serves it. */
function obey(world: World, name: string, pod: Pod, random: SeededRandom, haste: number): void {
  if ((world.assignment?.version ?? 0) > pod.follows.version) pod.follows = world.assignment!;
  const assignment = pod.follows;
  for (const shard of new Set([...pod.held.keys(), ...assignment.shards.keys()])) {
    const move = moveOf(name, shard, pod.held.get(shard), assignment);
    if (move === undefined || !random.chance(haste)) continue;
    if (move.kind === "acquire") pod.held.set(shard, move.epoch);
    else if (move.kind === "release") pod.held.delete(shard);
    else {
      const next = world.pods.get(move.to);
      const hasSucceeded = (next?.held.get(shard) ?? -1) >= move.epoch;
      if (hasSucceeded || next === undefined || !next.isUp) pod.held.delete(shard);
    }
  }
}
