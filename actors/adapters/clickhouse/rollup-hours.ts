/**
 * Which hours may be read from the rollup, and which must be read from minutes. The rollup's
 * writer (rollups.ts), the reports and the count sink go by these.
 *
 *  H1 An hour is valid from the moment its rows of the rollup are all written (`sealed_at`, the
 *     server's time before its minutes were read, less the skew between servers) until a count
 *     older than `REOPENED_AFTER_MS` is written (`reopened_at`). The count sink's call resolves
 *     after that mark is written: no report that comes later takes the rollup's hour for whole.
 *  H2 A report takes each hour from one source: it asks once which hours are valid, and reads the
 *     rollup for these and minutes for all others.
 *  H3 A recount's verified hours will be one more source to choose; nothing else changes for them.
 */
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

export const HOUR_MS = 3_600_000;
const HOUR_S = 3_600;
/**
 * Counts whose window ended so long before the newest watermark mark their hour. An hour is
 * sealed `windowRetentionMs` behind the watermark (three hours at least, see limits.ts), so one
 * that nobody marks is far from being sealed.
 */
export const REOPENED_AFTER_MS = HOUR_MS;
/** How far clocks of ClickHouse's servers may differ. */
export const SERVER_SKEW_S = 60;
/** Ranges that a query names at the most; hours of further ones are read from minutes. */
const MAX_RANGES = 32;

export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Undefined while a shard has told nothing yet. */
export async function leastWatermarkMs(
  clickhouse: Pick<ClickHouse, "rows">,
  shards: readonly number[],
): Promise<number | undefined> {
  if (shards.length === 0) return undefined;
  const [row] = await clickhouse.rows<{ shards: string; watermark_ms: string }>(
    `SELECT count() AS shards, toUnixTimestamp64Milli(min(newest)) AS watermark_ms
     FROM (SELECT max(watermark) AS newest FROM ${DATABASE}.shard_checkpoints
           WHERE shard IN {shards:Array(UInt16)} GROUP BY shard)`,
    { shards },
  );
  return Number(row?.shards ?? 0) < shards.length ? undefined : Number(row!.watermark_ms);
}

const VALID = "max(sealed_at) > max(reopened_at)";
/** Reopened so lately that a seal of now could not be told from one before. */
const NOT_YET = `max(reopened_at) > now64(3, 'UTC') - INTERVAL ${SERVER_SKEW_S} SECOND`;

async function hourRanges(
  clickhouse: Pick<ClickHouse, "rows">,
  { fromMs, toMs }: TimeRange,
  having: string,
): Promise<readonly TimeRange[]> {
  const found = await clickhouse.rows<{ first: number; last: number }>(
    `SELECT toUInt32(min(at)) AS first, toUInt32(max(at)) AS last
     FROM (SELECT at, at - ${HOUR_S} * row_number() OVER (ORDER BY at) AS island
           FROM (SELECT toUnixTimestamp(hour) AS at FROM ${DATABASE}.rollup_hours
                 WHERE hour >= toDateTime({from:UInt32}, 'UTC') AND hour < toDateTime({to:UInt32}, 'UTC')
                 GROUP BY hour HAVING ${having}))
     GROUP BY island ORDER BY last - first DESC LIMIT ${MAX_RANGES}`,
    { from: fromMs / 1_000, to: toMs / 1_000 },
  );
  return found
    .map(({ first, last }) => ({ fromMs: first * 1_000, toMs: (last + HOUR_S) * 1_000 }))
    .sort((a, b) => a.fromMs - b.fromMs);
}

/** The hours within whole hours that the rollup has all of, in order. */
export const validRanges = (clickhouse: Pick<ClickHouse, "rows">, within: TimeRange) =>
  hourRanges(clickhouse, within, VALID);

/** The hours that need no work of the rollup's writer now. */
export const settledRanges = (clickhouse: Pick<ClickHouse, "rows">, within: TimeRange) =>
  hourRanges(clickhouse, within, `${VALID} OR ${NOT_YET}`);

/** What of `within` the ranges, in order, leave out. */
export function gapsOf({ fromMs, toMs }: TimeRange, ranges: readonly TimeRange[]): readonly TimeRange[] {
  const gaps: TimeRange[] = [];
  let at = fromMs;
  for (const range of ranges) {
    if (range.fromMs > at) gaps.push({ fromMs: at, toMs: Math.min(range.fromMs, toMs) });
    at = Math.max(at, range.toMs);
  }
  if (at < toMs) gaps.push({ fromMs: at, toMs });
  return gaps;
}
