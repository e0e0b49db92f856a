/**
 * What is written to the status of the ClickCluster and of each HotAdSplit, where it differs from what
 * stands there.
 *
 *  S1 What is not known now is left as it was; conditions alone say that it is not known.
 *  S2 Rates are told to two digits, and anew only when they differ by a tenth; what is merely under way
 *     is no lag: steady traffic writes nothing.
 */
import { isDeepStrictEqual } from "node:util";
import { shardsInUse, type RoutingTable } from "../../actors/routing/table.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import type { ClickClusterStatus } from "../api/click-cluster-status.ts";
import type { HotAdSplit, HotAdSplitStatus } from "../api/hot-ad-split.ts";
import { releaseOf } from "../api/release.ts";
import type { Action } from "./actions.ts";
import { conditionEvents, conditionsOf, type Planned } from "./conditions.ts";
import { adLoads, isCold, keyOf, wantedSplits, type AdLoad } from "./splits.ts";
import { awaySinceMs, heldOf, timeOf, type View } from "./view.ts";
import { hostName, ordinalOf, UNKNOWN } from "./world.ts";

/** Clicks that any look finds between the log and the hosts. */
const UNDER_WAY = 1_000;
/** Clicks a second by which a small rate differs from one look to the next. */
const FEW = 3;

export function planStatus(view: View, planned: Planned): readonly Action[] {
  const conditions = conditionsOf(view, planned);
  const status = clean({ ...statusOf(view, planned), conditions });
  if (isDeepStrictEqual(status, view.status)) return [];
  return [...conditionEvents(view, conditions), { kind: "set-status", status }];
}

function statusOf(view: View, { count }: Planned): ClickClusterStatus {
  const { desired, newest, observed, status: before, limits, nowMs, routing, assignment, name } = view;
  const { gateways, ingest, query } = observed.workloads;
  const reports = [...observed.reports.values()];
  const isHeard = reports.length > 0;
  const sum = (of: (report: (typeof reports)[number]) => number) =>
    reports.reduce((all, each) => all + of(each), 0);
  const lag = sum(({ lagClicks }) => lagClicks);
  const deployment = (seen: typeof gateways, last: ClickClusterStatus["gateways"]) =>
    seen === UNKNOWN ? last : seen && { replicas: seen.pods, ready: seen.ready };
  const shards =
    routing === UNKNOWN || routing === undefined || newest === undefined || assignment === UNKNOWN
      ? before.shards
      : {
          count: newest.shardCount,
          live: shardsInUse(routing, nowMs, limits).length,
          owned: assignment === undefined ? 0 : heldOf(view, assignment).held.length,
        };
  return {
    ...before,
    observedGeneration: desired.cluster.metadata.generation,
    shards,
    routing:
      newest === undefined
        ? before.routing
        : { generation: newest.number, inForceFrom: timeOf(newest.inForceFromMs) },
    assignmentVersion:
      assignment === UNKNOWN ? before.assignmentVersion : (assignment?.version ?? before.assignmentVersion),
    actors: actorsOf(view, count.replicas, {
      recommended: count.recommended,
      fewerSince: count.fewerSinceMs === undefined ? undefined : timeOf(count.fewerSinceMs),
      selector: `app.kubernetes.io/instance=${name},app.kubernetes.io/component=actors`,
    }),
    gateways: deployment(gateways, before.gateways),
    query: deployment(query, before.query),
    ingest: deployment(ingest, before.ingest),
    clicksPerSecond: isHeard
      ? steady(
          sum(({ clicksPerSecond }) => clicksPerSecond),
          before.clicksPerSecond,
        )
      : before.clicksPerSecond,
    lagClicks: isHeard ? steady(lag < UNDER_WAY ? 0 : lag, before.lagClicks) : before.lagClicks,
    splits: newest?.splits.size ?? before.splits,
  };
}

type Actors = NonNullable<ClickClusterStatus["actors"]>;

function actorsOf(
  view: View,
  wanted: number,
  rest: Pick<Actors, "recommended" | "fewerSince" | "selector">,
): Actors {
  const { assignment, name, observed, spec, status } = view;
  const { hosts } = observed;
  const before = status.actors;
  if (hosts === UNKNOWN || assignment === UNKNOWN)
    return { replicas: 0, up: 0, updated: 0, hosts: [], ...before, ...rest };
  const owners = [...(assignment?.shards.values() ?? [])].map(({ host }) => host);
  const expected = Array.from({ length: wanted }, (_, ordinal) => hostName(name, ordinal));
  const names = [...new Set([...expected, ...hosts.keys(), ...owners])];
  const release = releaseOf(spec, "actors");
  const pods = [...hosts.values()];
  return {
    replicas: pods.length,
    up: pods.filter(({ isUp, isEnding }) => isUp && !isEnding).length,
    updated: pods.filter((pod) => pod.release === release).length,
    ...rest,
    hosts: names
      .sort((a, b) => ordinalOf(name, a) - ordinalOf(name, b) || (a < b ? -1 : 1))
      .map((host) => {
        const sinceMs = awaySinceMs(view, host);
        const shards = owners.filter((owner) => owner === host).length;
        return { name: host, shards, awaySince: sinceMs === undefined ? undefined : timeOf(sinceMs) };
      }),
  };
}

