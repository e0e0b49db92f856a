import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { makeBlock } from "../../block/block.ts";
import { codeOf, expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock, sampleTimeMs } from "../../ports/click-log.sample.ts";
import { diskError } from "./files.fixture.ts";
import {
  expectFilled,
  fill,
  findFrame,
  segmentFiles,
  start,
  waitMs,
  type Bench,
} from "./file-log.fixture.ts";

const ALL = Number.MAX_SAFE_INTEGER;

/** Holds all syncs back; the function it returns lets them go on. */
function holdSyncs(bench: Bench): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.files.holdSync = promise;
  return () => {
    bench.files.holdSync = undefined;
    resolve();
  };
}

describe("group commit", () => {
  it("G1: all that gathers during one sync shares the next", async () => {
    const bench = await start();
    const release = holdSyncs(bench);
    const log = bench.log.topic("clicks");
    const first = log.append(0, sampleBlock(1));
    await waitMs(5);
    const rest = Array.from({ length: 200 }, (_, i) => log.append(i % 50, sampleBlock(i + 2)));
    const before = bench.files.syncs;
    release();
    await Promise.all([first, ...rest]);
    expect(bench.files.syncs - before).toBe(2);
  });

  it("L1: nothing is acknowledged or shown before its sync", async () => {
    const bench = await start();
    await fill(bench, 1);
    const release = holdSyncs(bench);
    const log = bench.log.topic("clicks");
    let isAcknowledged = false;
    const append = log.append(0, sampleBlock(2)).then(() => (isAcknowledged = true));
    await waitMs(20);
    expect(isAcknowledged).toBe(false);
    expect(await log.bounds(0)).toEqual({ earliest: 0, next: 1 });
    expect(await log.read(0, 1, ALL)).toEqual([]);
    release();
    await append;
    await expectFilled(bench, 2);
  });

  it("G2: past logQueueMaxBytes an append is OVERLOADED and not applied; later it is taken again", async () => {
    const bench = await start({ logQueueMaxBytes: 1_000 });
    const release = holdSyncs(bench);
    const log = bench.log.topic("clicks");
    const first = log.append(0, sampleBlock(1));
    await waitMs(5);
    const waiting = [2, 3, 4, 5].map((sequence) => log.append(0, sampleBlock(sequence)));
    expect(await codeOf(log.append(0, sampleBlock(99)))).toBe("OVERLOADED");
    release();
    await Promise.all([first, ...waiting]);
    await expectFilled(bench, 5);
    expect(await log.append(0, sampleBlock(6))).toBe(5);
  });

  it("writes more buffers in one batch than one writev of the kernel takes", async () => {
    const bench = await start();
    const log = bench.log.topic("clicks");
    const blocks = Array.from({ length: 900 }, (_, i) => sampleBlock(i + 1, 16 * 1024));
    await Promise.all(blocks.map((block) => log.append(0, block)));
    const records = await readAll(log, 0);
    blocks.forEach((block, i) => expectRecord(records[i], i, block));
  });

  it("close commits what waits, then everything is LOG_UNAVAILABLE and no timer is left", async () => {
    const bench = await start();
    const log = bench.log.topic("clicks");
    const waiting = [1, 2, 3].map((sequence) => log.append(0, sampleBlock(sequence)));
    await Promise.all([bench.log.close(), bench.log.close()]);
    expect(await Promise.all(waiting)).toEqual([0, 1, 2]);
    expect(bench.clock.pending).toBe(0);
    expect(await codeOf(log.append(0, sampleBlock(4)))).toBe("LOG_UNAVAILABLE");
    expect(await codeOf(log.read(0, 0, ALL))).toBe("LOG_UNAVAILABLE");
    expect(await codeOf(bench.log.retain(0))).toBe("LOG_UNAVAILABLE");
    await bench.use(bench.dir);
    await expectFilled(bench, 3);
  });
});

