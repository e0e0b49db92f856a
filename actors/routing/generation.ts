/**
 * A routing generation: an immutable, numbered map from (ad, impression) to shard. A token
 * pins its generation, so every copy of a click meets its first copy on one shard, whatever
 * has been split, merged or scaled since. Gateways route by it; the operator plans new ones.
 *
 *  R1 `route` depends on its arguments alone, and never changes for a published generation.
 *  R2 An ad that is not split has one shard; an ad split n ways has n distinct ones.
 *  R3 Which of an ad's shards takes a click depends on the whole impression id and on nothing
 *     that a copy of the click could change.
 */
import { hash128, hash64, reduce } from "../core/hash.ts";
import { idKey } from "../core/ids.ts";
import type { IdKey } from "../core/ids.ts";

export const GENERATION_MAX = 0xffff;

export interface Generation {
  /** From 1; fits the token's 16 bits. */
  readonly number: number;
  readonly inForceFromMs: number;
  readonly shardCount: number;
  /** Ways of each ad that is split: from 2 to shardCount. */
  readonly splits: ReadonlyMap<IdKey, number>;
}

// Seeds of their own: what shares a shard must not share a dedup bucket as well.
const AD_SEED = 0x61645f31;
const IMPRESSION_SEED = 0x696d7031;

/**
 * The shard of a click. `w0`…`w3` are the impression id's four big-endian 32-bit words.
 * An ad's sub-shards follow one another from the shard that it has unsplit.
 */
export function route(
  generation: Generation,
  adHigh: number,
  adLow: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  const { shardCount, splits } = generation;
  const first = reduce(hash64(adHigh, adLow, AD_SEED), shardCount);
  if (splits.size === 0) return first;
  const ways = splits.get(idKey(adHigh, adLow));
  if (ways === undefined) return first;
  return (first + reduce(hash128(w0, w1, w2, w3, IMPRESSION_SEED), ways)) % shardCount;
}
