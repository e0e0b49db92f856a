/** A replica's folder from one life to the next: what is served from it, and when it is discarded. */
import { spawnSync } from "node:child_process";
import { open as openFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { SET_ASIDE_SUFFIX } from "../adapters/rocksdb/catalogue-replica.ts";
import { createMemoryKeyedLog, type MemoryKeyedLog } from "../adapters/memory/memory-keyed-log.ts";
import { exampleAd } from "../ports/catalogue.conformance.ts";
import { systemRandom } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { claimRecord } from "./ad-records.ts";
import { openReadyReplica, openTestReplica, type TestReplica } from "./replicated.fixture.ts";

const limits = { reconnectMaxMs: 30, catalogueDeadlineMs: 10_000 };
const open: TestReplica[] = [];
afterEach(async () => {
  for (const replica of open.splice(0)) await replica.close();
});

/** A folder whose replica has followed `log`, and is stopped. */
async function leftBehind(log: MemoryKeyedLog, ads: number): Promise<string> {
  const replica = await openReadyReplica({ log, limits });
  const each = (n: number) => exampleAd(BigInt(n + 1), { title: "shoes ".repeat(20) });
  await replica.catalogue.put(Array.from({ length: ads }, (_, n) => each(n)));
  await replica.stop();
  return replica.dir;
}

function heard(): { readonly logger: Logger; readonly errors: Record<string, unknown>[] } {
  const errors: Record<string, unknown>[] = [];
  const none = () => undefined;
  const error = (fields: object) => void errors.push({ ...fields });
  return { logger: { debug: none, info: none, warn: none, error }, errors };
}

async function reopen(
  dir: string,
  log: MemoryKeyedLog,
  logger = heard().logger,
  cacheAds = 100,
): Promise<TestReplica> {
  const replica = await openTestReplica({ log, dir, limits, logger, cacheAds });
  open.push(replica);
  return replica;
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

describe("a replica's folder", () => {
  test("P3 is whole after its log was read to the end once: it serves at once, the log gone", async () => {
    const log = createMemoryKeyedLog();
    const dir = await leftBehind(log, 3);
    log.setDown(true);
    const again = await reopen(dir, log);
    expect(again.catalogue.replica.status()).toMatchObject({ isReady: false, isWhole: true });
    expect((await again.catalogue.load([1, 2, 3])).size).toBe(3);
    await expect(again.catalogue.load([4])).rejects.toMatchObject({ code: "CATALOGUE_UNAVAILABLE" });
    await expect(again.catalogue.put([exampleAd(9n)])).rejects.toMatchObject({
      code: "CATALOGUE_UNAVAILABLE",
    });
    log.setDown(false);
    await again.catalogue.replica.ready();
    await expect.poll(() => again.catalogue.replica.status().fault).toBeUndefined();
    await again.catalogue.put([exampleAd(9n)]);
  });

  test("P3 reads only what is new when it goes on", async () => {
    const log = createMemoryKeyedLog();
    const dir = await leftBehind(log, 20_000);
    await log.append([claimRecord(exampleAd(99_999n), systemRandom)]);
    const before = log.reads();
    const seldom = { ...limits, replicaFollowIntervalMs: 60_000 };
    const again = await openTestReplica({ log, dir, limits: seldom });
    open.push(again);
    await again.catalogue.replica.ready();
    // The first record, by which the log is known, and the tail.
    expect(log.reads() - before).toBeLessThanOrEqual(3);
    expect((await again.catalogue.load([99_999])).size).toBe(1);
  });

  test("P3 is not whole before that: a program that never saw the log's end has nothing to serve from", async () => {
    const log = createMemoryKeyedLog();
    for (let n = 1; n <= 3; n++) await log.append([claimRecord(exampleAd(BigInt(n)), systemRandom)]);
    log.setDown(true);
    const first = await openTestReplica({ log, limits });
    open.push(first);
    await expect.poll(() => first.catalogue.replica.status().fault).toContain("unavailable");
    expect(first.catalogue.replica.status().isWhole).toBe(false);
  });

  test.each([
    ["that is shorter", 1],
    ["that is longer", 9],
    ["that is empty", 0],
  ])("P5 made from another log, with one now %s: set aside by name, and read anew", async (_, ads) => {
    const dir = await leftBehind(createMemoryKeyedLog(), 3);
    const other = createMemoryKeyedLog();
    for (let n = 1; n <= ads; n++) {
      await other.append([claimRecord(exampleAd(BigInt(n), { title: "another" }), systemRandom)]);
    }
    const { logger, errors } = heard();
    const again = await reopen(dir, other, logger);
    const before = again.store.identity;
    await again.catalogue.replica.ready();
    expect(again.store.changesSince(0, 99).map(({ ad }) => ad.title)).toEqual(Array(ads).fill("another"));
    expect(again.store.identity).not.toBe(before);
    const setAsideAs = join(dir, "catalogue") + SET_ASIDE_SUFFIX;
    expect(errors).toEqual([
      {
        copy: join(dir, "catalogue"),
        setAsideAs,
        why: expect.stringContaining("another catalogue log") as string,
      },
    ]);
    expect(await isThere(setAsideAs)).toBe(true);
  });

  test("fault 12: flipped bits in a table file are found at a read, and the folder is made again from the log", async () => {
    const log = createMemoryKeyedLog();
    const dir = await leftBehind(log, 3_000);
    const folder = join(dir, "catalogue");
    // A write-ahead log becomes a table file when the folder is opened again.
    await (await openTestReplica({ log, dir, limits })).stop();
    for (const name of (await readdir(folder)).filter((each) => each.endsWith(".sst"))) {
      await flipAMiddleBit(join(folder, name));
    }
    // A process that reads there ends: the driver leaves it no choice. The next one knows why.
    const reader = spawnSync(process.execPath, ["actors/catalogue/read-all.fixture.ts", dir, "3000"]);
    expect(String(reader.stderr)).toContain("checksum mismatch");
    expect(reader.status).not.toBe(0);
    log.setDown(true);
    const { logger, errors } = heard();
    const again = await reopen(dir, log, logger, 1);
    const ids = Array.from({ length: 3_000 }, (_, n) => n + 1);
    // P7: what is left is served, for as long as there is no other.
    await expect(again.catalogue.load(ids)).rejects.toThrow("damaged");
    const loaded = await Promise.allSettled(ids.map((id) => again.catalogue.load([id])));
    expect(loaded.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(2_000);
    log.setDown(false);
    await expect.poll(() => errors.length, { timeout: 5_000 }).toBe(1);
    expect(errors[0]).toMatchObject({ copy: folder, why: expect.stringContaining("damaged") as string });
    await again.catalogue.replica.ready();
    await expect.poll(() => again.catalogue.load(ids).then(({ size }) => size)).toBe(3_000);
  });

  test("fault 12: one that cannot even be opened is set aside by name, and read anew", async () => {
    const log = createMemoryKeyedLog();
    const dir = await leftBehind(log, 3);
    await writeFile(join(dir, "catalogue", "CURRENT"), "MANIFEST-999999\n");
    const { logger, errors } = heard();
    const again = await reopen(dir, log, logger);
    expect(errors).toMatchObject([{ copy: join(dir, "catalogue") }]);
    expect(again.catalogue.replica.status().isWhole).toBe(false);
    await again.catalogue.replica.ready();
    expect((await again.catalogue.load([1, 2, 3])).size).toBe(3);
  });
});

async function flipAMiddleBit(path: string): Promise<void> {
  const file = await openFile(path, "r+");
  try {
    const at = Math.floor((await file.stat()).size / 2);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    byte[0]! ^= 0x10;
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}
