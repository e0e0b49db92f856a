/**
 * What ClickHouse costs: CPU a raw row from the log's blocks into clicks_raw (both processes),
 * latency of count upserts and of explanations over the tables that this filled. Reports over much
 * more are measured by bench-reports.ts.
 *
 *   node loadtest/bench/clickhouse.ts [--rows 1000000] [--ads 100000] [--json]
 */
import { parseArgs } from "node:util";
import { openEngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { startRawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import { fakeBlock, fakeClick, fakeImpressionId } from "../../actors/adapters/clickhouse/raw-rows.fixture.ts";
import { createReports } from "../../actors/adapters/clickhouse/reports.ts";
import { createMemoryLog } from "../../actors/adapters/memory/memory-log.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { encodeCountRows } from "../../actors/ports/count-rows.ts";
import type { CountRow } from "../../actors/ports/count-sink.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { cpuUsOf } from "../lib/processes.ts";
import { latencies, printLines, type Figures, type Line } from "../lib/report.ts";

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "1000000" },
    ads: { type: "string", default: "100000" },
    json: { type: "boolean", default: false },
  },
});
const rawRows = Number(flags.rows);
const adCount = Number(flags.ads);
const SHARDS = 4;
const BLOCK_ROWS = 2_000;
const nowMs = systemClock.now();
const minuteNow = Math.floor(nowMs / 60_000);

const fixture = await openEngineFixture();
const { clickhouse, engine } = fixture;

const engineCpuUs = () => cpuUsOf(engine.pid() ?? 0);
function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
const round = (value: number) => Math.round(value * 100) / 100;
const lines: Line[] = [];
const add = (what: string, figures: Figures) => void lines.push({ test: `clickhouse: ${what}`, figures });

async function timed(what: string, times: number, run: (index: number) => Promise<unknown>): Promise<void> {
  const tookMs: number[] = [];
  const cpuBefore = await engineCpuUs();
  for (let index = 0; index < times; index++) {
    const startedAt = performance.now();
    await run(index);
    tookMs.push(performance.now() - startedAt);
  }
  const cpuUs = (await engineCpuUs()) - cpuBefore;
  add(what, { ...latencies("each", tookMs), "engine CPU ms each": round(cpuUs / 1_000 / times) });
}
const adOf = (n: number) => ({
  adId: 1_000 + (n % adCount),
  campaignId: 1_000 + Math.floor((n % adCount) / 10),
  advertiserId: 1_000 + Math.floor((n % adCount) / 100),
});

const log = createMemoryLog();
for (let n = 0, block = 1; n < rawRows; block++) {
  const clicks = Array.from({ length: BLOCK_ROWS }, () => {
    n += 1;
    return fakeClick(nowMs - (n % 60_000), n, adOf(Math.imul(n, 2_654_435_761) >>> 0));
  });
  await log.append(
    block % SHARDS,
    fakeBlock(block % SHARDS, 1 + (block % SHARDS), Math.ceil(block / SHARDS), clicks),
  );
}
const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
const ingester = await startRawIngester({
  log,
  clickhouse,
  shards,
  // About 70,000 rows an insert: 100,000 clicks a second for 700 ms.
  limits: { rawIngestIntervalMs: 1_000_000, rawIngestMaxBytes: 70_000 * 150 },
  clock: systemClock,
  logger: silentLogger,
});
const before = { own: ownCpuUs(), engine: await engineCpuUs(), at: performance.now() };
await ingester.drain();
const each = (us: number) => round(us / rawRows);
add(`raw ingest of ${rawRows.toLocaleString("en")} rows`, {
  "CPU µs a row: engine": each((await engineCpuUs()) - before.engine),
  "CPU µs a row: ingester": each(ownCpuUs() - before.own),
  "rows a second": Math.round(rawRows / ((performance.now() - before.at) / 1_000)),
});
await ingester.stop();

const sink = createClickHouseCountSink(clickhouse);
const counts = (count: number, minute: number, version: number, first = 0) =>
  encodeCountRows(
    Array.from({ length: count }, (_, index): CountRow => {
      const ad = adOf(first + index);
      return {
        adId: BigInt(ad.adId),
        campaignId: BigInt(ad.campaignId),
        advertiserId: BigInt(ad.advertiserId),
        minute,
        shard: ad.adId % SHARDS,
        clicks: version,
        invalid: 1,
        duplicates: 1,
        version,
      };
    }),
  );
await timed("count upsert of 100 rows", 100, (index) => sink.writeCounts(counts(100, minuteNow, index + 1)));
await timed("count upsert of 10,000 rows", 50, (index) =>
  sink.writeCounts(counts(10_000, minuteNow, index + 1)),
);
await timed("checkpoints of 4 shards", 50, (index) =>
  sink.writeCheckpoints(
    shards.map((shard) => ({ shard, epoch: 1, offset: index, watermarkMs: nowMs + index })),
  ),
);

const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => shards });
await timed("explain a click", 100, (n) =>
  reports.explainClick(fakeImpressionId(nowMs - ((n * 997 + 1) % 60_000) - 5_000, n * 997 + 1)),
);
await fixture.close();
printLines(lines, flags.json);
