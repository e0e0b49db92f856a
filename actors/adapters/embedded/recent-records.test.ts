import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { expectRecord } from "../../ports/click-log.conformance.ts";
import { frameBytes } from "./batch.ts";
import { expectFilled, fill, start } from "./file-log.fixture.ts";
import { logKey } from "./frame.ts";
import { RecentRecords } from "./recent-records.ts";

const ALL = Number.MAX_SAFE_INTEGER;

describe("recent records", () => {
  it("M1, M2: a run to the newest record of each partition, the oldest of all gone first", () => {
    const batches = fc.array(fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 6 }), { maxLength: 30 });
    fc.assert(
      fc.property(batches, fc.integer({ min: 0, max: 3_000 }), (appended, maxBytes) => {
        const recent = new RecentRecords(maxBytes);
        const all: { key: number; offset: number; bytes: number }[] = [];
        const next = new Map<number, number>();
        for (const batch of appended) {
          recent.add(
            batch.map((partition) => {
              const key = logKey("clicks", partition);
              const offset = next.get(key) ?? 0;
              next.set(key, offset + 1);
              const block = sampleBlock(offset + 1, 10 * partition);
              all.push({ key, offset, bytes: frameBytes(block) });
              return { key, block, offset };
            }),
          );
        }
        let held = 0;
        let from = all.length;
        while (from > 0 && held + all[from - 1]!.bytes <= maxBytes) held += all[--from]!.bytes;
        for (const [key, end] of next) {
          const first = all.slice(from).find((each) => each.key === key)?.offset;
          expect(recent.firstOf(key)).toBe(first);
          const read = recent.read(key, first ?? 0, ALL);
          expect(read).toHaveLength(end - (first ?? end));
          read.forEach((record, i) =>
            expectRecord(record, first! + i, sampleBlock(first! + i + 1, record.value.length)),
          );
          if (first !== undefined && first > 0) expect(recent.read(key, first - 1, ALL)).toEqual([]);
        }
      }),
      process.env["ADTALLY_SEED"] === undefined ? {} : { seed: Number(process.env["ADTALLY_SEED"]) },
    );
  });

  it("M3: what a reader does to its records is its own affair", async () => {
    const bench = await start({ recentMaxBytes: 1_000_000 });
    await fill(bench, 3);
    for (const { value } of await bench.log.topic("clicks").read(0, 0, ALL)) value.fill(0);
    await expectFilled(bench, 3);
  });

  it("a reader that keeps up opened the files at each read, once a shard", async () => {
    const bench = await start({ recentMaxBytes: 1_000_000 });
    await fill(bench, 5);
    const before = bench.files.opens;
    await expectFilled(bench, 5);
    expect(bench.files.opens).toBe(before);
  });
  it("a reader that fell behind got what memory had let go, and the rest only when more was gone", async () => {
    const bench = await start({ recentMaxBytes: 4_000, logSegmentBytes: 8_000 });
    const log = bench.log.topic("clicks");
    const partitions = [0, 1, 2];
    for (let sequence = 1; sequence <= 40; sequence++)
      await Promise.all(partitions.map((each) => log.append(each, sampleBlock(sequence, 400))));
    const { records, isAll } = await log.readMany!(new Map(partitions.map((each) => [each, 3])), ALL);
    expect(isAll).toBe(true);
    for (const each of partitions) {
      const read = records.get(each)!;
      expect(read).toHaveLength(37);
      read.forEach((record, i) => expectRecord(record, 3 + i, sampleBlock(4 + i, 400)));
    }
    const some = await log.readMany!(new Map(partitions.map((each) => [each, 3])), 3_000);
    expect(some.isAll).toBe(false);
    const bytes = [...some.records.values()].flat().reduce((sum, { value }) => sum + value.length, 0);
    expect(bytes).toBeLessThan(3_000 + partitions.length * 500);
  });
});
