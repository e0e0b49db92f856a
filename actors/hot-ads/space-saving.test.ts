import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSpaceSaving } from "./space-saving.ts";
import { createTopRates } from "./top-rates.ts";

/** Ads as they come: few take most of the clicks; and some that are met once, to push the rest out. */
const clicks = fc.array(
  fc.tuple(
    fc.oneof(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 0, max: 60 }),
      fc.bigInt(1n << 60n, 1n << 62n),
    ),
    fc.integer({ min: 1, max: 9 }),
  ),
  { maxLength: 400 },
);

describe("the Space-Saving sketch", () => {
  it("H1 H2 H3: no count is further off than its error, no error past N / capacity, no larger ad missed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), clicks, (capacity, stream) => {
        const sketch = createSpaceSaving(capacity);
        const exact = new Map<number | bigint, number>();
        for (const [adId, weight] of stream) {
          sketch.add(adId, weight);
          exact.set(adId, (exact.get(adId) ?? 0) + weight);
        }
        const total = [...exact.values()].reduce((sum, each) => sum + each, 0);
        const top = sketch.top(capacity);
        const found = new Set(top.map(({ adId }) => adId));
        expect(sketch.total).toBe(total);
        expect(top.reduce((sum, { count }) => sum + count, 0)).toBe(total);
        expect(top.length).toBe(Math.min(capacity, exact.size));
        expect(found.size).toBe(top.length);
        for (const { adId, count, error } of top) {
          expect(count).toBeGreaterThanOrEqual(exact.get(adId)!);
          expect(count - error).toBeLessThanOrEqual(exact.get(adId)!);
          expect(error).toBeLessThanOrEqual(total / capacity);
        }
        for (const [adId, count] of exact)
          if (count > total / capacity) expect(found, String(adId)).toContain(adId);
        expect(top.map(({ count }) => count)).toEqual(top.map(({ count }) => count).sort((a, b) => b - a));
      }),
      { numRuns: 500 },
    );
  });

  it("counts exactly while there are no more ads than counters", () => {
    const sketch = createSpaceSaving(3);
    for (const adId of [7, 8, 7, 9, 7, 8]) sketch.add(adId, 2);
    expect(sketch.top(2)).toEqual([
      { adId: 7, count: 6, error: 0 },
      { adId: 8, count: 4, error: 0 },
    ]);
  });
});

describe("the rates of a shard's top ads", () => {
  it("R1 R2: are of the last whole span, and none after a span without a click", () => {
    const top = createTopRates(8, 10_000);
    top.add(1, 500, 1_000);
    top.add(2, 100, 10_999);
    expect(top.rates(10_999, 8)).toEqual([]);
    expect(top.rates(11_000, 8).map(({ adId, clicksPerSecond }) => [adId, clicksPerSecond])).toEqual([
      [1, 50],
      [2, 10],
    ]);
    top.add(2, 30, 12_000);
    expect(top.rates(20_999, 1)).toHaveLength(1);
    expect(top.rates(21_000, 8)).toEqual([{ adId: 2, clicksPerSecond: 3, error: 0 }]);
    expect(top.rates(41_000, 8)).toEqual([]);
  });

  it("R2 a long silence tells nothing of the span before it", () => {
    const top = createTopRates(8, 10_000);
    top.add(1, 500, 0);
    expect(top.rates(20_000, 8)).toEqual([]);
  });
});
