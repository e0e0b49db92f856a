/**
 * How long a shard is away: after a kill with clicks to replay, and with its volume lost. One
 * shard over the real embedded log and store; the sink is a map in memory.
 *
 *   node loadtest/recovery.ts [--replay 1000000] [--ids 10000000] [--ads 10000] [--json]
 *
 * Each time the shard must come back to the counts that it had.
 */
import { randomFillSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createMemoryCountSink } from "../actors/adapters/memory/memory-count-sink.ts";
import { DEFAULT_LIMITS, type Limits } from "../actors/core/limits.ts";
import type { ShardHost } from "../actors/shard/host.ts";
import { rowsOf, uuidV7, type SimClick } from "../actors/sim/clicks.ts";
import { seededRandom } from "../actors/sim/random.ts";
import { openLog, startLoneHost, storesIn } from "./lib/lone-host.ts";
import { print } from "./lib/report.ts";

const { values: flags } = parseArgs({
  options: {
    replay: { type: "string", default: "1000000" },
    ids: { type: "string", default: "10000000" },
    ads: { type: "string", default: "10000" },
    json: { type: "boolean", default: false },
  },
});
const SHARD = 0;
const ROWS = 1_000;
const UNDER_WAY = 8;

const dir = await mkdtemp(join(tmpdir(), "adtally-recovery-"));
const sink = createMemoryCountSink();
const stores = storesIn(dir);
const log = await openLog(dir);

async function start(limits: Limits): Promise<{ host: ShardHost; tookMs: number }> {
  const startedAt = performance.now();
  const host = await startLoneHost({ dir, log, shards: 1, sink, limits });
  return { host, tookMs: performance.now() - startedAt };
}

const random = seededRandom(1);
const noise = Buffer.alloc(10 * ROWS);
function makeRows(): Buffer {
  randomFillSync(noise);
  const nowMs = Date.now();
  const batch = Array.from({ length: ROWS }, (_, i): SimClick => {
    const id = uuidV7(nowMs - random.below(90 * 60_000), noise.subarray(i * 10, i * 10 + 10));
    return { id, adId: 1 + random.below(Number(flags.ads)), clickMs: nowMs, receivedMs: nowMs };
  });
  return rowsOf(batch, SHARD);
}

async function submit(host: ShardHost, clicks: number): Promise<void> {
  let left = Math.ceil(clicks / ROWS);
  await Promise.all(
    Array.from({ length: UNDER_WAY }, async () => {
      while (left-- > 0) await host.submit({ shard: SHARD, rows: makeRows(), count: ROWS });
    }),
  );
}

const counted = () => sink.counts().reduce((sum, row) => sum + row.clicks, 0);

try {
  const [replay, ids] = [Number(flags.replay), Number(flags.ids)];
  const saving = (await start(DEFAULT_LIMITS)).host;
  await submit(saving, ids - replay);
  await saving.drain();

  // What comes now is in the log alone: no save is due.
  const never = { ...DEFAULT_LIMITS, dedupRunIds: 1 << 30, stateSaveIntervalMs: 1 << 30 };
  const killed = (await start(never)).host;
  await submit(killed, replay);
  await killed.flushCounts();
  const expected = counted();
  await killed.abandon();

  const afterKill = await start(DEFAULT_LIMITS);
  await afterKill.host.flushCounts();
  const afterKillCounted = counted();
  await afterKill.host.abandon();

  await stores.destroy(SHARD);
  const afterLoss = await start(DEFAULT_LIMITS);
  await afterLoss.host.flushCounts();
  const afterLossCounted = counted();
  const remembered = afterLoss.host.actors.get(SHARD)!.state.dedup.stats.ids;
  await afterLoss.host.abandon();

  print(
    "recovery of one shard",
    {
      "clicks counted before": expected,
      "clicks to replay after the kill": replay,
      "killed: ms until it serves again": Math.round(afterKill.tookMs),
      "counted after the kill": afterKillCounted,
      "ids remembered": remembered,
      "volume lost: ms until it serves again": Math.round(afterLoss.tookMs),
      "counted after the loss": afterLossCounted,
    },
    flags.json,
  );
  if (afterKillCounted !== expected || afterLossCounted !== expected || remembered !== expected)
    process.exitCode = 1;
} finally {
  await log.close();
  await rm(dir, { recursive: true, force: true });
}
