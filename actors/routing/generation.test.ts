import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { route } from "./generation.ts";
import type { Generation } from "./generation.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const ad = (low: number): [high: number, low: number] => [0, low];

const generation = (shardCount: number, splits: [number, number][] = []): Generation => ({
  number: 1,
  inForceFromMs: 0,
  shardCount,
  splits: new Map(splits),
});

/** UUIDv7s as real ones come: many in a millisecond, the random part from a seed. */
function* impressions(count: number, seed: number): Generator<[number, number, number, number]> {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
  const random32 = () => ((next() & 0xffff_0000) | (next() >>> 16)) >>> 0;
  for (let i = 0; i < count; i++) {
    const ms = 1_700_000_000_000 + Math.floor(i / 100);
    const w1 = (((ms & 0xffff) << 16) | 0x7000 | (random32() >>> 20)) >>> 0;
    yield [Math.floor(ms / 0x1_0000), w1, (0x8000_0000 | (random32() >>> 2)) >>> 0, random32()];
  }
}

/** How far the fullest and the emptiest bin lie from the mean, as a share of it. */
function unevenness(bins: readonly number[]): number {
  const mean = bins.reduce((sum, bin) => sum + bin, 0) / bins.length;
  return Math.max(...bins.map((bin) => Math.abs(bin - mean))) / mean;
}

describe("route", () => {
  it("keeps its golden shards: tokens in browsers depend on them", () => {
    const split = generation(64, [[1001, 8]]);
    const shards = [...impressions(8, 1)].map((words) => route(split, ...ad(1001), ...words));
    expect(shards).toEqual([7, 3, 5, 3, 3, 7, 6, 8]);
    const ads = Array.from({ length: 8 }, (_, low) => route(generation(4096), 7, low, 0, 0, 0, 0));
    expect(ads).toEqual([2216, 476, 2119, 2479, 2729, 1033, 174, 3154]);
  });

  it("gives an ad that is not split one shard, whatever the impression", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4096 }),
        u32,
        u32,
        u32,
        u32,
        u32,
        u32,
        (n, high, low, a, b, c, d) => {
          const shard = route(generation(n), high, low, a, b, c, d);
          expect(shard).toBe(route(generation(n, [[-1, 2]]), high, low, d, c, b, a));
          expect(Number.isInteger(shard) && shard >= 0 && shard < n).toBe(true);
        },
      ),
    );
  });

  it("gives an ad split n ways exactly n shards, among them the one it had before", () => {
    const cases = fc
      .integer({ min: 2, max: 64 })
      .chain((shardCount) => fc.tuple(fc.constant(shardCount), fc.integer({ min: 2, max: shardCount }), u32));
    fc.assert(
      fc.property(cases, ([shardCount, ways, low]) => {
        const split = generation(shardCount, [[low, ways]]);
        const seen = new Set<number>();
        for (const words of impressions(ways * 40, low)) seen.add(route(split, ...ad(low), ...words));
        expect(seen.size).toBe(ways);
        expect(Math.max(...seen)).toBeLessThan(shardCount);
        expect(seen).toContain(route(generation(shardCount), ...ad(low), 0, 0, 0, 0));
      }),
    );
  });

  it.each(Array.from({ length: 15 }, (_, i) => i + 2))(
    "loads an ad's %i sub-shards evenly within a twentieth",
    (ways) => {
      const split = generation(16, [[1001, ways]]);
      const bins = new Array<number>(16).fill(0);
      for (const words of impressions(200_000, ways)) bins[route(split, ...ad(1001), ...words)]! += 1;
      const used = bins.filter((bin) => bin > 0);
      expect(used).toHaveLength(ways);
      expect(unevenness(used)).toBeLessThan(0.05);
    },
  );

  it.each([2, 3, 4, 16])("spreads ads that are not split evenly over %i shards", (shardCount) => {
    const bins = new Array<number>(shardCount).fill(0);
    for (let low = 1; low <= 200_000; low++)
      bins[route(generation(shardCount), ...ad(low), 0, 0, 0, 0)]! += 1;
    expect(unevenness(bins)).toBeLessThan(0.05);
  });

  it("finds the split of an ad whose id is past the safe integers", () => {
    const id = (1n << 64n) - 2n;
    const split: Generation = { ...generation(8), splits: new Map([[id, 8]]) };
    const seen = new Set<number>();
    for (const words of impressions(400, 5)) seen.add(route(split, 0xffff_ffff, 0xffff_fffe, ...words));
    expect(seen.size).toBe(8);
  });

  it("chooses the sub-shard by every part of the impression id", () => {
    const split = generation(16, [[1001, 16]]);
    for (const word of [0, 1, 2, 3]) {
      const seen = new Set<number>();
      for (let value = 0; value < 400; value++) {
        const words: [number, number, number, number] = [1, 2, 3, 4];
        words[word] = value;
        seen.add(route(split, ...ad(1001), ...words));
      }
      expect(seen.size, `word ${word}`).toBe(16);
    }
  });
});
