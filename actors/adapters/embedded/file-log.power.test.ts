/**
 * Power loss: whatever part of the unsynced bytes the disk kept, in whatever order, the log opens
 * and holds every acknowledged block. ADTALLY_SEED repeats a run.
 */
import { open } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { mix32 } from "../../core/hash.ts";
import { systemRandom } from "../../runtime/clock.ts";
import { expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { start, segmentFiles, waitMs } from "./file-log.fixture.ts";

const seed = Number(process.env["ADTALLY_SEED"] ?? systemRandom(4).readUInt32LE(0));
const ROUNDS = 30;
const PARTITIONS = 5;
const SECTOR_BYTES = 512;

it(`L6: loses nothing acknowledged in ${ROUNDS} power cuts (seed ${seed})`, { timeout: 60_000 }, async () => {
  let state = seed;
  const below = (n: number): number => (state = mix32(state + 0x9e3779b9)) % n;
  const bench = await start({ logSegmentBytes: 192 * 1024 });
  const acknowledged = new Array<number>(PARTITIONS).fill(0);
  let tornRounds = 0;

  /** Zeroes or cuts what no sync has covered, sector by sector. */
  async function cutPower(image: string, synced: ReadonlyMap<string, number>): Promise<void> {
    for (const file of await segmentFiles(image)) {
      const from = synced.get(path.join(bench.dir, path.basename(file)));
      const handle = await open(file, "r+");
      try {
        const { size } = await handle.stat();
        if (from === undefined || from >= size) continue;
        tornRounds += 1;
        for (let at = from; at < size;) {
          const end = Math.min(size, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
          if (below(3) === 0) await handle.write(Buffer.alloc(end - at), 0, end - at, at);
          at = end;
        }
        if (below(2) === 0) await handle.truncate(from + below(size - from + 1));
      } finally {
        await handle.close();
      }
    }
  }

  for (let round = 0; round < ROUNDS; round++) {
    let isRunning = true;
    const writers = Array.from({ length: PARTITIONS }, async (_, partition) => {
      const log = bench.log.topic("clicks");
      for (let { next } = await log.bounds(partition); isRunning; next++) {
        const size = below(4) === 0 ? 20_000 : 50 + below(900);
        await log.append(partition, sampleBlock(next + 1, size));
        acknowledged[partition] = next + 1;
      }
    });
    await waitMs(below(25));
    const hold = Promise.withResolvers<void>();
    bench.files.holdSync = hold.promise;
    while (bench.files.held === 0) await waitMs(1);
    // Nothing is synced or acknowledged from here on, so the image and these two belong together.
    const promised = [...acknowledged];
    const synced = new Map(bench.files.synced);
    const image = await bench.crashImage();
    isRunning = false;
    bench.files.holdSync = undefined;
    hold.resolve();
    await Promise.all(writers);

    await cutPower(image, synced);
    await bench.use(image);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const records = await readAll(bench.log.topic("clicks"), partition, 0, 64 * 1024);
      expect(records.length, `round ${round}, partition ${partition}`).toBeGreaterThanOrEqual(
        promised[partition]!,
      );
      records.forEach((record, i) => expectRecord(record, i, sampleBlock(i + 1, record.value.length)));
      acknowledged[partition] = records.length;
    }
  }
  // A cut may fall on a new segment's header, which has no frames to tear; most do not.
  expect(tornRounds).toBeGreaterThan(3);
});
