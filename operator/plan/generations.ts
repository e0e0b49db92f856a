/**
 * Routing generations: which one to publish next, if any. How many shards there are to be, and over
 * how many of them each ad is spread, go into one generation.
 *
 *  G1 The number of shards never falls: tokens of a live generation are on their way to them.
 *  G2 Splits are as the HotAdSplits say (splits.ts), and as they are where those are not known.
 *  G3 Generations follow one another no faster than every half minute, so that changes gather, and
 *     numbers are never used up.
 *  G4 A first generation is published only where there has never been one.
 */
import { isAdtallyError } from "../../actors/core/errors.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import { addGeneration, changeTo, emptyTable, type RoutingTable } from "../../actors/routing/table.ts";
import type { Action } from "./actions.ts";
import { wantedSplits } from "./splits.ts";
import { timeOf, type View } from "./view.ts";
import { UNKNOWN } from "./world.ts";

const SPACING_MS = 30_000;

export interface RoutingPlan {
  readonly actions: readonly Action[];
  /** Whether what is published is as wanted; undefined: not known. */
  readonly isAsWanted: boolean | undefined;
  /** Why it cannot be made so. */
  readonly refused?: string;
}

export function planRouting(view: View): RoutingPlan {
  const { routing, newest, nowMs, limits, observed } = view;
  if (routing === UNKNOWN) return { actions: [], isAsWanted: undefined };
  const before = routing ?? emptyTable(nowMs);
  const shardCount = wantedShards(view);
  const change = changeTo(newest, shardCount, boundedSplits(view, shardCount));
  const isSure = observed.splits !== UNKNOWN;
  if (change === undefined) return { actions: [], isAsWanted: isSure ? true : undefined };
  const lastMs = newest === undefined ? 0 : newest.inForceFromMs - limits.routingLeadMs;
  // A publisher whose clock was ahead must not hold changes up for longer than the spacing.
  if (nowMs - lastMs < SPACING_MS && lastMs <= nowMs) return { actions: [], isAsWanted: false };
  let table: RoutingTable;
  try {
    table = addGeneration(before, change, nowMs, limits);
  } catch (error) {
    if (isAdtallyError(error, "INPUT_INVALID"))
      return { actions: [], isAsWanted: false, refused: error.message };
    throw error;
  }
  const next = table.newestFirst[0]!;
  const split = [...(change.split ?? [])].map(([adId, ways]) => `ad ${adId} over ${ways} shards`);
  const merged = (change.merge ?? []).map((adId) => `ad ${adId} over one again`);
  const since = next.inForceFromMs === 0 ? "from the beginning" : `from ${timeOf(next.inForceFromMs)}`;
  const what = [`${shardCount} shards`, ...split, ...merged].join(", ");
  const because = {
    reason: "RoutingPublished",
    message: `generation ${next.number}, in force ${since}: ${what}`,
  };
  return {
    actions: [{ kind: "publish-routing", table, after: newest?.number ?? 0, because }],
    isAsWanted: false,
  };
}

/** By the spec, and by the load where the operator may scale: doubled until they carry it. */
export function wantedShards({ spec, newest, observed: { reports } }: View): number {
  const { shards, autoscaling } = spec;
  const current = newest?.shardCount ?? 0;
  let count = Math.max(current, shards.min);
  if (autoscaling.mode === "Auto" && current > 0) {
    const clicks = [...reports.values()].reduce((sum, { clicksPerSecond }) => sum + clicksPerSecond, 0);
    const each = shards.clicksPerSecond * (autoscaling.targetPercent / 100);
    while (count * each < clicks && count < shards.max) count *= 2;
  }
  return Math.max(current, Math.min(count, shards.max));
}

/** Undefined: as they are. An ad that is to be spread further than there are shards has them all. */
function boundedSplits(view: View, shardCount: number): ReadonlyMap<IdKey, number> | undefined {
  if (view.observed.splits === UNKNOWN) return undefined;
  const bounded = new Map<IdKey, number>();
  for (const [adId, { spec }] of wantedSplits(view.observed.splits)) {
    const ways = Math.min(spec.ways, shardCount);
    if (ways > 1) bounded.set(adId, ways);
  }
  return bounded;
}
