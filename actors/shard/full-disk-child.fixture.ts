/**
 * One life of a shard host over the embedded log and RocksDB, as a process of its own: submits
 * batches of clicks that are the same in every life, saves now and then, and tells what came of them,
 * one line of JSON a batch. Ends at the first batch that is not taken, or when all are counted.
 *
 *   node full-disk-child.fixture.ts LOG_DIR STATE_DIR BATCHES BORN_MS
 */
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { openFileLog } from "../adapters/embedded/file-log.ts";
import { rocksShardStores } from "../adapters/rocksdb/shard-store.ts";
import { isAdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Verdict } from "../core/verdict.ts";
import { sleep, systemClock, systemRandom } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { seededRandom } from "../sim/random.ts";
import { ShardHost } from "./host.ts";

const [logDir = "", stateDir = "", batches = "0", bornMs = "0"] = process.argv.slice(2);
const ROWS = 1_000;
/** Of the batches: a repeated id is looked for in the run of each save. */
const SAVED_EVERY = 10;
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const shared = { limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger };
const log = await openFileLog({ ...shared, dir: logDir });
const sink = createMemoryCountSink();
const host = await ShardHost.start({
  ...shared,
  shards: [{ shard: 0, epoch: 1 }],
  clicks: log.topic("clicks"),
  deadLetters: log.topic("clicks-dead-letter"),
  spill: log.topic("clicks-spill"),
  stores: rocksShardStores(stateDir),
  sink,
  random: systemRandom,
  defer: (run) => void systemClock.after(0, run),
});

function rowsOfBatch(batch: number): Buffer {
  const random = seededRandom(batch + 1);
  const nowMs = systemClock.now();
  const clicks = Array.from({ length: ROWS }, () => ({
    id: uuidV7(Number(bornMs), random.bytes(10)),
    adId: 1 + random.below(500),
    clickMs: nowMs,
    receivedMs: nowMs,
    userAgent: "a browser ".repeat(20),
  }));
  return rowsOf(clicks, 0);
}

async function submit(batch: number): Promise<boolean> {
  try {
    const { outcomes } = await host.submit({ shard: 0, rows: rowsOfBatch(batch), count: ROWS });
    const verdicts = outcomes.filter((_, at) => at % 2 === 0);
    const count = (verdict: number) => verdicts.filter((each) => each === verdict).length;
    say({ batch, accepted: count(Verdict.ACCEPTED), duplicates: count(Verdict.DUPLICATE) });
    if (batch % SAVED_EVERY === 0) host.actors.get(0)?.save();
    return true;
  } catch (error) {
    say({ batch, code: isAdtallyError(error) ? error.code : String(error) });
    return false;
  }
}

let batch = 0;
while (batch < Number(batches) && (await submit(batch))) batch += 1;
if (batch < Number(batches)) {
  // Whatever failed: it stays failed, and takes nothing more.
  await sleep(systemClock, 2_500);
  await submit(batch + 1);
  say({ faults: host.faults });
  process.exit(0);
}
await host.flushCounts();
say({ counted: sink.counts().reduce((sum, row) => sum + row.clicks, 0), faults: host.faults });
await host.drain();
await log.close();
