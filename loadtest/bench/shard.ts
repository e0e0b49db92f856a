/**
 * CPU a click of the shard actors alone: rows in, verdicts out, over the real embedded log
 * (fdatasync), the real RocksDB store and a sink that swallows. No network, no ClickHouse.
 *
 *   node [--cpu-prof] loadtest/bench/shard.ts [--clicks 2000000] [--ads 10000] [--repeats 0.1] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { randomBytes } from "node:crypto";
import { Verdict } from "../../actors/core/verdict.ts";
import { rowsOf, uuidV7, type SimClick } from "../../actors/sim/clicks.ts";
import { openLog, startLoneHost } from "../lib/lone-host.ts";
import { printLines } from "../lib/report.ts";

const { values } = parseArgs({
  options: {
    clicks: { type: "string", default: "2000000" },
    ads: { type: "string", default: "10000" },
    repeats: { type: "string", default: "0.1" },
    json: { type: "boolean", default: false },
  },
});
const clicks = Number(values.clicks);
const ads = Number(values.ads);
const SHARDS = 4;
const ROWS = 250;
const UNDER_WAY = 32;

const dir = await mkdtemp(join(tmpdir(), "adtally-bench-"));
const log = await openLog(dir);
const host = await startLoneHost({ dir, log, shards: SHARDS });

// The rows are made outside the measured time, a share at a time so that memory stays small.
const known: Buffer[] = [];
function makeRows(shard: number): Buffer {
  const now = Date.now();
  const batch: SimClick[] = [];
  for (let i = 0; i < ROWS; i++) {
    const repeat = known.length > 1_000 && Math.random() < Number(values.repeats);
    const id = repeat
      ? known[(Math.random() * known.length) | 0]!
      : uuidV7(now - ((Math.random() * 60_000) | 0), randomBytes(10));
    if (!repeat && Math.random() < 0.05) known.push(id);
    batch.push({
      id,
      adId: 1 + ((Math.random() * ads) | 0),
      clickMs: now,
      receivedMs: now,
      userAgent: "Mozilla/5.0 (X11; Linux x86_64) bench",
    });
  }
  return rowsOf(batch, shard);
}

let accepted = 0;
let answered = 0;
let cpuUs = 0;
let wallMs = 0;
for (let left = clicks; left > 0;) {
  const share = Array.from({ length: Math.min(400, Math.ceil(left / ROWS)) }, (_, i) => ({
    shard: i % SHARDS,
    rows: makeRows(i % SHARDS),
  }));
  left -= share.length * ROWS;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < share.length) {
      const { shard, rows } = share[next++]!;
      const { outcomes } = await host.submit({ shard, rows, count: ROWS });
      answered += ROWS;
      for (let i = 0; i < outcomes.length; i += 2) if (outcomes[i] === Verdict.ACCEPTED) accepted += 1;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, worker));
  wallMs += performance.now() - startedAt;
  const used = process.cpuUsage(cpu);
  cpuUs += used.user + used.system;
}
const stats = [...host.actors.values()].map((actor) => actor.state.dedup.stats);
const counted = [...host.actors.values()].reduce((sum, actor) => sum + actor.state.stats.accepted, 0);
const sum = (of: (each: (typeof stats)[number]) => number) =>
  stats.reduce((total, each) => total + of(each), 0);
const round = (value: number) => Math.round(value * 100) / 100;
printLines(
  [
    {
      test: `shard: clicks decided, logged and counted over ${SHARDS} shards`,
      figures: {
        "CPU µs a click, all threads": round(cpuUs / answered),
        "clicks a second": Math.round((answered / wallMs) * 1_000),
        "Bloom bytes an id": round(sum(({ bloomBytes }) => bloomBytes) / counted),
        "store look-ups": sum(({ storeLookups }) => storeLookups),
        blocks: [...host.actors.values()].reduce((total, actor) => total + actor.state.stats.blocks, 0),
        answered,
        accepted,
        counted,
      },
    },
  ],
  values.json,
);
await host.drain();
await log.close();
await rm(dir, { recursive: true, force: true });
if (accepted !== counted) process.exitCode = 1;
