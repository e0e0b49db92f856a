/**
 * ClickHouse alone: raw rows go in as they are, and every question counts distinct impressions
 * anew. No answer to the user depends on it, nothing is refused, nothing expires.
 */
import { openEngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { startRawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import { fakeBlock, fakeClick } from "../../actors/adapters/clickhouse/raw-rows.fixture.ts";
import { createMemoryLog } from "../../actors/adapters/memory/memory-log.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { cpuUsOf } from "../lib/processes.ts";

const BLOCK_ROWS = 2_000;
const SHARDS = 4;
const ASKED = 5;
/** About 70,000 rows an insert: 100,000 clicks a second for 700 ms. */
const INSERT = { rawIngestIntervalMs: 1_000_000, rawIngestMaxBytes: 70_000 * 150 };

export interface AloneFigures {
  readonly rows: number;
  readonly counted: number;
  readonly insertMs: number;
  readonly insertCpuUs: number;
  /** One question for all counts by ad and minute: the middle one of several. */
  readonly queryMs: number;
  readonly queryCpuUs: number;
}

export async function runClickHouseAlone(rows: number, ads: number, repeats: number): Promise<AloneFigures> {
  const fixture = await openEngineFixture();
  const { clickhouse, engine } = fixture;
  const cpuUs = () => cpuUsOf(engine.pid() ?? -1);
  try {
    const log = createMemoryLog();
    const nowMs = systemClock.now();
    const distinct = Math.ceil(rows * (1 - repeats));
    for (let n = 0, block = 1; n < rows; block++) {
      const clicks = Array.from({ length: Math.min(BLOCK_ROWS, rows - n) }, () => {
        const id = n++ % distinct;
        const adId = 1_001 + ((Math.imul(id, 2_654_435_761) >>> 0) % ads);
        const owner = {
          adId,
          campaignId: 1 + Math.floor(adId / 10),
          advertiserId: 1 + Math.floor(adId / 20),
        };
        return fakeClick(nowMs - (id % 60_000), id, owner);
      });
      const shard = block % SHARDS;
      await log.append(shard, fakeBlock(shard, 1 + shard, Math.ceil(block / SHARDS), clicks));
    }
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    const deps = { log, clickhouse, shards, limits: INSERT, clock: systemClock, logger: silentLogger };
    const ingester = await startRawIngester(deps);
    const own = () => process.cpuUsage().user + process.cpuUsage().system;
    const before = { engine: await cpuUs(), own: own(), at: performance.now() };
    await ingester.drain();
    const insertMs = performance.now() - before.at;
    const insertCpuUs = (await cpuUs()) - before.engine + own() - before.own;
    await ingester.stop();

    const asked: { readonly ms: number; readonly clicks: number }[] = [];
    const askedFrom = await cpuUs();
    for (let i = 0; i < ASKED; i++) {
      const startedAt = performance.now();
      const [row] = await clickhouse.rows<{ clicks: string }>(
        `SELECT sum(clicks) AS clicks FROM (
           SELECT ad_id, toStartOfMinute(click_time) AS minute, uniqExact(impression_id) AS clicks
           FROM adtally.clicks_raw GROUP BY ad_id, minute)`,
      );
      asked.push({ ms: performance.now() - startedAt, clicks: Number(row?.clicks) });
    }
    const queryCpuUs = ((await cpuUs()) - askedFrom) / ASKED;
    const queryMs = asked.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor(ASKED / 2)]!;
    return { rows, counted: asked[0]!.clicks, insertMs, insertCpuUs, queryMs, queryCpuUs };
  } finally {
    await fixture.close();
  }
}
