/**
 * The ads that a shard sees most, in bounded memory: the Space-Saving sketch (Metwally, Agrawal and
 * El Abbadi, "Efficient computation of frequent and top-k elements in data streams", ICDT 2005),
 * with weights. A shard's owner counts into it; the operator's planner reads the top of all shards.
 *
 * It has `capacity` counters. An ad that has none takes the smallest one over, with its count as
 * the error. With N the total of all weights, and true(a) what ad a really had:
 *
 *  H1 count(a) - error(a) ≤ true(a) ≤ count(a), for every ad that has a counter.
 *  H2 error(a) ≤ N / capacity, and so is true(a) of every ad that has none: no ad with a larger
 *     share is missed.
 *  H3 The counts add up to N.
 *
 * The counters stand in a heap, the smallest on top, in typed arrays: counting allocates nothing but
 * where an ad takes a counter over, and costs O(log capacity).
 */
import { invariant } from "../core/errors.ts";
import type { IdKey } from "../core/ids.ts";

export interface TopAd {
  readonly adId: IdKey;
  /** At most this many: `error` of them may have been of others. */
  readonly count: number;
  readonly error: number;
}

export interface SpaceSaving {
  /** `weight`: how many clicks of this ad; a batch is counted in one go. */
  add(adId: IdKey, weight: number): void;
  /** The largest counts first; equal ones in the order of their ids. */
  top(most: number): readonly TopAd[];
  /** N: of all ads, whether they have a counter or not. */
  readonly total: number;
  clear(): void;
}

export function createSpaceSaving(capacity: number): SpaceSaving {
  invariant(Number.isInteger(capacity) && capacity > 0, "a sketch needs at least one counter");
  const places = new Map<IdKey, number>();
  const ads = new Array<IdKey>(capacity).fill(0);
  const counts = new Float64Array(capacity);
  const errors = new Float64Array(capacity);
  let used = 0;
  let total = 0;

  const put = (place: number, adId: IdKey, count: number, error: number): void => {
    ads[place] = adId;
    counts[place] = count;
    errors[place] = error;
    places.set(adId, place);
  };

  /** Where a counter whose count rose belongs, from `place` downward; smaller ones move up. */
  function settle(place: number, adId: IdKey, count: number, error: number): void {
    let at = place;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < used && counts[child + 1]! < counts[child]!) child += 1;
      if (child >= used || counts[child]! >= count) break;
      put(at, ads[child]!, counts[child]!, errors[child]!);
      at = child;
    }
    put(at, adId, count, error);
  }

  /** A new counter, from the end upward; larger ones move down. */
  function rise(adId: IdKey, count: number): void {
    let at = used;
    used += 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (counts[parent]! <= count) break;
      put(at, ads[parent]!, counts[parent]!, errors[parent]!);
      at = parent;
    }
    put(at, adId, count, 0);
  }

  return {
    add(adId, weight) {
      total += weight;
      const place = places.get(adId);
      if (place !== undefined) {
        settle(place, adId, counts[place]! + weight, errors[place]!);
      } else if (used < capacity) {
        rise(adId, weight);
      } else {
        const least = counts[0]!;
        places.delete(ads[0]!);
        settle(0, adId, least + weight, least);
      }
    },
    top(most) {
      const all = Array.from({ length: used }, (_, i): TopAd => ({
        adId: ads[i]!,
        count: counts[i]!,
        error: errors[i]!,
      }));
      return all.sort((a, b) => b.count - a.count || (a.adId < b.adId ? -1 : 1)).slice(0, most);
    },
    get total() {
      return total;
    },
    clear() {
      places.clear();
      used = 0;
      total = 0;
    },
  };
}
