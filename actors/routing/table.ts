/**
 * The routing table: every generation published so far. The operator (in the embedded form,
 * the program itself) adds to it; placement and gateways read it.
 *
 * Timeline of a change, published at p by a publisher whose clock is at most `clockSkewMs` off:
 *
 *      p ──────────── routingLeadMs ───────────► in force
 *      └ readable by all within routingLagMs
 *
 * A table read at r lacks only what was published after r - routingLagMs, and that takes force no
 * sooner than r + routingLeadMs - routingLagMs - clockSkewMs: up to there it answers as every newer
 * table would.
 *
 *  G1 A published generation never changes, and its number is given to another only when no click
 *     that could count, or whose copy must be found, can name it any more.
 *  G2 Times of force rise strictly from each generation to the next, and numbers with them, but for
 *     one step past the highest that a token carries, on to 1.
 *  G3 `generationAt` gives one answer for one time, whichever table is asked: or none.
 *  G4 A generation that nothing can name leaves the table, and is told from one that is lacking: a
 *     reader forgets it (withoutRetired) a while before a publisher leaves it out.
 */
import { AdtallyError } from "../core/errors.ts";
import type { IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { GENERATION_MAX } from "./generation.ts";
import type { Generation } from "./generation.ts";

export interface RoutingTable {
  readonly generations: ReadonlyMap<number, Generation>;
  readonly newestFirst: readonly Generation[];
  /** The most shards that a generation had which has left the table: their data may still be there. */
  readonly retiredShards: number;
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

type RoutingLimits = Pick<Limits, "routingLeadMs" | "routingLagMs" | "clockSkewMs" | "maxShards">;
type LifeLimits = Pick<Limits, "tokenLifeMs" | "dedupRetentionMs" | "clockSkewMs">;

/** How much longer a publisher keeps a generation than a reader needs it: their clocks may differ. */
const RETIRED_LATER_MS = 10 * 60_000;
/** Of one table: a change every six seconds. Far fewer than there are numbers, so none is met again. */
const MOST_GENERATIONS = 4_096;

/** When the impressions were made that anything remembers. */
function neededSinceMs(nowMs: number, limits: LifeLimits): number {
  return nowMs - limits.tokenLifeMs - limits.dedupRetentionMs - limits.clockSkewMs;
}

export function emptyTable(readAtMs: number): RoutingTable {
  return tableOf([], readAtMs);
}

/** @throws INPUT_INVALID where G1 or G2 does not hold. */
export function tableOf(
  generations: Iterable<Generation>,
  readAtMs: number,
  retiredShards = 0,
): RoutingTable {
  const newestFirst = [...generations].sort((a, b) => b.inForceFromMs - a.inForceFromMs);
  const byNumber = new Map(newestFirst.map((each) => [each.number, each]));
  newestFirst.forEach((newer, i) => {
    if (byNumber.get(newer.number) !== newer) throw invalid(`generation ${newer.number} is there twice`);
    const older = newestFirst[i + 1];
    if (older === undefined) return;
    const steps = (newer.number - older.number + GENERATION_MAX) % GENERATION_MAX;
    if (newer.inForceFromMs === older.inForceFromMs || steps > MOST_GENERATIONS) {
      const [high, low] = newer.number > older.number ? [newer, older] : [older, newer];
      throw invalid(`generation ${high.number} takes force no later than generation ${low.number}`);
    }
  });
  return { generations: byNumber, newestFirst, retiredShards, readAtMs };
}

/**
 * The generation in force at `timeMs`, as every table would answer. Placement asks for now; a
 * gateway asks for the time of an SDK's click id, which it has found to be no further ahead than
 * `clockSkewMs`: a table read within the last routingLeadMs - routingLagMs - 2 × clockSkewMs always
 * answers.
 */
export function generationAt(
  table: RoutingTable,
  timeMs: number,
  nowMs: number,
  limits: RoutingLimits,
): Generation | "ROUTING_TABLE_STALE" | "NO_GENERATION" {
  const seenForMs = limits.routingLeadMs - limits.routingLagMs;
  const completeUntilMs = table.readAtMs + seenForMs - limits.clockSkewMs;
  const readTooLongAgo = nowMs - table.readAtMs > seenForMs;
  if (readTooLongAgo || timeMs >= completeUntilMs) return "ROUTING_TABLE_STALE";
  for (const generation of table.newestFirst) {
    if (generation.inForceFromMs <= timeMs) return generation;
  }
  return "NO_GENERATION";
}

/**
 * What makes `newest` as wanted, or undefined where it is. `splits`: of all ads that are to be split,
 * others are merged; undefined: as they are.
 */
export function changeTo(
  newest: Generation | undefined,
  shardCount: number,
  splits?: ReadonlyMap<IdKey, number>,
): RoutingChange | undefined {
  const current = newest?.splits ?? new Map<IdKey, number>();
  const wanted = splits ?? current;
  const split = new Map([...wanted].filter(([adId, ways]) => current.get(adId) !== ways));
  const merge = [...current.keys()].filter((adId) => !wanted.has(adId));
  const isSame = newest?.shardCount === shardCount && split.size === 0 && merge.length === 0;
  return isSame ? undefined : { shardCount, split, merge };
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
  limits: RoutingLimits & LifeLimits,
): RoutingTable {
  const newest = table.newestFirst[0];
  const shardCount = change.shardCount ?? newest?.shardCount;
  if (shardCount === undefined) throw invalid("the first generation needs a shard count");
  if (!Number.isInteger(shardCount) || shardCount < 1 || shardCount > limits.maxShards) {
    throw invalid(`shard count ${shardCount} is not a whole number from 1 to ${limits.maxShards}`);
  }
  const kept = withoutRetired(table, nowMs - RETIRED_LATER_MS - limits.routingLeadMs, limits);
  const number = newest === undefined ? 1 : (newest.number % GENERATION_MAX) + 1;
  if (kept.generations.has(number) || kept.generations.size >= MOST_GENERATIONS) {
    throw invalid(
      `${kept.generations.size} generations are still in use, and more cannot be told apart: change the table less often`,
    );
  }
  const generation: Generation = {
    number,
    // A publisher whose clock stepped back must not overtake what is already published (G2).
    inForceFromMs:
      newest === undefined ? 0 : Math.max(nowMs + limits.routingLeadMs, newest.inForceFromMs + 1),
    shardCount,
    splits: changedSplits(newest?.splits ?? new Map(), change, shardCount),
  };
  return tableOf([...kept.newestFirst, generation], table.readAtMs, kept.retiredShards);
}

/**
 * The table less the generations that no click can name any more (G4): superseded for so long that
 * their last impressions are forgotten everywhere. The newest always stays.
 */
export function withoutRetired(table: RoutingTable, nowMs: number, limits: LifeLimits): RoutingTable {
  const sinceMs = neededSinceMs(nowMs, limits);
  const { newestFirst } = table;
  const kept = newestFirst.filter((_, i) => i === 0 || newestFirst[i - 1]!.inForceFromMs > sinceMs);
  if (kept.length === newestFirst.length) return table;
  const gone = newestFirst.slice(kept.length).map(({ shardCount }) => shardCount);
  return tableOf(kept, table.readAtMs, Math.max(table.retiredShards, ...gone));
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
export function shardsEver({ newestFirst, retiredShards }: RoutingTable): readonly number[] {
  const count = Math.max(retiredShards, ...newestFirst.map(({ shardCount }) => shardCount));
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
  const sinceMs = neededSinceMs(nowMs, limits);
  let count = 0;
  let supersededAtMs = Infinity;
  for (const generation of table.newestFirst) {
    if (supersededAtMs > sinceMs) count = Math.max(count, generation.shardCount);
    supersededAtMs = generation.inForceFromMs;
  }
  return Array.from({ length: count }, (_, shard) => shard);
}

export function invalid(what: string): AdtallyError {
  return new AdtallyError("INPUT_INVALID", `routing: ${what}`);
}
