import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { createBloom } from "./bloom.ts";
import { DedupIndex, type BucketKey } from "./dedup-index.ts";
import { IdTable } from "./id-table.ts";
import { mix32 } from "../core/hash.ts";
import type { Run, RunName } from "./run.ts";

const seed = process.env["ADTALLY_SEED"];
const params = seed === undefined ? {} : { seed: Number(seed) };
const SLICE_MS = DEFAULT_LIMITS.dedupSliceMs;

function shelf() {
  const runs: Run[] = [];
  const read = { buckets: 0, runs: 0 };
  const find = ({ slice, run }: RunName) => runs.find((found) => found.slice === slice && found.run === run);
  return {
    runs,
    read,
    filters: new Map<number, Buffer>(),
    /** As a store does: all of it or nothing. */
    save(index: DedupIndex, number: number): void {
      const taken = index.take(number);
      for (const { slice, replaces } of taken.runs)
        for (const run of replaces) runs.splice(runs.indexOf(find({ slice, run })!), 1);
      runs.push(...taken.runs);
      for (const { slice, bytes } of taken.filters) this.filters.set(slice, bytes);
      index.saved(taken.runs, taken.filters);
    },
    readBuckets: (keys: readonly BucketKey[]) => {
      read.buckets += keys.length;
      return keys.map((key) => find(key)?.buckets[key.bucket]);
    },
    scanRun: (name: RunName) => {
      read.runs += 1;
      return find(name)?.buckets ?? [];
    },
  };
}

function indexWith(reader: ReturnType<typeof shelf>): DedupIndex {
  return new DedupIndex({ sliceMs: SLICE_MS, falsePositiveRate: 0.01, runIds: 64 }, reader);
}

/** The number of runs that were read for it. */
function restore(index: DedupIndex, { filters, read, runs }: ReturnType<typeof shelf>): number {
  const before = read.runs;
  index.restore({ runs, filters: [...filters].map(([slice, bytes]) => ({ slice, bytes })) });
  return read.runs - before;
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
            reader.save(index, offset);
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
        reader.save(index, save);
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

  describe("a repeat cost a read in each run of its slice", () => {
    test("large runs: hardly more than the one that has it is read", () => {
      const reader = shelf();
      const index = indexWith(reader);
      const [w0, w1] = timeWords(9);
      for (let save = 1; save <= 30; save++) {
        for (let id = 0; id < 500; id++) index.add(w0, w1, save, id, save, id);
        reader.save(index, save);
      }
      expect(reader.runs).toHaveLength(30);
      for (const again of [index, indexWith(reader)]) {
        if (again !== index) restore(again, reader);
        reader.read.buckets = 0;
        for (let save = 1; save <= 30; save++)
          for (let id = 0; id < 500; id += 5) expect(again.find(w0, w1, save, id)?.offset).toBe(save);
        expect(reader.read.buckets / 3_000).toBeLessThan(3);
      }
    });

    test("small runs: saves merge them, and each id stays where it was, once", () => {
      const reader = shelf();
      const options = { sliceMs: SLICE_MS, falsePositiveRate: 0.01, runIds: 8_192 };
      const index = new DedupIndex(options, reader);
      const [w0, w1] = timeWords(9);
      let most = 0;
      for (let save = 1; save <= 200; save++) {
        for (let id = 0; id < 5; id++) index.add(w0, w1, save, id, save, id);
        reader.save(index, save);
        most = Math.max(most, reader.runs.length);
      }
      // Three a tier of powers of four, up to the 1,000 ids that there are.
      expect(most).toBeLessThanOrEqual(15);
      const words = reader.runs.flatMap(({ buckets }) =>
        buckets.flatMap((bucket) =>
          Array.from({ length: bucket.length / 24 }, (_, i) => bucket.toString("hex", i * 24, i * 24 + 24)),
        ),
      );
      expect(new Set(words).size).toBe(1_000);
      expect(words).toHaveLength(1_000);
      const again = new DedupIndex(options, reader);
      restore(again, reader);
      expect(again.stats.ids).toBe(1_000);
      for (const each of [index, again])
        for (let save = 1; save <= 200; save++)
          for (let id = 0; id < 5; id++)
            expect(each.find(w0, w1, save, id)).toEqual({ offset: save, row: id });
    });

    test("a run whose filter is not intact is read all the same", () => {
      const reader = shelf();
      const index = indexWith(reader);
      const [w0, w1] = timeWords(9);
      index.add(w0, w1, 1, 2, 3, 4);
      reader.save(index, 5);
      for (const damaged of [
        Buffer.alloc(0),
        reader.runs[0]!.filter.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      ]) {
        reader.runs[0] = { ...reader.runs[0]!, filter: Buffer.from(damaged) };
        const again = indexWith(reader);
        restore(again, reader);
        expect(again.find(w0, w1, 1, 2)).toEqual({ offset: 3, row: 4 });
      }
    });
  });

  test("a position beyond 32 bits comes back from a run", () => {
    const reader = shelf();
    const index = indexWith(reader);
    const [w0, w1] = timeWords(9);
    index.add(w0, w1, 1, 2, 2 ** 39 + 5, 8_191);
    reader.save(index, 1);
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
    const reader = shelf();
    const run = { slice: 1, run: 1, bucketBits: 0, ids: 2, filter: Buffer.alloc(0), replaces: [] };
    reader.runs.push({ ...run, buckets: [Buffer.alloc(24)] });
    expect(() => restore(indexWith(reader), reader)).toThrow(/holds 1 ids, not 2/);
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
