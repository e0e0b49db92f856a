/** The contract of ShardStore (T1 to T3), run against every adapter. */
import { describe, expect, test } from "vitest";
import { IdTable } from "../dedup/id-table.ts";
import { buildRuns, bucketOf, findInBucket } from "../dedup/run.ts";
import type { ShardMeta, ShardSave, ShardStores } from "./shard-store.ts";

export interface ShardStoreHarness {
  readonly stores: ShardStores;
  dispose(): Promise<void>;
}

const META: ShardMeta = {
  nextOffset: 7,
  writers: [
    [281_474_976_710_655, 4_294_967_295],
    [3, 1],
  ],
  appendTimeMs: 1_700_000_000_000,
  eventTimeMs: 1_700_000_000_001,
  watermarkMs: 1_699_999_700_000,
  flushedOffset: -1,
  spillOffset: 11,
  sealedBeforeMs: 0,
};

function saveOf(nextOffset: number, ids: number, chunk = "chunk"): ShardSave {
  const table = new IdTable(ids);
  for (let i = 0; i < ids; i++) table.add(0x018c0000 + (i % 3), 0, nextOffset, i, nextOffset - 1, i);
  return {
    meta: { ...META, nextOffset },
    runs: buildRuns(table, (w0) => w0 - 0x018c0000, nextOffset),
    filters: [{ slice: nextOffset % 3, bytes: Buffer.from(`filters as of ${nextOffset}`) }],
    minutes: [
      {
        minute: 28_333_333,
        lastChangeOffset: nextOffset - 1,
        rows: nextOffset * 100,
        chunks: [
          { chunk: 0, bytes: Buffer.from(chunk) },
          { chunk: 300, bytes: Buffer.from("last") },
        ],
      },
    ],
  };
}

