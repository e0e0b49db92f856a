/**
 * What ClickHouse costs: CPU a raw row from the log's blocks into clicks_raw (both processes),
 * latency of count upserts, of reports and of explanations over the tables that this filled.
 *
 *   node loadtest/bench-clickhouse.ts [raw rows = 1000000] [ads = 100000]
 */
import { readFileSync } from "node:fs";
import { openEngineFixture } from "../actors/adapters/clickhouse/engine.fixture.ts";
import { createClickHouseCountSink } from "../actors/adapters/clickhouse/count-sink.ts";
import { startRawIngester } from "../actors/adapters/clickhouse/raw-ingester.ts";
import { fakeBlock, fakeClick, fakeImpressionId } from "../actors/adapters/clickhouse/raw-rows.fixture.ts";
import { createReports } from "../actors/adapters/clickhouse/reports.ts";
import { createMemoryLog } from "../actors/adapters/memory/memory-log.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { encodeCountRows } from "../actors/ports/count-rows.ts";
import type { CountRow } from "../actors/ports/count-sink.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";

const RAW_ROWS = Number(process.argv[2] ?? 1_000_000);
const ADS = Number(process.argv[3] ?? 100_000);
const SHARDS = 4;
const BLOCK_ROWS = 2_000;
const TICKS_PER_S = 100;
const nowMs = systemClock.now();
const minuteNow = Math.floor(nowMs / 60_000);

const fixture = await openEngineFixture();
const { clickhouse, engine } = fixture;

/** User and system time of the engine's process, in microseconds. */
function engineCpuUs(): number {
  const fields = readFileSync(`/proc/${engine.pid()}/stat`, "utf8").split(") ")[1]!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_S;
}
function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
async function timed(label: string, times: number, run: (index: number) => Promise<unknown>): Promise<void> {
  const tookMs: number[] = [];
  const cpuBefore = engineCpuUs();
  for (let index = 0; index < times; index++) {
    const startedAt = performance.now();
    await run(index);
    tookMs.push(performance.now() - startedAt);
  }
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => tookMs[Math.min(times - 1, Math.floor(times * share))]!.toFixed(1);
  const cpuMs = ((engineCpuUs() - cpuBefore) / 1000 / times).toFixed(1);
  console.log(`${label}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, engine CPU ${cpuMs} ms each`);
}
const adOf = (n: number) => ({
  adId: 1_000 + (n % ADS),
  campaignId: 1_000 + Math.floor((n % ADS) / 10),
  advertiserId: 1_000 + Math.floor((n % ADS) / 100),
});

console.log(`raw table: ${RAW_ROWS} rows in blocks of ${BLOCK_ROWS}, ${SHARDS} shards, ${ADS} ads`);
const log = createMemoryLog();
for (let n = 0, block = 1; n < RAW_ROWS; block++) {
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
const before = { own: ownCpuUs(), engine: engineCpuUs(), at: performance.now() };
await ingester.drain();
const each = (us: number) => (us / RAW_ROWS).toFixed(2);
console.log(
  `raw ingest: ${each(engineCpuUs() - before.engine)} µs engine + ${each(ownCpuUs() - before.own)} µs ingester CPU a row, ` +
    `${Math.round(RAW_ROWS / ((performance.now() - before.at) / 1000))} rows/s`,
);
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

const FILL_MINUTES = 60;
const PER_MINUTE = Math.min(ADS, 20_000);
for (let minute = 0; minute < FILL_MINUTES; minute++)
  await sink.writeCounts(counts(PER_MINUTE, minuteNow - minute, 7, minute * 37));
console.log(`reports over ${FILL_MINUTES * PER_MINUTE} counts`);
const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => shards });
const hour = { fromMs: nowMs - 3_600_000, toMs: nowMs, granularity: "1m" } as const;
const id = (n: number) => {
  const ad = adOf(n % PER_MINUTE);
  return { adId: BigInt(ad.adId), campaignId: BigInt(ad.campaignId), advertiserId: BigInt(ad.advertiserId) };
};
await timed("report of an ad, its owner known", 100, (n) =>
  reports.clicksReport({ subject: id(n * 7), ...hour }),
);
await timed("report of an ad alone", 100, (n) =>
  reports.clicksReport({ subject: { adId: id(n * 7).adId }, ...hour }),
);
await timed("report of a campaign alone", 100, (n) =>
  reports.clicksReport({ subject: { campaignId: id(n * 7).campaignId }, ...hour }),
);
await timed("report of an advertiser", 100, (n) =>
  reports.clicksReport({ subject: { advertiserId: id(n * 7).advertiserId }, ...hour }),
);
await timed("explain a click", 100, (n) =>
  reports.explainClick(fakeImpressionId(nowMs - ((n * 997 + 1) % 60_000) - 5_000, n * 997 + 1)),
);
const parts = await clickhouse.rows<{ table: string; parts: string; rows: string; size: string }>(
  `SELECT table, count() AS parts, sum(rows) AS rows, formatReadableSize(sum(bytes_on_disk)) AS size
   FROM system.parts WHERE active AND database = 'adtally' GROUP BY table ORDER BY table`,
);
console.table(parts);
await fixture.close();