export function planSplitStatus(view: View, actions: readonly Action[]): readonly Action[] {
  const { splits } = view.observed;
  if (splits === UNKNOWN || view.routing === UNKNOWN) return [];
  const wanted = wantedSplits(splits);
  const { loads, isComplete } = adLoads(view);
  const touched = new Set(actions.flatMap((each) => ("name" in each ? [each.name] : [])));
  return splits.flatMap((split): readonly Action[] => {
    const { name, deletionTimestamp } = split.metadata;
    if (deletionTimestamp !== undefined) return [];
    const adId = keyOf(split.spec);
    const load = loads.get(adId ?? -1);
    const cold = isCold(view, split.spec.ways, load, isComplete);
    const status = clean(
      splitStatusOf(view, split, adId !== undefined && wanted.get(adId) === split, adId, load, isComplete),
    );
    const before = split.status?.coldSince;
    // Halved now: it must be cold for as long again before it is halved once more.
    const restart = touched.has(name) ? timeOf(view.nowMs) : before;
    const coldSince =
      split.spec.origin === "Hand" || cold === false
        ? undefined
        : (restart ?? (cold === true ? timeOf(view.nowMs) : undefined));
    const next = clean({ ...status, coldSince });
    return isDeepStrictEqual(next, split.status ?? {})
      ? []
      : [{ kind: "set-split-status", name, status: next }];
  });
}

function splitStatusOf(
  { newest, nowMs, routing }: View,
  { metadata, spec, status: before = {} }: HotAdSplit,
  isWanted: boolean,
  adId: IdKey | undefined,
  load: AdLoad | undefined,
  isComplete: boolean,
): HotAdSplitStatus {
  const observedGeneration = metadata.generation;
  const clicksPerSecond =
    load === undefined && !isComplete
      ? before.clicksPerSecond
      : steady(load?.most ?? 0, before.clicksPerSecond);
  if (!isWanted || adId === undefined)
    return {
      observedGeneration,
      state: "Refused",
      clicksPerSecond,
      message: `another HotAdSplit speaks for ad ${spec.adId}`,
    };
  if (newest === undefined || routing === UNKNOWN || routing === undefined)
    return { observedGeneration, state: "Pending", clicksPerSecond };
  const ways = newest.splits.get(adId) ?? 1;
  const since = sinceOf(routing, adId, ways);
  // Generations leave the table; what they said stays.
  const isOld =
    before.since !== undefined && before.ways === ways && Date.parse(before.since) < since.inForceFromMs;
  const most = Math.min(spec.ways, newest.shardCount);
  const message =
    spec.ways > newest.shardCount
      ? `the cluster has ${newest.shardCount} shards: the ad has them all`
      : undefined;
  return {
    observedGeneration,
    state: ways === most && since.inForceFromMs <= nowMs ? "Active" : "Pending",
    ways,
    generation: isOld ? before.generation : since.number,
    since: isOld ? before.since : timeOf(since.inForceFromMs),
    clicksPerSecond,
    message,
  };
}

/** The first of the newest generations that all spread the ad in this way. */
function sinceOf(
  { newestFirst }: RoutingTable,
  adId: IdKey,
  ways: number,
): { number: number; inForceFromMs: number } {
  let first = newestFirst[0]!;
  for (const each of newestFirst) {
    if ((each.splits.get(adId) ?? 1) !== ways) break;
    first = each;
  }
  return first;
}

/** S2. Whether there is anything at all is told at once. */
export function steady(count: number, before: number | undefined): number {
  const next = twoDigits(count);
  if (before === undefined || before === 0 || next === 0) return next;
  return Math.abs(count - before) < Math.max(before * 0.1, FEW) ? before : next;
}

function twoDigits(count: number): number {
  const whole = Math.round(Math.max(0, count));
  const step = 10 ** Math.max(0, String(whole).length - 2);
  return Math.round(whole / step) * step;
}

/** Without the fields that are undefined: as it comes back from the API server. */
function clean<T>(value: T): T {
  if (Array.isArray(value)) return value.map(clean) as T;
  if (typeof value !== "object" || value === null) return value;
  const kept: Record<string, unknown> = {};
  for (const name in value) if (value[name] !== undefined) kept[name] = clean(value[name]);
  return kept as T;
}
