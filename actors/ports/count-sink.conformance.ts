/**
 * What every CountSink must do, by the numbers of its contract (count-sink.ts). An adapter's
 * test calls this with a way to open an empty one and to see what a query would see.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decodeCountRows, encodeCountRows } from "./count-rows.ts";
import { COUNT_ROW_BYTES, type CountRow, type CountSink } from "./count-sink.ts";

export interface OpenCountSink {
  readonly sink: CountSink;
  /** What a query sees, in any order. */
  counts(): Promise<readonly CountRow[]>;
  /** Forgets all rows and checkpoints. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export const exampleCount = (change: Partial<CountRow> = {}): CountRow => ({
  advertiserId: 7n,
  campaignId: 70n,
  adId: 700n,
  minute: 29_000_000,
  shard: 1,
  clicks: 5,
  invalid: 2,
  duplicates: 1,
  version: 10,
  ...change,
});

const keyOf = (row: CountRow) => `${row.adId}/${row.minute}/${row.shard}`;
const sorted = (rows: Iterable<CountRow>) => [...rows].toSorted((a, b) => keyOf(a).localeCompare(keyOf(b)));

export function countSinkConformance(name: string, open: () => Promise<OpenCountSink>, runs = 20): void {
  describe(`${name} as a CountSink`, () => {
    let opened: OpenCountSink;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());
    beforeEach(() => opened.clear());

    const write = (...rows: CountRow[]) => opened.sink.writeCounts(encodeCountRows(rows));
    const seen = async () => sorted(await opened.counts());

    test("S1 a row sent again changes nothing", async () => {
      await write(exampleCount());
      await write(exampleCount());
      expect(await seen()).toEqual([exampleCount()]);
    });

    test("S1 an older version that comes later changes nothing", async () => {
      await write(exampleCount({ version: 11, clicks: 9 }));
      await write(exampleCount({ version: 10, clicks: 5 }));
      expect(await seen()).toEqual([exampleCount({ version: 11, clicks: 9 })]);
    });

    test("S1 both versions in one write, newest first", async () => {
      await write(exampleCount({ version: 3, clicks: 3 }), exampleCount({ version: 2, clicks: 2 }));
      expect(await seen()).toEqual([exampleCount({ version: 3, clicks: 3 })]);
    });

    test("S1 ads, minutes and shards are counted apart, up to the widest numbers", async () => {
      const rows = [
        exampleCount(),
        exampleCount({ shard: 65_535 }),
        exampleCount({ minute: 29_000_001 }),
        exampleCount({ adId: 18_446_744_073_709_551_615n, clicks: 4_294_967_295 }),
        exampleCount({ adId: 9n, version: 9_007_199_254_740_991 }),
      ];
      await write(...rows);
      expect(await seen()).toEqual(sorted(rows));
    });

    test("S1 any order, any repetition, at once: the highest version of each row is seen", async () => {
      const row = fc
        .record({ ad: fc.nat(3), minute: fc.nat(2), shard: fc.nat(1), version: fc.nat(20) })
        // What a version says is a function of the version, as with a fold of the log.
        .map(({ ad, minute, shard, version }) =>
          exampleCount({
            adId: BigInt(ad),
            minute: 29_000_000 + minute,
            shard,
            version,
            clicks: version * 3,
          }),
        );
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(row, { minLength: 1, maxLength: 12, size: "max" }), { maxLength: 8 }),
          async (writes) => {
            await opened.clear();
            await Promise.all(writes.map((rows) => write(...rows)));
            const newest = new Map<string, CountRow>();
            for (const each of writes.flat()) {
              if ((newest.get(keyOf(each))?.version ?? -1) < each.version) newest.set(keyOf(each), each);
            }
            expect(await seen()).toEqual(sorted(newest.values()));
          },
        ),
        { numRuns: runs },
      );
    });

    test("S2 what resolved is seen at once", async () => {
      for (let version = 1; version <= 5; version++) {
        await write(exampleCount({ version, clicks: version }));
        expect(await seen()).toEqual([exampleCount({ version, clicks: version })]);
      }
    });

    test("an empty write resolves", async () => {
      await write();
      await opened.sink.writeCheckpoints([]);
      expect(await seen()).toEqual([]);
    });

    test("bytes that are not whole rows are COUNT_SINK_REJECTED", async () => {
      const bytes = Buffer.alloc(COUNT_ROW_BYTES - 1);
      await expect(opened.sink.writeCounts({ rowCount: 1, bytes })).rejects.toMatchObject({
        code: "COUNT_SINK_REJECTED",
      });
      expect(await seen()).toEqual([]);
    });

    test("S3 the newest checkpoint of each shard is read, whatever order they came in", async () => {
      const watermarkMs = 1_790_000_000_123;
      await opened.sink.writeCheckpoints([{ shard: 2, epoch: 1, offset: -1, watermarkMs: 0 }]);
      await opened.sink.writeCheckpoints([
        { shard: 1, epoch: 4, offset: 10, watermarkMs },
        { shard: 1, epoch: 3, offset: 9, watermarkMs: watermarkMs - 1 },
      ]);
      await opened.sink.writeCheckpoints([{ shard: 1, epoch: 3, offset: 8, watermarkMs: watermarkMs - 2 }]);
      expect(await opened.sink.readCheckpoints()).toEqual([
        { shard: 1, epoch: 4, offset: 10, watermarkMs },
        { shard: 2, epoch: 1, offset: -1, watermarkMs: 0 },
      ]);
    });

    test("S3 an idle shard's watermark rises at one offset", async () => {
      const at = (watermarkMs: number) => ({ shard: 1, epoch: 1, offset: 5, watermarkMs });
      await opened.sink.writeCheckpoints([at(60_000)]);
      await opened.sink.writeCheckpoints([at(120_000)]);
      await opened.sink.writeCheckpoints([at(60_000)]);
      expect(await opened.sink.readCheckpoints()).toEqual([at(120_000)]);
    });

    test("S4 the newest version of each window of that shard comes back, from that minute on", async () => {
      const own = [
        exampleCount({ version: 12, clicks: 4_294_967_295 }),
        exampleCount({ minute: 29_000_001, version: 9_007_199_254_740_991 }),
        exampleCount({ adId: 18_446_744_073_709_551_615n, advertiserId: 18_446_744_073_709_551_615n }),
      ];
      await write(...own);
      await write(
        exampleCount({ version: 11 }),
        exampleCount({ minute: 28_999_999 }),
        exampleCount({ shard: 2, clicks: 8 }),
      );
      const read = await opened.sink.readWindows(1, 29_000_000);
      expect(read.bytes.length).toBe(read.rowCount * COUNT_ROW_BYTES);
      expect(sorted(decodeCountRows(read))).toEqual(sorted(own));
      expect((await opened.sink.readWindows(1, 29_000_002)).rowCount).toBe(0);
      expect((await opened.sink.readWindows(3, 0)).rowCount).toBe(0);
    });
  });
}
