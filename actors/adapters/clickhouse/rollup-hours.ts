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
/** For the writer, which would else make the hours of the further ones for nothing. */
const ALL_RANGES = 1_000_000;

export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a report must know before it reads counts. */
export interface ReportState {
  /** The least of all shards'; undefined while one of them has told nothing yet. */
  readonly watermarkMs: number | undefined;
  /** The hours that the rollup has all of, in order. */
  readonly rolledUp: readonly TimeRange[];
}

interface StateRow {
  readonly shards: string;
  readonly watermark_ms: string;
  readonly hours: string;
  readonly first: number;
  readonly last: number;
}

const VALID = "max(sealed_at) > max(reopened_at)";
/** Reopened so lately that a seal of now could not be told from one before. */
const NOT_YET = `max(reopened_at) > now64(3, 'UTC') - INTERVAL ${SERVER_SKEW_S} SECOND`;

const hoursHaving = (having: string): string =>
  `SELECT toUnixTimestamp(hour) AS at FROM ${DATABASE}.rollup_hours GROUP BY hour HAVING ${having}`;

/** One query where the rolled up hours have no gap, which is nearly always. */
export async function readReportState(
  clickhouse: Pick<ClickHouse, "rows">,
  shards: readonly number[],
): Promise<ReportState> {
  const [row] = await clickhouse.rows<StateRow>(
    `SELECT shards, watermark_ms, hours, first, last
     FROM (SELECT count() AS shards, toUnixTimestamp64Milli(min(newest)) AS watermark_ms
           FROM (SELECT max(watermark) AS newest FROM ${DATABASE}.shard_checkpoints
                 WHERE shard IN {shards:Array(UInt16)} GROUP BY shard)) AS progress
     CROSS JOIN (SELECT count() AS hours, toUInt32(min(at)) AS first, toUInt32(max(at)) AS last
                 FROM (${hoursHaving(VALID)})) AS rollup`,
    { shards },
  );
  const { first, hours, last, shards: told, watermark_ms } = row!;
  const isKnown = shards.length > 0 && Number(told) === shards.length;
  const whole = (last - first) / HOUR_S + 1 === Number(hours);
  return {
    watermarkMs: isKnown ? Number(watermark_ms) : undefined,
    rolledUp:
      hours === "0" ? [] : whole ? [rangeOf(first, last)] : await hourRanges(clickhouse, VALID, MAX_RANGES),
  };
}

const rangeOf = (firstS: number, lastS: number): TimeRange => ({
  fromMs: firstS * 1_000,
  toMs: (lastS + HOUR_S) * 1_000,
});

async function hourRanges(
  clickhouse: Pick<ClickHouse, "rows">,
  having: string,
  most: number,
): Promise<readonly TimeRange[]> {
  const found = await clickhouse.rows<{ first: number; last: number }>(
    `SELECT toUInt32(min(at)) AS first, toUInt32(max(at)) AS last
     FROM (SELECT at, at - ${HOUR_S} * row_number() OVER (ORDER BY at) AS island FROM (${hoursHaving(having)}))
     GROUP BY island ORDER BY last - first DESC LIMIT {most:UInt32}`,
    { most },
  );
  return found.map(({ first, last }) => rangeOf(first, last)).sort((a, b) => a.fromMs - b.fromMs);
}

/** The hours that need no work of the rollup's writer now. */
export const settledRanges = (clickhouse: Pick<ClickHouse, "rows">) =>
  hourRanges(clickhouse, `${VALID} OR ${NOT_YET}`, ALL_RANGES);

/** What of the ranges, in order, lies within. */
export function clip(ranges: readonly TimeRange[], within: TimeRange): readonly TimeRange[] {
  return ranges
    .map(({ fromMs, toMs }) => ({
      fromMs: Math.max(fromMs, within.fromMs),
      toMs: Math.min(toMs, within.toMs),
    }))
    .filter(({ fromMs, toMs }) => fromMs < toMs);
}

/** What of `within` the ranges, in order, leave out. */
export function gapsOf({ fromMs, toMs }: TimeRange, ranges: readonly TimeRange[]): readonly TimeRange[] {
  const gaps: TimeRange[] = [];
  let at = fromMs;
  for (const range of clip(ranges, { fromMs, toMs })) {
    if (range.fromMs > at) gaps.push({ fromMs: at, toMs: range.fromMs });
    at = range.toMs;
  }
  if (at < toMs) gaps.push({ fromMs: at, toMs });
  return gaps;
}
