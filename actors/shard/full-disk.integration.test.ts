/**
 * Fault 13: a disk that is full, and one that errs, under the log and under the store: real file
 * systems, real processes. The shard stops and says so, nothing is acknowledged that is not kept,
 * and with space again and a restart it goes on where it was.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mountSmallDisk, smallDiskLacks, type SmallDisk } from "../../testing/small-disk.ts";
import { openFileLog } from "../adapters/embedded/file-log.ts";
import { diskError, makeFaultyFiles } from "../adapters/embedded/files.fixture.ts";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { systemClock, systemRandom } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { ShardHost } from "./host.ts";

const CHILD = fileURLToPath(new URL("full-disk-child.fixture.ts", import.meta.url));
const BATCHES = 120;
const ROWS = 1_000;

interface Told {
  readonly batch?: number;
  readonly accepted?: number;
  readonly duplicates?: number;
  readonly code?: string;
  readonly faults?: readonly string[];
  readonly counted?: number;
}

const bornMs = Date.now();
async function live(logDir: string, stateDir: string): Promise<{ told: readonly Told[]; code: unknown }> {
  const args = [CHILD, logDir, stateDir, ...[BATCHES, bornMs].map(String)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const told: Told[] = [];
  for await (const line of createInterface({ input: child.stdout })) told.push(JSON.parse(line) as Told);
  return { told, code: ((await ended) as unknown[])[0] };
}

const lacks = await smallDiskLacks();
describe.skipIf(lacks !== undefined)("a full disk", () => {
  let disk: SmallDisk;
  let roomy: string;
  beforeEach(async () => {
    disk = await mountSmallDisk(2);
    roomy = await mkdtemp(join(tmpdir(), "adtally-roomy-"));
  });
  afterEach(async () => {
    await disk.remove();
    await rm(roomy, { recursive: true, force: true });
  });

  async function fillsAndGoesOn(logDir: string, stateDir: string, fault: RegExp): Promise<void> {
    const full = await live(logDir, stateDir);
    const acked = full.told.filter(({ accepted }) => accepted !== undefined);
    const refused = full.told.filter(({ code }) => code !== undefined);
    const { faults } = full.told.at(-1)!;
    // I5: the disk did fill up, after some were taken and before all were.
    expect(acked.length).toBeGreaterThan(3);
    expect(acked.length).toBeLessThan(BATCHES);
    expect(acked.every(({ accepted }) => accepted === ROWS)).toBe(true);
    // Fail-stop: seconds later it takes nothing either, and readiness says which shard and why.
    expect(refused.map(({ batch }) => batch)).toEqual([acked.length, acked.length + 1]);
    expect(refused[1]!.code).toBe("SHARD_HALTED");
    expect(faults).toEqual([expect.stringMatching(fault)]);

    disk.resize(64);
    const again = await live(logDir, stateDir);
    expect(again.code).toBe(0);
    for (const { batch, accepted, duplicates } of again.told.slice(0, BATCHES)) {
      // What was acknowledged was kept; what was refused is taken now, unless it had been kept all the same.
      if (batch! < acked.length) expect(duplicates, `batch ${batch}`).toBe(ROWS);
      else
        expect(
          [accepted, duplicates].toSorted((a, b) => a! - b!),
          `batch ${batch}`,
        ).toEqual([0, ROWS]);
    }
    expect(again.told.at(-1)).toEqual({ counted: BATCHES * ROWS, faults: [] });
  }

  test("fault 13: the log's disk is full: fail-stop, nothing false acknowledged, and on with space and a restart", () =>
    fillsAndGoesOn(
      join(disk.dir, "log"),
      join(roomy, "state"),
      /^shard 0: .*click log .* stopped after a failed write \(.*ENOSPC/,
    ));

  test("fault 13: the store's disk is full: fail-stop, nothing wiped, and on with space and a restart", () =>
    fillsAndGoesOn(
      join(roomy, "log"),
      join(disk.dir, "state"),
      /^shard 0: .*stopped after the disk failed it \(.*No space left on device/,
    ));
});

test("fault 13: an I/O error under the log: fail-stop, nothing false acknowledged, and on after a restart", async () => {
  const dir = await mkdtemp(join(tmpdir(), "adtally-eio-"));
  const files = makeFaultyFiles();
  const stores = memoryShardStores();
  const sink = createMemoryCountSink();
  const shared = { limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger };
  const begin = async () => {
    const log = await openFileLog({ ...shared, dir, files });
    const host = await ShardHost.start({
      ...shared,
      shards: [{ shard: 0, epoch: 1 }],
      clicks: log.topic("clicks"),
      deadLetters: log.topic("clicks-dead-letter"),
      spill: log.topic("clicks-spill"),
      stores,
      sink,
      random: systemRandom,
      defer: (run) => void setImmediate(run),
    });
    return { log, host };
  };
  const nowMs = Date.now();
  const rows = (n: number) => {
    const id = uuidV7(nowMs, Buffer.alloc(10, n));
    return rowsOf([{ id, adId: 1, clickMs: nowMs, receivedMs: nowMs }], 0);
  };
  const first = await begin();
  const submit = (host: ShardHost, n: number) => host.submit({ shard: 0, rows: rows(n), count: 1 });
  await submit(first.host, 1);
  files.failNextSync = () => diskError("EIO");
  await expect(submit(first.host, 2)).rejects.toMatchObject({ code: "ABORTED" });
  expect(first.host.faults).toEqual([expect.stringMatching(/^shard 0: .*EIO/)]);
  await expect(submit(first.host, 3)).rejects.toMatchObject({ code: "SHARD_HALTED" });
  await first.host.abandon();
  await first.log.close();

  const second = await begin();
  for (const n of [1, 2, 3]) await submit(second.host, n);
  await second.host.flushCounts();
  expect(sink.counts().reduce((sum, row) => sum + row.clicks, 0)).toBe(3);
  await second.host.drain();
  await second.log.close();
  await rm(dir, { recursive: true, force: true });
});
