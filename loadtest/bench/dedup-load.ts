/**
 * What repeats cost under a load as it comes: one shard at a steady rate, ids dated at their
 * impression (so each save has runs for several slices), repeats of clicks from a minute to all of the
 * run old. Nothing waits, the clock is the clicks' own; what is told is CPU of this thread, RocksDB's
 * compactions beside it in seconds.
 *
 *   node loadtest/bench/dedup-load.ts [--minutes 20] [--rate 10000] [--delay-s 30] [--quick] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { rocksShardStores } from "../../actors/adapters/rocksdb/shard-store.ts";
import { mix32 } from "../../actors/core/hash.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { DedupIndex } from "../../actors/dedup/dedup-index.ts";
import { printLines } from "../lib/report.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    rate: { type: "string", default: "10000" },
    "delay-s": { type: "string", default: "30" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rate = Number(values.rate);
const total = Math.ceil((values.quick ? 1 : Number(values.minutes)) * 60 * rate);
const meanDelayMs = Number(values["delay-s"]) * 1_000;
const { bloomFalsePositiveRate, dedupRunIds, dedupSliceMs } = DEFAULT_LIMITS;
const START_MS = 1_760_000_000_000;
const ROUND = 10_000;
const REPEATS_A_ROUND = 20;
/** The youngest of them is a minute old, once there are any. */
const LEAST_AGE = 60 * rate;

/** Click number `i`: at the rate, and a while after its impression (exponential). */
function timeOf(i: number): number {
  const part = (mix32(i ^ 0x51ed270b) + 0.5) / 4_294_967_296;
  return Math.floor(START_MS + (i * 1_000) / rate + Math.log(part) * meanDelayMs);
}

const dir = await mkdtemp(join(tmpdir(), "adtally-bench-dedup-"));
const store = await rocksShardStores(dir).open(0);
let bucketsRead = 0;
const index = new DedupIndex(
  { sliceMs: dedupSliceMs, falsePositiveRate: bloomFalsePositiveRate, runIds: dedupRunIds },
  {
    scanRun: (run) => store.scanRun(run),
    readBuckets: (keys) => {
      bucketsRead += keys.length;
      return store.readBuckets(keys);
    },
  },
);
const cpuUs = () => {
  const { system, user } = process.threadCpuUsage();
  return system + user;
};
const ask = (i: number): boolean => {
  const ms = timeOf(i);
  return index.find(Math.floor(ms / 0x1_0000), ((ms % 0x1_0000) << 16) >>> 0, mix32(i), i) !== undefined;
};
let runs = 0;
let saves = 0;
let longestSaveUs = 0;
let saveUs = 0;
const save = () => {
  const startedAt = cpuUs();
  const taken = index.take(saves++);
  store.saveIds(taken.runs);
  index.saved(taken.runs, taken.filters);
  const tookUs = cpuUs() - startedAt;
  runs += taken.runs.length;
  saveUs += tookUs;
  longestSaveUs = Math.max(longestSaveUs, tookUs);
};
let newUs = 0;
let repeatUs = 0;
let repeats = 0;
let repeatBuckets = 0;
try {
  for (let first = 0; first < total; first += ROUND) {
    const startedAt = cpuUs();
    for (let i = first; i < first + ROUND; i++) {
      if (ask(i)) throw new Error(`click ${i} is new and was taken for a repeat`);
      const ms = timeOf(i);
      index.add(Math.floor(ms / 0x1_0000), ((ms % 0x1_0000) << 16) >>> 0, mix32(i), i, saves, i - first);
    }
    if (index.unsavedIds >= dedupRunIds) save();
    newUs += cpuUs() - startedAt;
    // The last half: by then the slices hold what they hold at this rate.
    if (first < total / 2) continue;
    const oldest = Math.max(first + ROUND - LEAST_AGE, ROUND);
    const [askedAt, readBefore] = [cpuUs(), bucketsRead];
    for (let repeat = 0; repeat < REPEATS_A_ROUND; repeat++) {
      const i = mix32(first + repeat) % oldest;
      if (!ask(i)) throw new Error(`click ${i} was forgotten`);
    }
    repeatUs += cpuUs() - askedAt;
    repeatBuckets += bucketsRead - readBefore;
    repeats += REPEATS_A_ROUND;
  }
  const all = process.cpuUsage();
  const round = (value: number) => Math.round(value * 100) / 100;
  printLines(
    [
      {
        test: `dedup: ${total.toLocaleString("en")} clicks at ${rate.toLocaleString("en")}/s, dated ${values["delay-s"]} s before on average`,
        figures: {
          "µs a new id, saves and all": round(newUs / total),
          "buckets read for 100 new ids": round(((bucketsRead - repeatBuckets) / total) * 100),
          "µs a repeat": round(repeatUs / repeats),
          "buckets read for a repeat": round(repeatBuckets / repeats),
          "runs saved": runs,
          "mean save ms": round(saveUs / saves / 1_000),
          "longest save ms": round(longestSaveUs / 1_000),
          "CPU of all threads s": round((all.user + all.system) / 1_000_000),
          "filters, bytes an id": round(index.stats.bloomBytes / index.stats.ids),
        },
      },
    ],
    values.json,
  );
} finally {
  await store.close();
  await rm(dir, { recursive: true, force: true });
}
