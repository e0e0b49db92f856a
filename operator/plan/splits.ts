/**
 * The HotAdSplits: which one speaks for an ad, and which ones the policy makes, widens, narrows and
 * removes.
 *
 *  Y1 One object speaks for an ad: a person's before the policy's, then the older one.
 *  Y2 What a person made is never changed or removed.
 *  Y3 An ad is split, or split further, by clicks that were surely its own: what is not known could
 *     only add. It is merged, or split less, only when every host has said what it gets.
 *  Y4 Ways are such that each gets half of what would split it further; they are halved only when
 *     each of the half would get less than mergeBelowPercent: neither calls for the other.
 */
import { idKeyOf, parseU64, type IdKey } from "../../actors/core/ids.ts";
import type { HotAdSplit, HotAdSplitSpec } from "../api/hot-ad-split.ts";
import type { Action } from "./actions.ts";
import { fleetOf, type View } from "./view.ts";
import { UNKNOWN } from "./world.ts";

/** By ad; an object whose ad is no ad speaks for none. */
export function wantedSplits(splits: readonly HotAdSplit[]): ReadonlyMap<IdKey, HotAdSplit> {
  const wanted = new Map<IdKey, HotAdSplit>();
  for (const split of splits.toSorted(byPrecedence)) {
    const adId = keyOf(split.spec);
    if (split.metadata.deletionTimestamp === undefined && adId !== undefined && !wanted.has(adId)) {
      wanted.set(adId, split);
    }
  }
  return wanted;
}

export function keyOf({ adId }: Pick<HotAdSplitSpec, "adId">): IdKey | undefined {
  const id = parseU64(adId);
  return id === undefined ? undefined : idKeyOf(id);
}

function byPrecedence(a: HotAdSplit, b: HotAdSplit): number {
  const rank = ({ spec, metadata }: HotAdSplit) =>
    `${spec.origin === "Hand" ? 0 : 1} ${metadata.creationTimestamp} ${metadata.name}`;
  return rank(a) < rank(b) ? -1 : 1;
}

export interface AdLoad {
  /** Clicks a second that were surely the ad's, … */
  readonly least: number;
  /** … and as many as may have been. */
  readonly most: number;
}

/** Of all ads that a host named. `isComplete`: every host has, so that an ad not among them gets little. */
export function adLoads(view: View): {
  readonly loads: ReadonlyMap<IdKey, AdLoad>;
  readonly isComplete: boolean;
} {
  const { reports } = view.observed;
  const loads = new Map<IdKey, AdLoad>();
  for (const { topAds } of reports.values()) {
    for (const { adId, clicksPerSecond, error } of topAds) {
      const { least, most } = loads.get(adId) ?? { least: 0, most: 0 };
      loads.set(adId, { least: least + clicksPerSecond - error, most: most + clicksPerSecond });
    }
  }
  const fleet = fleetOf(view);
  const isComplete =
    fleet !== undefined &&
    fleet.hosts.size >= fleet.workload.replicas &&
    fleet.workload.replicas > 0 &&
    [...fleet.hosts].every(([name, { isUp }]) => isUp && reports.has(name));
  return { loads, isComplete };
}

/** Whether half as many ways would do; undefined: not known. */
export function isCold(
  view: View,
  ways: number,
  load: AdLoad | undefined,
  isComplete: boolean,
): boolean | undefined {
  const { hotAds, shards } = view.spec;
  const below = (shards.clicksPerSecond * hotAds.mergeBelowPercent) / 100;
  const half = Math.max(1, Math.floor(ways / 2));
  if (load !== undefined && load.least / half >= below) return false;
  return isComplete ? (load?.most ?? 0) / half < below : undefined;
}

export function planSplits(view: View): readonly Action[] {
  const { newest, name, nowMs, observed, spec } = view;
  if (observed.splits === UNKNOWN || newest === undefined) return [];
  const wanted = wantedSplits(observed.splits);
  const actions: Action[] = [];
  for (const { metadata, spec: own } of observed.splits) {
    const winner = wanted.get(keyOf(own) ?? -1);
    if (
      own.origin === "Policy" &&
      winner?.metadata.uid !== metadata.uid &&
      metadata.deletionTimestamp === undefined
    ) {
      const because = {
        reason: "SplitByHand",
        message: `ad ${own.adId} has a HotAdSplit that speaks before this`,
      };
      actions.push({ kind: "delete-split", name: metadata.name, uid: metadata.uid, because });
    }
  }
  if (spec.hotAds.mode === "Off") return actions;
  const { loads, isComplete } = adLoads(view);
  const names = new Set(observed.splits.map(({ metadata }) => metadata.name));
  const capacity = spec.shards.clicksPerSecond;
  const splitAbove = (capacity * spec.hotAds.splitAbovePercent) / 100;
  const mostWays = Math.min(spec.hotAds.maxWays, newest.shardCount);
  const waysFor = (clicks: number) => Math.min(Math.max(2, Math.ceil((2 * clicks) / splitAbove)), mostWays);
  const apply = (object: string, adId: string, ways: number, reason: string, clicks: number): void => {
    const message = `ad ${adId} gets ${Math.round(clicks)} clicks/s, of ${capacity} that a shard carries: over ${ways} shards`;
    const own: HotAdSplitSpec = { clusterName: name, adId, ways, origin: "Policy" };
    actions.push({ kind: "apply-split", name: object, spec: own, because: { reason, message } });
  };

  for (const [adId, { least }] of loads) {
    const split = wanted.get(adId);
    const ways = split?.spec.ways ?? 1;
    if (split?.spec.origin === "Hand" || least / ways <= splitAbove) continue;
    const object = split?.metadata.name ?? `${name}-${adId}`;
    if (waysFor(least) <= ways || (split === undefined && names.has(object))) continue;
    apply(object, String(adId), waysFor(least), split === undefined ? "AdSplit" : "AdSplitFurther", least);
  }

  for (const [adId, { metadata, spec: own, status }] of wanted) {
    const load = loads.get(adId);
    if (own.origin === "Hand" || status?.coldSince === undefined) continue;
    if (nowMs - Date.parse(status.coldSince) < spec.hotAds.mergeAfterSeconds * 1_000) continue;
    if (isCold(view, own.ways, load, isComplete) !== true) continue;
    const ways = Math.floor(own.ways / 2);
    if (ways > 1) apply(metadata.name, own.adId, ways, "AdSplitLess", load?.most ?? 0);
    else {
      const message = `ad ${own.adId} gets ${Math.round(load?.most ?? 0)} clicks/s: one shard will do`;
      const because = { reason: "AdMerged", message };
      actions.push({ kind: "delete-split", name: metadata.name, uid: metadata.uid, because });
    }
  }
  return actions;
}
