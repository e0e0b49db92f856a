/**
 * The routing table: every generation published so far. The operator (in the embedded form,
 * the program itself) adds to it; placement and gateways read it.
 *
 * Timeline of a change, published at p by a publisher whose clock is at most `clockSkewMs` off:
 *
 *      p ──────────── routingLeadMs ───────────► in force
 *      └ readable by all within the lead
 *
 * A table read at r lacks only what was published after r, and that takes force no sooner than
 * r + routingLeadMs - clockSkewMs: up to there it answers as every newer table would.
 *
 *  G1 A published generation never changes, and its number is never given to another.
 *  G2 Numbers and times of force rise together, strictly.
 *  G3 `generationAt` gives one answer for one time, whichever table is asked: or none.
 */
import { AdtallyError } from "../core/errors.ts";
import type { IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { GENERATION_MAX } from "./generation.ts";
import type { Generation } from "./generation.ts";

export interface RoutingTable {
  readonly generations: ReadonlyMap<number, Generation>;
  readonly newestFirst: readonly Generation[];
  /** The reader's clock when the read began. */
  readonly readAtMs: number;
}

export interface RoutingChange {
  readonly shardCount?: number;
  /** Ways of the ads to split, or to split otherwise than now. */
  readonly split?: ReadonlyMap<IdKey, number>;
  /** Ads to merge back into one shard each. */
  readonly merge?: readonly IdKey[];
}

type RoutingLimits = Pick<Limits, "routingLeadMs" | "clockSkewMs" | "maxShards">;
type LifeLimits = Pick<Limits, "tokenLifeMs" | "dedupRetentionMs" | "clockSkewMs">;

export function emptyTable(readAtMs: number): RoutingTable {
  return tableOf([], readAtMs);
}

/** @throws INPUT_INVALID where G1 or G2 does not hold. */
export function tableOf(generations: Iterable<Generation>, readAtMs: number): RoutingTable {
  const newestFirst = [...generations].sort((a, b) => b.number - a.number);
  newestFirst.forEach((newer, i) => {
    const older = newestFirst[i + 1];
    if (older === undefined) return;
    if (newer.number === older.number) throw invalid(`generation ${newer.number} is there twice`);
    if (newer.inForceFromMs <= older.inForceFromMs) {
      throw invalid(`generation ${newer.number} takes force no later than generation ${older.number}`);
    }
  });
  return { generations: new Map(newestFirst.map((each) => [each.number, each])), newestFirst, readAtMs };
}

/**
 * The generation in force at `timeMs`, as every table would answer. Placement asks for now; a
 * gateway asks for the time of an SDK's click id, which it has found to be no further ahead than
 * `clockSkewMs`: a table read within the last routingLeadMs - 2 × clockSkewMs always answers.
 */
export function generationAt(
  table: RoutingTable,
  timeMs: number,
  nowMs: number,
  limits: RoutingLimits,
): Generation | "ROUTING_TABLE_STALE" | "NO_GENERATION" {
  const completeUntilMs = table.readAtMs + limits.routingLeadMs - limits.clockSkewMs;
  const readTooLongAgo = nowMs - table.readAtMs > limits.routingLeadMs;
  if (readTooLongAgo || timeMs >= completeUntilMs) return "ROUTING_TABLE_STALE";
  for (const generation of table.newestFirst) {
    if (generation.inForceFromMs <= timeMs) return generation;
  }
  return "NO_GENERATION";
}

/**
 * The table with one generation more. It takes force after the lead; the very first has nothing
 * to be told apart from and holds for all time before it, too.
 * @throws INPUT_INVALID, naming the part of the change that cannot be.
 */
export function addGeneration(
  table: RoutingTable,
  change: RoutingChange,
  nowMs: number,
  limits: RoutingLimits,
): RoutingTable {
  const newest = table.newestFirst[0];
  const shardCount = change.shardCount ?? newest?.shardCount;
  if (shardCount === undefined) throw invalid("the first generation needs a shard count");
  if (!Number.isInteger(shardCount) || shardCount < 1 || shardCount > limits.maxShards) {
    throw invalid(`shard count ${shardCount} is not a whole number from 1 to ${limits.maxShards}`);
  }
  if (newest !== undefined && newest.number >= GENERATION_MAX) {
    throw invalid(`generation ${GENERATION_MAX} is the last that a token can carry`);
  }
  const generation: Generation = {
    number: newest === undefined ? 1 : newest.number + 1,
    // A publisher whose clock stepped back must not overtake what is already published (G2).
    inForceFromMs:
      newest === undefined ? 0 : Math.max(nowMs + limits.routingLeadMs, newest.inForceFromMs + 1),
    shardCount,
    splits: changedSplits(newest?.splits ?? new Map(), change, shardCount),
  };
  return tableOf([...table.newestFirst, generation], table.readAtMs);
}

function changedSplits(
  current: ReadonlyMap<IdKey, number>,
  change: RoutingChange,
  shardCount: number,
): ReadonlyMap<IdKey, number> {
  const splits = new Map(current);
  for (const adId of change.merge ?? []) {
    if (change.split?.has(adId)) throw invalid(`ad ${adId} is to be split and merged at once`);
    if (!splits.delete(adId)) throw invalid(`ad ${adId} is to be merged but is not split`);
  }
  for (const [adId, ways] of change.split ?? []) splits.set(adId, ways);
  for (const [adId, ways] of splits) assertWays(adId, ways, shardCount);
  return splits;
}

/** Every shard that any generation has had: ascending. */
export function shardsEver({ newestFirst }: RoutingTable): readonly number[] {
  const count = Math.max(0, ...newestFirst.map(({ shardCount }) => shardCount));
  return Array.from({ length: count }, (_, shard) => shard);
}

/** @throws INPUT_INVALID unless the ad can have that many distinct shards. */
export function assertWays(adId: IdKey, ways: number, shardCount: number): void {
  if (!Number.isInteger(ways) || ways < 2 || ways > shardCount) {
    throw invalid(
      `ad ${adId} cannot be split ${ways} ways over ${shardCount} shards: from 2 to ${shardCount} can`,
    );
  }
}

/**
 * Every shard to which a click that still counts, or whose copy must still be found, can be
 * routed: ascending. A shard that is not listed can be let go.
 */
export function shardsInUse(table: RoutingTable, nowMs: number, limits: LifeLimits): readonly number[] {
  const neededSinceMs = nowMs - limits.tokenLifeMs - limits.dedupRetentionMs - limits.clockSkewMs;
  let count = 0;
  let supersededAtMs = Infinity;
  for (const generation of table.newestFirst) {
    if (supersededAtMs > neededSinceMs) count = Math.max(count, generation.shardCount);
    supersededAtMs = generation.inForceFromMs;
  }
  return Array.from({ length: count }, (_, shard) => shard);
}

export function invalid(what: string): AdtallyError {
  return new AdtallyError("INPUT_INVALID", `routing: ${what}`);
}
