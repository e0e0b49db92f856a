/**
 * What it costs to remember live clicks: bytes an id in memory and on disk, with the ids of a
 * whole token life (2 h) in one process. Rows go straight to the shard actors, over the real
 * log and the real store; ClickHouse is left out.
 *
 *   node --expose-gc loadtest/dedup-memory.ts [--clicks 10000000] [--ads 10000] [--shards 4] [--json]
 *
 * Afterwards a sample of all ids is sent once more: each must be a DUPLICATE, found on disk.
 */
import { randomFillSync } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { Verdict } from "../actors/core/verdict.ts";
import { rowsOf, uuidV7, type SimClick } from "../actors/sim/clicks.ts";
import { seededRandom } from "../actors/sim/random.ts";
import { openLog, startLoneHost } from "./lib/lone-host.ts";
import { print } from "./lib/report.ts";

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "10000000" },
    ads: { type: "string", default: "10000" },
    shards: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
  },
});
const clicks = Number(flags.clicks);
const shards = Number(flags.shards);
const ROWS = 1_000;
const UNDER_WAY = 8;
/** Rows and their buffers reach their usual size before memory is read for the first time. */
const WARM_UP_CLICKS = 200_000;
const REPEATED_EVERY = 1_000;

async function bytesOf(dir: string): Promise<number> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

interface Memory {
  readonly rss: number;
  readonly heap: number;
  readonly buffers: number;
}

function readMemory(): Memory {
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rss, heap: heapUsed, buffers: arrayBuffers };
}

const dir = await mkdtemp(join(tmpdir(), "adtally-dedup-memory-"));
const log = await openLog(dir);
const host = await startLoneHost({ dir, log, shards: shards });

const random = seededRandom(1);
const startedMs = Date.now();
const noise = Buffer.alloc(10 * ROWS);
const repeats: { readonly shard: number; readonly click: SimClick }[] = [];

/** Ids of the whole token life but its last minute, in no order. */
function makeRows(shard: number): Buffer {
  randomFillSync(noise);
  const nowMs = Date.now();
  const batch = Array.from({ length: ROWS }, (_, i): SimClick => {
    const idMs = startedMs - random.below(DEFAULT_LIMITS.tokenLifeMs - 60_000);
    const id = uuidV7(idMs, noise.subarray(i * 10, i * 10 + 10));
    return { id, adId: 1 + random.below(Number(flags.ads)), clickMs: nowMs, receivedMs: nowMs };
  });
  repeats.push(...batch.filter((_, i) => i % REPEATED_EVERY === 0).map((click) => ({ shard, click })));
  return rowsOf(batch, shard);
}

async function submit(count: number): Promise<void> {
  let left = Math.ceil(count / ROWS);
  await Promise.all(
    Array.from({ length: UNDER_WAY }, async () => {
      while (left > 0) {
        const shard = left-- % shards;
        await host.submit({ shard, rows: makeRows(shard), count: ROWS });
      }
    }),
  );
}

try {
  await submit(WARM_UP_CLICKS);
  const before = readMemory();
  const startedAt = performance.now();
  const half = Math.floor((clicks - WARM_UP_CLICKS) / 2);
  await submit(half);
  const between = readMemory();
  await submit(clicks - WARM_UP_CLICKS - half);
  const seconds = (performance.now() - startedAt) / 1_000;
  const actors = [...host.actors.values()];
  for (const actor of actors) actor.save();
  const after = readMemory();
  const stats = actors.map((actor) => actor.state.dedup.stats);
  const sum = (of: (each: (typeof stats)[number]) => number) =>
    stats.reduce((total, each) => total + of(each), 0);
  const ids = sum((each) => each.ids);
  const lookupsBefore = sum((each) => each.storeLookups);
  const accepted = actors.reduce((total, actor) => total + actor.state.stats.accepted, 0);

  let found = 0;
  const lookupStartedAt = performance.now();
  for (const { shard, click } of repeats) {
    const { outcomes } = await host.submit({ shard, rows: rowsOf([click], shard), count: 1 });
    if (outcomes[0] === Verdict.DUPLICATE) found += 1;
  }
  const lookupUs = ((performance.now() - lookupStartedAt) * 1_000) / repeats.length;
  await host.drain();
  const disk = await bytesOf(join(dir, "state"));
  const each = (bytes: number, of: number) => Math.round((bytes / of) * 100) / 100;
  const added = ids - WARM_UP_CLICKS;
  print(
    "dedup memory",
    {
      "live ids": ids,
      accepted,
      "ids a second": Math.round((clicks - WARM_UP_CLICKS) / seconds),
      "RSS before, MiB": Math.round(before.rss / 2 ** 20),
      "RSS after, MiB": Math.round(after.rss / 2 ** 20),
      "RAM, bytes an id: RSS difference": each(after.rss - before.rss, added),
      "RAM, bytes an id: of it, the second half of the ids": each(after.rss - between.rss, added - half),
      "RAM, bytes an id: Bloom filters": each(
        sum((s) => s.bloomBytes),
        ids,
      ),
      "RAM, bytes an id: heap and buffers": each(
        after.heap + after.buffers - before.heap - before.buffers,
        added,
      ),
      "slices in a shard": Math.max(...stats.map((s) => s.slices)),
      "state on disk, MiB": Math.round(disk / 2 ** 20),
      "disk, bytes an id": each(disk, ids),
      "store look-ups a new id": (lookupsBefore / ids).toFixed(4),
      "repeated ids": repeats.length,
      "found as duplicates": found,
      "a repeat, one at a time, µs (with its append)": Math.round(lookupUs),
    },
    flags.json,
  );
  if (accepted !== ids || found !== repeats.length) process.exitCode = 1;
} finally {
  await log.close();
  await rm(dir, { recursive: true, force: true });
}
