/** What ClickHouse holds, and whether the program has brought everything there. */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { callApi } from "./ads.ts";
import { until } from "./wait.ts";

export interface CountRow {
  readonly adId: string;
  /** Minutes since 1970. */
  readonly minute: number;
  readonly shard: number;
  readonly clicks: number;
  readonly invalid: number;
  readonly duplicates: number;
}

export async function readCounts(clickhouse: ClickHouse): Promise<CountRow[]> {
  const rows = await clickhouse.rows<{
    ad_id: string;
    minute: number;
    shard: number;
    clicks: string;
    invalid: string;
    duplicates: string;
  }>(
    `SELECT ad_id, toUInt32(intDiv(toUnixTimestamp(minute), 60)) AS minute, shard,
            toUInt64(clicks) AS clicks, toUInt64(invalid) AS invalid, toUInt64(duplicates) AS duplicates
     FROM adtally.click_counts AS counts FINAL ORDER BY counts.ad_id, counts.minute, counts.shard`,
  );
  return rows.map((row) => ({
    adId: row.ad_id,
    minute: row.minute,
    shard: row.shard,
    clicks: Number(row.clicks),
    invalid: Number(row.invalid),
    duplicates: Number(row.duplicates),
  }));
}

export interface RawRow {
  readonly impression_id: string;
  readonly ad_id: string;
  readonly shard: number;
  /** Of its block in the log; text, as ClickHouse gives it. */
  readonly offset: string;
  readonly verdict: string;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly click_ms: string;
}

/**
 * Rows of the log in its order, each once where it was inserted twice. Those of a block that the log
 * holds twice are there twice: blocks are told apart by their writers, and these by their offsets alone.
 */
export function readRaw(clickhouse: ClickHouse): Promise<RawRow[]> {
  return clickhouse.rows<RawRow>(
    `SELECT toString(impression_id) AS impression_id, ad_id, shard, offset, verdict, reason,
            toUnixTimestamp64Milli(click_time) AS click_ms
     FROM adtally.clicks_raw AS raw ORDER BY raw.shard, raw.offset, raw.row_number
     LIMIT 1 BY raw.shard, raw.offset, raw.row_number`,
  );
}

async function gaugeSum(url: string, name: string): Promise<number> {
  const text = await (await callApi(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  if (lines.length === 0) throw new Error(`no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Resolves once counts and raw rows of all that was taken are in ClickHouse. */
export async function untilSettled(url: string, deadlineMs: number): Promise<void> {
  let calm = 0;
  await until(
    "counts and raw rows in ClickHouse",
    deadlineMs,
    async () => {
      const left =
        (await gaugeSum(url, "adtally_shard_mailbox_clicks")) +
        (await gaugeSum(url, "adtally_shard_unflushed_windows")) +
        (await gaugeSum(url, "adtally_raw_table_lag_blocks"));
      calm = left === 0 ? calm + 1 : 0;
      // Windows under way to ClickHouse are not unflushed any more: so look more than once.
      return calm >= 3 ? true : undefined;
    },
    500,
  );
}
