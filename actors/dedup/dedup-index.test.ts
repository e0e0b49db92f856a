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
    filters: new Map<number, Buffer>(),
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

/** The number of runs that were read for it. */
function restore(index: DedupIndex, { runs, filters }: ReturnType<typeof shelf>): number {
  let read = 0;
  const stored = { runs, filters: [...filters].map(([slice, bytes]) => ({ slice, bytes })) };
  index.restore(stored, ({ slice, run }) => {
    read += 1;
    return runs.find((found) => found.slice === slice && found.run === run)!.buckets;
  });
  return read;
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
      { weight: 1, arbitrary: fc.constantFrom("restart" as const, "rot" as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const reader = shelf();
        let index = indexWith(reader);
        const oracle = new Map<string, number>();
        let offset = 0;
        for (const item of steps) {
          if (typeof item === "string") {
            const { runs, filters } = index.take(offset);
            reader.runs.push(...runs);
            for (const each of filters) reader.filters.set(each.slice, each.bytes);
            index.saved(runs, filters);
            if (item === "save") continue;
            if (item === "rot")
              for (const bytes of reader.filters.values()) bytes[offset % bytes.length]! ^= 1 << (offset % 8);
            index = indexWith(reader);
            restore(index, reader);
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

  describe("restored", () => {
    /** 20 saves of 500 ids in one slice. */
    function saved() {
      const reader = shelf();
      const index = indexWith(reader);
      const [w0, w1] = timeWords(9);
      for (let save = 1; save <= 20; save++) {
        for (let id = 0; id < 500; id++) index.add(w0, w1, save, id, save, id);
        const { runs, filters } = index.take(save);
        reader.runs.push(...runs);
        for (const { slice, bytes } of filters) reader.filters.set(slice, bytes);
        index.saved(runs, filters);
      }
      const verify = (again: DedupIndex) => {
        expect(again.stats).toMatchObject({ ids: 10_000, slices: 1 });
        for (let save = 1; save <= 20; save++)
          for (let id = 0; id < 500; id += 7)
            expect(again.find(w0, w1, save, id)).toEqual({ offset: save, row: id });
        let wrong = 0;
        const before = again.stats.storeLookups;
        for (let id = 0; id < 10_000; id++) if (again.find(w0, w1, 99, id) !== undefined) wrong += 1;
        expect(wrong).toBe(0);
        expect(again.stats.storeLookups - before).toBeLessThan(300);
      };
      return { reader, verify };
    }

    test("with its filters, at most an eighth of the ids is read again", () => {
      const { reader, verify } = saved();
      const again = indexWith(reader);
      expect(restore(again, reader)).toBeLessThanOrEqual(2);
      verify(again);
    });

    test.each([
      ["no filters", () => undefined],
      ["filters of another format", (bytes: Buffer) => bytes.writeUInt32LE(2, 0)],
      ["a flipped bit in a filter", (bytes: Buffer) => (bytes[bytes.length - 40]! ^= 4)],
      ["a flipped bit in what run they reach to", (bytes: Buffer) => (bytes[15]! ^= 1)],
      ["a CRC that is wrong", (bytes: Buffer) => (bytes[5]! ^= 1)],
    ] as const)("%s: made again from all runs", (name, damage) => {
      const { reader, verify } = saved();
      if (name === "no filters") reader.filters.clear();
      for (const bytes of reader.filters.values()) damage(bytes);
      const again = indexWith(reader);
      expect(restore(again, reader)).toBe(20);
      verify(again);
    });

    test("filters that were cut short are made again from all runs", () => {
      const { reader, verify } = saved();
      for (const [slice, bytes] of reader.filters) reader.filters.set(slice, bytes.subarray(0, 12));
      const again = indexWith(reader);
      expect(restore(again, reader)).toBe(20);
      verify(again);
    });
  });

  test("a position beyond 32 bits comes back from a run", () => {
    const reader = shelf();
    const index = indexWith(reader);
    const [w0, w1] = timeWords(9);
    index.add(w0, w1, 1, 2, 2 ** 39 + 5, 8_191);
    const { runs, filters } = index.take(1);
    reader.runs.push(...runs);
    index.saved(runs, filters);
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
    const stored = { runs: [{ slice: 1, run: 1, bucketBits: 0, ids: 2 }], filters: [] };
    expect(() => index.restore(stored, () => [Buffer.alloc(24)])).toThrow(/holds 1 ids, not 2/);
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
