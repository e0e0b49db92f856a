import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAdtallyError } from "../../core/errors.ts";
import { IdTable } from "../../dedup/id-table.ts";
import { buildRuns } from "../../dedup/run.ts";
import { describeShardStore } from "../../ports/shard-store.conformance.ts";
import type { ShardSave } from "../../ports/shard-store.ts";
import { memoryShardStores } from "../memory/memory-shard-stores.ts";
import { openRocks } from "./rocks.ts";
import { rocksShardStores } from "./shard-store.ts";

describeShardStore("RocksDB", async () => {
  const dir = await mkdtemp(join(tmpdir(), "adtally-store-"));
  return { stores: rocksShardStores(dir), dispose: () => rm(dir, { recursive: true, force: true }) };
});
describeShardStore("memory", () =>
  Promise.resolve({ stores: memoryShardStores(), dispose: () => Promise.resolve() }),
);

function saveOf(nextOffset: number): ShardSave {
  const table = new IdTable(64);
  for (let i = 0; i < 64; i++) table.add(1, 0, nextOffset, i, nextOffset, i);
  const meta = {
    nextOffset,
    writers: [],
    appendTimeMs: 1,
    eventTimeMs: 1,
    watermarkMs: 1,
    flushedOffset: -1,
    spillOffset: 0,
    sealedBeforeMs: 0,
  };
  return { meta, runs: buildRuns(table, () => 1, nextOffset), filters: [], minutes: [] };
}

async function storeWithSaves(saves: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-store-"));
  const store = await rocksShardStores(dir).open(0);
  for (let offset = 1; offset <= saves; offset++) store.save(saveOf(offset));
  await store.close();
  return dir;
}

test("a hole in the chain of saves is STORE_CORRUPT, not an older state", async () => {
  const dir = await storeWithSaves(5);
  const db = await openRocks(join(dir, "shard-0"));
  const batch = db.batch();
  batch.del(Buffer.from([0x63, 0, 0, 0, 0, 0, 3]));
  batch.write({ sync: true });
  await db.close();
  const store = await rocksShardStores(dir).open(0);
  expect(() => store.load()).toThrow(/save 3 of 5 is missing/);
  await store.close();
  await rm(dir, { recursive: true });
});

test("a meta record that does not fit its checksum is STORE_CORRUPT", async () => {
  const dir = await storeWithSaves(5);
  const db = await openRocks(join(dir, "shard-0"));
  const meta = db.get(Buffer.from("m"))!.toString();
  const batch = db.batch();
  batch.put(Buffer.from("m"), Buffer.from(meta.replace('"nextOffset":5', '"nextOffset":6')));
  batch.write({ sync: true });
  await db.close();
  const store = await rocksShardStores(dir).open(0);
  expect(() => store.load()).toThrow(/does not match its checksum/);
  await store.close();
  await rm(dir, { recursive: true });
});

test("bits flipped in RocksDB's own log leave a prefix of the saves, or STORE_CORRUPT: never a hole", async () => {
  const seed = Number(process.env["ADTALLY_SEED"] ?? 20_261_121);
  let random = seed;
  const next = (below: number) => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    return random % below;
  };
  let older = 0;
  for (let round = 0; round < 8; round++) {
    const dir = await storeWithSaves(20);
    const files = await readdir(join(dir, "shard-0"));
    const log = join(
      dir,
      "shard-0",
      files.find((file) => file.endsWith(".log"))!,
    );
    const bytes = await readFile(log);
    const at = next(bytes.length);
    bytes[at]! ^= 1 << next(8);
    await writeFile(log, bytes);
    try {
      const store = await rocksShardStores(dir).open(0);
      try {
        const stored = store.load();
        const offset = stored?.meta.nextOffset ?? 0;
        if (offset < 20) older += 1;
        expect(stored?.runs.map((run) => run.run) ?? [], `seed ${seed}, byte ${at}`).toEqual(
          Array.from({ length: offset }, (_, i) => i + 1),
        );
      } finally {
        await store.close();
      }
    } catch (error) {
      if (!isAdtallyError(error, "STORE_CORRUPT")) throw error;
      older += 1;
    }
    await rm(dir, { recursive: true });
  }
  expect(older, "no flip did any harm: the test proves nothing").toBeGreaterThan(0);
}, 60_000);
