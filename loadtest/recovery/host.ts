/**
 * One life of an actor host with one shard, as a process of its own: the real host on the real
 * log and store. Started by loadtest/recovery.ts, which reads one line of JSON an event.
 *
 *   node host.ts DIR embedded|kafka:ADDRESS fill CLICKS ADS     counts them, saves, ends
 *   node host.ts DIR embedded|kafka:ADDRESS leave CLICKS ADS    counts them, saves nothing, waits to be killed
 *   node host.ts DIR embedded|kafka:ADDRESS serve               one click as soon as it can; waits to be killed
 */
import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { ensureTopics } from "../../actors/adapters/kafka/ensure-topics.ts";
import { openKafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { rowsOf, uuidV7, type SimClick } from "../../actors/sim/clicks.ts";
import { seededRandom } from "../../actors/sim/random.ts";
import type { ShardHost } from "../../actors/shard/host.ts";
import { openLog, startLoneHost } from "../lib/lone-host.ts";
import { openFileSink } from "./file-sink.ts";

const [dir = "", place = "", what = "", clicks = "0", ads = "1"] = process.argv.slice(2);
const SHARD = 0;
const ROWS = 1_000;
const UNDER_WAY = 8;
const PROGRESS_EVERY = 1_000_000;

const random = seededRandom(Number(clicks));
const noise = Buffer.alloc(10 * ROWS);
function makeRows(count = ROWS): Buffer {
  randomFillSync(noise);
  const nowMs = Date.now();
  const batch = Array.from({ length: count }, (_, i): SimClick => {
    const id = uuidV7(nowMs - random.below(90 * 60_000), noise.subarray(i * 10, i * 10 + 10));
    return { id, adId: 1 + random.below(Number(ads)), clickMs: nowMs, receivedMs: nowMs };
  });
  return rowsOf(batch, SHARD);
}

const say = (event: string, figures: Readonly<Record<string, number>> = {}) =>
  process.stdout.write(`${JSON.stringify({ event, ...figures })}\n`);

async function submit(host: ShardHost): Promise<void> {
  let [left, answered] = [Math.ceil(Number(clicks) / ROWS), 0];
  await Promise.all(
    Array.from({ length: UNDER_WAY }, async () => {
      while (left-- > 0) {
        await host.submit({ shard: SHARD, rows: makeRows(), count: ROWS });
        answered += ROWS;
        if (answered % PROGRESS_EVERY === 0) say("progress", { clicks: answered });
      }
    }),
  );
}

async function openPlace() {
  if (place === "embedded") return openLog(dir);
  const address = place.slice("kafka:".length);
  const config = { brokers: [address], clientId: "adtally-recovery", topicPrefix: "recovery-" };
  const deps = { config, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger };
  const wants = {
    partitions: 1,
    replication: 1,
    minInsyncReplicas: 1,
    retentionMs: DEFAULT_LIMITS.logRetentionMs,
  };
  await ensureTopics({ ...deps, wants });
  return openKafkaLog(deps);
}

// An end that leaves a profile behind.
process.once("SIGTERM", () => process.exit(0));
const { sink, counted, keep } = openFileSink(join(dir, "counts"));
const log = await openPlace();
const openedMs = performance.now();
// What comes while it leaves is in the log alone: no save is due.
const never = { ...DEFAULT_LIMITS, dedupRunIds: 1 << 30, stateSaveIntervalMs: 1 << 30 };
const host = await startLoneHost({
  dir,
  log,
  shards: 1,
  sink,
  limits: what === "leave" ? never : DEFAULT_LIMITS,
});
const servesMs = performance.now();

if (what === "serve") {
  await host.submit({ shard: SHARD, rows: makeRows(1), count: 1 });
  const firstAckMs = performance.now();
  const peakMiB = process.resourceUsage().maxRSS / 1_024;
  const { user, system } = process.cpuUsage();
  say("acked", { openedMs, servesMs, firstAckMs, cpuMs: (user + system) / 1_000, peakMiB });
  await host.flushCounts();
  await keep();
  const { state } = host.actors.get(SHARD)!;
  say("counted", { counted: await counted(), remembered: state.dedup.stats.ids, blocks: state.stats.blocks });
  // The first save after a long replay.
  host.actors.get(SHARD)!.save();
  say("saved", { savedPeakMiB: process.resourceUsage().maxRSS / 1_024 });
} else {
  await submit(host);
  await host.flushCounts();
  if (what === "fill") await host.drain();
  await keep();
  say("done", { counted: await counted() });
  if (what === "fill") process.exit(0);
}