export function describeShardStore(name: string, start: () => Promise<ShardStoreHarness>): void {
  describe(`ShardStore: ${name}`, () => {
    async function withStores(run: (stores: ShardStores) => Promise<void>): Promise<void> {
      const harness = await start();
      try {
        await run(harness.stores);
      } finally {
        await harness.dispose();
      }
    }

    test("a new store holds nothing", () =>
      withStores(async (stores) => {
        const store = await stores.open(0);
        expect(store.load()).toBeUndefined();
        expect(store.readMinute(1)).toEqual([]);
        await store.close();
      }));

    test("what was saved is there after a reopen: meta, run headers, ids, minutes in chunk order", () =>
      withStores(async (stores) => {
        const store = await stores.open(3);
        const first = saveOf(7, 1_000);
        const second = saveOf(9, 10, "chunk, rewritten");
        store.save(first);
        store.save(second);
        await store.close();
        const again = await stores.open(3);
        const stored = again.load()!;
        expect(stored.meta).toEqual(second.meta);
        expect(stored.minutes).toEqual([{ minute: 28_333_333, lastChangeOffset: 8, rows: 900 }]);
        expect(again.readMinute(28_333_333).map(String)).toEqual(["chunk, rewritten", "last"]);
        expect(again.readMinute(28_333_333, 0, 1).map(String)).toEqual(["chunk, rewritten"]);
        expect(again.readMinute(28_333_333, 1, 1).map(String)).toEqual(["last"]);
        expect(again.readMinute(28_333_333, 301)).toEqual([]);
        expect(stored.runs).toHaveLength(6);
        expect(
          stored.filters
            .toSorted((a, b) => a.slice - b.slice)
            .map(({ slice, bytes }) => `${slice}: ${String(bytes)}`),
        ).toEqual(["0: filters as of 9", "1: filters as of 7"]);
        for (const run of [...first.runs, ...second.runs]) {
          const header = stored.runs.find((found) => found.slice === run.slice && found.run === run.run)!;
          expect(header).toMatchObject({ bucketBits: run.bucketBits, ids: run.ids });
          const bytes = [...again.scanRun(header)].reduce((sum, bucket) => sum + bucket.length, 0);
          expect(bytes).toBe(run.ids * 24);
        }
        const { bucketBits } = stored.runs.find((run) => run.slice === 2 && run.run === 7)!;
        const bucket = bucketOf(0x018c0002, 0, 7, 5, bucketBits);
        const [found, missing] = again.readBuckets([
          { slice: 2, run: 7, bucket },
          { slice: 2, run: 8, bucket },
        ]);
        expect(findInBucket(found!, 0x018c0002, 0, 7, 5)).toEqual({ offset: 6, row: 5 });
        expect(missing).toBeUndefined();
        await again.close();
      }));

    test("T6 runs that a new one replaces are gone with its save, and no others", () =>
      withStores(async (stores) => {
        const store = await stores.open(0);
        for (const nextOffset of [7, 8, 9]) store.save(saveOf(nextOffset, 1_000));
        const later = saveOf(10, 1_000);
        const runs = later.runs.map((run) => ({ ...run, replaces: run.slice === 1 ? [7, 9] : [] }));
        store.save({ ...later, runs });
        await store.close();
        const again = await stores.open(0);
        const stored = again.load()!;
        const left = (slice: number) =>
          stored.runs.filter((run) => run.slice === slice).map(({ run }) => run);
        expect([0, 1, 2].map((slice) => left(slice).sort((a, b) => a - b))).toEqual([
          [7, 8, 9, 10],
          [8, 10],
          [7, 8, 9, 10],
        ]);
        for (const run of [7, 9]) expect([...again.scanRun({ slice: 1, run })]).toEqual([]);
        expect(again.readBuckets([{ slice: 1, run: 7, bucket: 0 }])).toEqual([undefined]);
        for (const { slice, run, filter } of later.runs)
          expect(stored.runs.find((found) => found.slice === slice && found.run === run)?.filter).toEqual(
            filter,
          );
        await again.close();
      }));

    test("drop forgets the slices and minutes before the given ones, and no others", () =>
      withStores(async (stores) => {
        const store = await stores.open(0);
        store.save(saveOf(7, 100));
        await store.drop(1, 28_333_333);
        const kept = store.load()!;
        expect(kept.runs.map((run) => run.slice).sort()).toEqual([1, 2]);
        expect(kept.minutes).toHaveLength(1);
        expect(kept.filters).toHaveLength(1);
        await store.drop(2, 28_333_333);
        expect(store.load()!.filters).toEqual([]);
        await store.drop(1, 28_333_334);
        expect(store.load()!.minutes).toEqual([]);
        expect(store.readMinute(28_333_333)).toEqual([]);
        await store.close();
      }));

    test("ids that no save covers yet are STORE_CORRUPT at the next start, and covered by the first save", () =>
      withStores(async (stores) => {
        const store = await stores.open(0);
        const ids = saveOf(7, 100).runs;
        store.saveIds(ids);
        await store.close();
        const cut = await stores.open(0);
        expect(() => cut.load()).toThrow("rebuild was cut short");
        cut.save(saveOf(9, 100));
        await cut.close();
        const again = await stores.open(0);
        expect(again.load()!.runs).toHaveLength(6);
        await again.close();
      }));

    test("shards are apart, and destroy empties one alone", () =>
      withStores(async (stores) => {
        const [one, two] = [await stores.open(1), await stores.open(2)];
        one.save(saveOf(7, 5));
        two.save(saveOf(8, 5));
        await one.close();
        await stores.destroy(1);
        const again = await stores.open(1);
        expect(again.load()).toBeUndefined();
        expect(two.load()!.meta.nextOffset).toBe(8);
        await again.close();
        await two.close();
      }));

    test("2,000 saves leave a store that loads", () =>
      withStores(async (stores) => {
        const store = await stores.open(0);
        for (let offset = 1; offset <= 2_000; offset++) store.save(saveOf(offset, 1));
        await store.close();
        const again = await stores.open(0);
        expect(again.load()!.meta.nextOffset).toBe(2_000);
        await again.close();
      }));
  });
}