describe("fault 13: a disk that is full, or fails", () => {
  for (const [what, arm, mayBeApplied] of [
    [
      "a write that finds the disk full",
      (b: Bench) => void (b.files.failNextWrite = () => diskError("ENOSPC")),
      false,
    ],
    ["a sync that fails", (b: Bench) => void (b.files.failNextSync = () => diskError("EIO")), true],
  ] as const) {
    it(`G3: ${what} is APPEND_UNKNOWN for its batch, and LOG_STOPPED for all else until reopened`, async () => {
      const bench = await start();
      await fill(bench, 3);
      const log = bench.log.topic("clicks");
      const release = holdSyncs(bench);
      arm(bench);
      const failed = codeOf(log.append(0, sampleBlock(4)));
      await Promise.resolve();
      await Promise.resolve();
      const queued = codeOf(log.append(1, sampleBlock(5)));
      release();
      expect(await failed).toBe("APPEND_UNKNOWN");
      expect(await queued).toBe("LOG_STOPPED");
      expect(await codeOf(log.append(0, sampleBlock(6)))).toBe("LOG_STOPPED");
      expect(await codeOf(log.read(0, 0, ALL))).toBe("LOG_STOPPED");
      expect(await codeOf(log.bounds(0))).toBe("LOG_STOPPED");
      expect(bench.clock.pending).toBe(0);
      await bench.use(bench.dir);
      await expectFilled(bench, mayBeApplied ? 4 : 3);
      expect(await bench.log.topic("clicks").bounds(1)).toEqual({ earliest: 0, next: 0 });
    });
  }

  it("R3: what a failed sync left in the page cache is written and synced again before the log serves it", async () => {
    const bench = await start();
    await fill(bench, 3);
    bench.files.failNextSync = () => diskError("EIO");
    expect(await codeOf(bench.log.topic("clicks").append(0, sampleBlock(4)))).toBe("APPEND_UNKNOWN");
    await bench.use(bench.dir);
    const left = await findFrame(bench.dir, "clicks", 0, 3);
    const again = bench.files.writes[0]!;
    expect(again.at).toBeLessThanOrEqual(left.at);
    expect(again.at + again.bytes).toBe(left.at + left.bytes);
    expect(bench.files.synced.get(left.path)).toBeGreaterThanOrEqual(left.at + left.bytes);
  });

  it("G3: a segment that cannot be begun leaves its appends unapplied: LOG_STOPPED", async () => {
    const bench = await start({ logSegmentBytes: 480 });
    await fill(bench, 2);
    bench.files.failNextWrite = () => diskError("ENOSPC");
    expect(await codeOf(bench.log.topic("clicks").append(0, sampleBlock(3)))).toBe("LOG_STOPPED");
    await bench.use(bench.dir);
    await expectFilled(bench, 2);
  });

  it("a directory that cannot be read is LOG_UNAVAILABLE by name", async () => {
    const bench = await start();
    const file = path.join(bench.dir, "..", "a-file");
    await writeFile(file, "");
    expect(await codeOf(bench.use(file))).toBe("LOG_UNAVAILABLE");
  });
});

describe("segments and retention", () => {
  it("reads across segments in one call, and from an offset that is not the first of its segment", async () => {
    const bench = await start({ logSegmentBytes: 2_000 });
    await fill(bench, 60);
    expect((await segmentFiles(bench.dir)).length).toBeGreaterThan(5);
    expect(await bench.log.topic("clicks").read(0, 3, ALL)).toHaveLength(57);
    await bench.use(await bench.crashImage());
    expect(await bench.log.topic("clicks").read(0, 3, ALL)).toHaveLength(57);
    await expectFilled(bench, 60);
  });

  it("finds one partition's records among many others', in any segment", async () => {
    const bench = await start({ logSegmentBytes: 1024 * 1024 });
    const log = bench.log.topic("clicks");
    const blocks = Array.from({ length: 40 }, (_, i) => sampleBlock(i + 1, 40_000));
    for (const [i, block] of blocks.entries()) {
      await Promise.all([0, 1, 2, 3].map((partition) => log.append(partition, block)));
      if (i % 10 === 0) await log.append(9, block);
    }
    for (const partition of [0, 3]) {
      const records = await readAll(log, partition, 0, 100_000);
      blocks.forEach((block, i) => expectRecord(records[i], i, block));
    }
    expect(await readAll(log, 9)).toHaveLength(4);
    expectRecord((await log.read(3, 37, 1))[0], 37, blocks[37]!);
  });

  it("reads more records in one call than a function takes arguments", async () => {
    const bench = await start();
    const log = bench.log.topic("clicks");
    const block = sampleBlock(1, 10);
    for (let i = 0; i < 10; i++)
      await Promise.all(Array.from({ length: 20_000 }, () => log.append(0, block)));
    expect(await log.read(0, 0, ALL)).toHaveLength(200_000);
  });

  it("retain goes by the newest record of a segment, keeps the last segment, and says how many went", async () => {
    const bench = await start({ logSegmentBytes: 480 });
    const log = bench.log.topic("clicks");
    // The owner's clocks of two partitions differ: the older time behind the newer one.
    const old = makeBlock({ ...sampleBlock(1).header, appendTimeMs: 5 }, Buffer.alloc(150));
    for (const block of [sampleBlock(1), old, sampleBlock(2), old, sampleBlock(3), old])
      await log.append(0, block);
    expect(await bench.log.retain(sampleTimeMs(1))).toBe(0);
    expect(await bench.log.retain(sampleTimeMs(2))).toBe(1);
    expect(await log.bounds(0)).toEqual({ earliest: 2, next: 6 });
    expect(await Promise.all([bench.log.retain(ALL), bench.log.retain(ALL)])).toEqual([1, 0]);
    expect(await log.bounds(0)).toEqual({ earliest: 4, next: 6 });
    await bench.use(await bench.crashImage());
    expect(await bench.log.topic("clicks").bounds(0)).toEqual({ earliest: 4, next: 6 });
  });
});
