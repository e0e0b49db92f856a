import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { createBloom } from "./bloom.ts";
import { DedupIndex, type BucketKey } from "./dedup-index.ts";
import { IdTable } from "./id-table.ts";
import { mix32 } from "../core/hash.ts";
import type { Run } from "./run.ts";

const seed = process.env["ADTALLY_SEED"];
const params = seed === undefined ? {} : { seed: Number(seed) };
const SLICE_MS = DEFAULT_LIMITS.dedupSliceMs;

function shelf() {
  const runs: Run[] = [];
  return {
    runs,
    readBuckets: (keys: readonly BucketKey[]) =>
      keys.map(
        ({ slice, run, bucket }) =>
          runs.find((found) => found.slice === slice && found.run === run)?.buckets[bucket],
      ),
  };
}

function indexWith(reader: ReturnType<typeof shelf>): DedupIndex {
  return new DedupIndex({ sliceMs: SLICE_MS, falsePositiveRate: 0.01, runIds: 64 }, reader);
}

/** The first two words of an id of the given slice. */
const timeWords = (slice: number): [number, number] => {
  const ms = slice * SLICE_MS + 17;
  return [Math.floor(ms / 0x1_0000), ((ms % 0x1_0000) << 16) >>> 0];
};

describe("DedupIndex", () => {
  test("agrees with a plain map through adds, saves and restores, in any order", () => {
    const step = fc.oneof(
      { weight: 20, arbitrary: fc.record({ slice: fc.integer({ min: 5, max: 8 }), id: fc.nat(400) }) },
      { weight: 1, arbitrary: fc.constant("save" as const) },
      { weight: 1, arbitrary: fc.constant("restart" as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const reader = shelf();
        let index = indexWith(reader);
        const oracle = new Map<string, number>();
        let offset = 0;
        for (const item of steps) {
          if (item === "save" || item === "restart") {
            const runs = index.takeRuns(offset);
            reader.runs.push(...runs);
            index.saved(runs);
            if (item === "save") continue;
            index = indexWith(reader);
            for (const run of reader.runs) index.restore(run, run.buckets);
            continue;
          }
          const [w0, w1] = timeWords(item.slice);
          const key = `${item.slice}/${item.id}`;
          expect(index.find(w0, w1, 7, item.id)?.offset).toBe(oracle.get(key));
          if (!oracle.has(key)) {
            oracle.set(key, offset);
            index.add(w0, w1, 7, item.id, offset, 0);
          }
          offset += 1;
        }
      }),
      params,
    );
  });

  test("a position beyond 32 bits comes back from a run", () => {
    const reader = shelf();
    const index = indexWith(reader);
    const [w0, w1] = timeWords(9);
    index.add(w0, w1, 1, 2, 2 ** 39 + 5, 8_191);
    const runs = index.takeRuns(1);
    reader.runs.push(...runs);
    index.saved(runs);
    expect(index.unsavedIds).toBe(0);
    expect(index.find(w0, w1, 1, 2)).toEqual({ offset: 2 ** 39 + 5, row: 8_191 });
  });

  test("dropBefore drops a slice the moment it ends, and not a millisecond earlier", () => {
    const index = indexWith(shelf());
    const [w0, w1] = timeWords(9);
    index.add(w0, w1, 1, 2, 0, 0);
    index.dropBefore(10 * SLICE_MS - 1);
    expect(index.find(w0, w1, 1, 2)).toBeDefined();
    expect(index.dropBefore(10 * SLICE_MS)).toBe(10);
    expect(index.find(w0, w1, 1, 2)).toBeUndefined();
  });

  test("a run that holds fewer ids than its header says is an impossible state", () => {
    const index = indexWith(shelf());
    expect(() => index.restore({ slice: 1, run: 1, bucketBits: 0, ids: 2 }, [Buffer.alloc(24)])).toThrow(
      /holds 1 ids, not 2/,
    );
  });
});

describe("IdTable", () => {
  test("100,000 sequential ids: all found, none invented, the first position stays", () => {
    const table = new IdTable(16);
    for (let i = 0; i < 100_000; i++) expect(table.add(1, 2, 3, i, i, i & 0xff)).toBe(true);
    expect(table.size).toBe(100_000);
    for (let i = 0; i < 100_000; i += 97) {
      expect(table.positionAt(table.find(1, 2, 3, i))).toEqual({ offset: i, row: i & 0xff });
      expect(table.add(1, 2, 3, i, 0, 0)).toBe(false);
    }
    for (let i = 100_000; i < 110_000; i++) expect(table.find(1, 2, 3, i)).toBe(-1);
    table.clear();
    expect(table.find(1, 2, 3, 0)).toBe(-1);
  });
});

describe("Bloom filter", () => {
  test("at its capacity it errs in under 1.3 % of lookups at a nominal 1 %, and never says no to a member", () => {
    const ids = 50_000;
    const filter = createBloom(ids, 0.01);
    for (let i = 0; i < ids; i++) filter.add(mix32(i), mix32(i ^ 0x5bd1e995) | 1);
    for (let i = 0; i < ids; i++) expect(filter.mayContain(mix32(i), mix32(i ^ 0x5bd1e995) | 1)).toBe(true);
    let wrong = 0;
    for (let i = ids; i < 2 * ids; i++) {
      if (filter.mayContain(mix32(i), mix32(i ^ 0x5bd1e995) | 1)) wrong += 1;
    }
    expect(wrong / ids).toBeLessThan(0.013);
    expect((filter.byteLength * 8) / ids).toBeLessThan(9.7);
  });
});
