/**
 * What advertisers ask: clicks by time, and what became of one click. The query API's routes
 * call it; values only ever travel as bound parameters.
 *
 *  Q1 The watermark is read before the counts, so a row that is called final holds every count
 *     of its window: a checkpoint follows the counts it covers.
 *  Q2 Counts are the newest version of each (ad, minute, shard), once; where an hour of theirs is
 *     read from the rollup, they are what that was made of (report-counts.ts, rollup-hours.ts).
 *  Q3 In an explanation the first ACCEPTED or INVALID_TRAFFIC row, in log order, is the one that
 *     counted; later ones are duplicates whatever they say, as in the actors' fold.
 */
import { formatUuid, isUuidV7, uuidV7Ms } from "../../core/ids.ts";
import { WINDOW_MS, minuteOf, minuteStartMs } from "../../core/time.ts";
import type { Limits } from "../../core/limits.ts";
import { answer, type Answer } from "../../reports/answer.ts";
import { spanBefore, spanOf, type Span } from "../../reports/intervals.ts";
import { EVERYTHING, type Access, type ReportQuery } from "../../reports/query.ts";
import { assertRawKnown, rawSince } from "../../reports/read-query.ts";
import { sharedRead } from "../../runtime/shared-read.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { readCounts } from "./report-counts.ts";
import { readReportState } from "./rollup-hours.ts";
import { DEFAULT_RETENTION } from "./schema.ts";

export const GRANULARITY_MS = {
  "1m": WINDOW_MS,
  "5m": 5 * WINDOW_MS,
  "1h": 60 * WINDOW_MS,
  "1d": 24 * 60 * WINDOW_MS,
} as const;
/** Of the older, simpler question. */
export type Granularity = keyof typeof GRANULARITY_MS;

/** Whose clicks. What is known above an ad or a campaign makes the query read less. */
export type ReportSubject =
  | { readonly adId: bigint; readonly campaignId?: bigint; readonly advertiserId?: bigint }
  | { readonly campaignId: bigint; readonly advertiserId?: bigint }
  | { readonly advertiserId: bigint };

export interface ClicksQuery {
  readonly subject: ReportSubject;
  /** Rounded down to the granularity. */
  readonly fromMs: number;
  /** Exclusive; rounded up to the granularity. */
  readonly toMs: number;
  readonly granularity: Granularity;
  /** Of these advertisers alone. */
  readonly within?: readonly bigint[];
}

export interface Counts {
  readonly clicks: number;
  readonly invalid: number;
  readonly duplicates: number;
}

export interface ReportRow extends Counts {
  /** RFC 3339. */
  readonly start: string;
  /** Final: all of it lies before the watermark, so it changes no more. */
  readonly status: "live" | "final";
}

export interface ClicksReport {
  /** One row for each interval from `from` to `to`, those without clicks included. */
  readonly rows: readonly ReportRow[];
  readonly total: Counts;
  /** The least watermark of all shards, RFC 3339; null before the first checkpoint. */
  readonly watermark: string | null;
}

export interface ClickRow {
  /** What it came to; `recorded_verdict` is what its block says. */
  readonly verdict: string;
  readonly recorded_verdict: string;
  readonly reason: string;
  readonly source: string;
  readonly shard: number;
  readonly log_offset: string;
  readonly row_number: number;
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly window: string;
  readonly click_time: string;
  readonly received_time: string;
  readonly generation: number;
  readonly user_agent: string;
}

export interface ClickExplanation {
  readonly impression_id: string;
  /** Of the row that counted, else of the first row. */
  readonly verdict: string;
  readonly reason: string;
  readonly counted: boolean;
  /** In log order; the first ones, where there are more. */
  readonly rows: readonly ClickRow[];
  readonly has_more: boolean;
}

export interface Report extends Answer {
  readonly span: Span;
  readonly previousSpan: Span | undefined;
  /** The least watermark of all shards; undefined before the first checkpoint. */
  readonly watermarkMs: number | undefined;
  /** From when on dead letters and reasons are known. */
  readonly rawSinceMs: number;
}

export interface Reports {
  /** `nowMs`: by it raw rows expire. @throws INPUT_INVALID (too many rows), COUNT_SINK_UNAVAILABLE */
  report(query: ReportQuery, nowMs: number): Promise<Report>;
  /** @throws COUNT_SINK_UNAVAILABLE */
  clicksReport(query: ClicksQuery): Promise<ClicksReport>;
  /** Undefined for an id without a row in the raw table, or of others' ads alone. @throws COUNT_SINK_UNAVAILABLE */
  explainClick(impressionId: Uint8Array, access?: Access): Promise<ClickExplanation | undefined>;
}

/** The intervals that a query covers, rounded outwards. */
export function reportSpan(query: Pick<ClicksQuery, "fromMs" | "toMs" | "granularity">): {
  readonly stepMs: number;
  readonly fromMs: number;
  readonly points: number;
} {
  const stepMs = GRANULARITY_MS[query.granularity];
  const first = Math.floor(query.fromMs / stepMs);
  const points = Math.max(0, Math.ceil(query.toMs / stepMs) - first);
  return { stepMs, fromMs: first * stepMs, points };
}

const rfc3339 = (timeMs: number): string => new Date(timeMs).toISOString();

/** The simpler question in the words of the other. */
function generalOf(query: ClicksQuery, span: Pick<Span, "fromMs" | "toMs">): ReportQuery {
  const { subject, granularity, within = [] } = query;
  return {
    advertiserIds:
      "advertiserId" in subject && subject.advertiserId !== undefined ? [subject.advertiserId] : within,
    campaignIds: "campaignId" in subject && subject.campaignId !== undefined ? [subject.campaignId] : [],
    adIds: "adId" in subject ? [subject.adId] : [],
    verdicts: ["ACCEPTED", "INVALID_TRAFFIC", "DUPLICATE"],
    fromMs: span.fromMs,
    toMs: span.toMs,
    timeZone: "UTC",
    granularity,
    groupBy: [],
    top: undefined,
    compare: false,
    sort: { by: "time", descending: false },
    limit: Infinity,
    after: undefined,
    fingerprint: "",
  };
}

interface RawRow {
  readonly verdict: string;
  readonly reason: string;
  readonly source: string;
  readonly shard: number;
  readonly offset: string;
  readonly row_number: number;
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly click_ms: string;
  readonly received_ms: string;
  readonly generation: number;
  readonly user_agent: string;
}

/** Q3. */
function explain(impressionId: string, raw: readonly RawRow[], maxRows: number): ClickExplanation {
  const counts = ({ verdict }: RawRow) => verdict === "ACCEPTED" || verdict === "INVALID_TRAFFIC";
  const countedAt = raw.findIndex(counts);
  const decisive = raw[countedAt] ?? raw[0]!;
  const rows = raw.slice(0, maxRows).map((row, index): ClickRow => {
    const isRepeat = counts(row) && index !== countedAt;
    const clickMs = Number(row.click_ms);
    return {
      verdict: isRepeat ? "DUPLICATE" : row.verdict,
      recorded_verdict: row.verdict,
      reason: isRepeat ? "NONE" : row.reason,
      source: row.source,
      shard: row.shard,
      log_offset: row.offset,
      row_number: row.row_number,
      ad_id: row.ad_id,
      campaign_id: row.campaign_id,
      advertiser_id: row.advertiser_id,
      window: rfc3339(minuteStartMs(minuteOf(clickMs))),
      click_time: rfc3339(clickMs),
      received_time: rfc3339(Number(row.received_ms)),
      generation: row.generation,
      user_agent: row.user_agent,
    };
  });
  return {
    impression_id: impressionId,
    verdict: decisive.verdict,
    reason: decisive.reason,
    counted: decisive.verdict === "ACCEPTED",
    rows,
    has_more: raw.length > maxRows,
  };
}

export interface ReportsDeps {
  readonly clickhouse: ClickHouse;
  readonly limits: Pick<Limits, "clockSkewMs" | "explainMaxRows" | "reportMaxRows">;
  /** The shards that can still count: the watermark of one that was retired stands still. */
  readonly shards: () => readonly number[];
  /** Days that raw rows are kept. */
  readonly rawDays?: number;
}

export function createReports(deps: ReportsDeps): Reports {
  const { clickhouse, limits, rawDays = DEFAULT_RETENTION.rawDays, shards } = deps;
  const readState = sharedRead(() => readReportState(clickhouse, shards()));

  async function report(query: ReportQuery, nowMs: number): Promise<Report> {
    const rawSinceMs = rawSince(nowMs, rawDays);
    assertRawKnown(query, rawSinceMs);
    const span = spanOf(query);
    const previousSpan = query.compare ? spanBefore(query, span) : undefined;
    const { watermarkMs, rolledUp } = await readState();
    const { clockSkewMs, reportMaxRows: maxRows } = limits;
    const counted = (of: Span) =>
      readCounts(clickhouse, { query, span: of, rolledUp, rawSinceMs, clockSkewMs, maxRows });
    const [now, then] = await Promise.all([counted(span), previousSpan && counted(previousSpan)]);
    const before = previousSpan && { span: previousSpan, counted: then! };
    const known = { finalBeforeMs: watermarkMs, rawSinceMs };
    return {
      ...answer(query, { span, counted: now }, before, known),
      span,
      previousSpan,
      watermarkMs,
      rawSinceMs,
    };
  }

  return {
    report,

    async clicksReport(query) {
      const { stepMs, fromMs, points } = reportSpan(query);
      const { rows, total, watermarkMs } = await report(
        generalOf(query, { fromMs, toMs: fromMs + points * stepMs }),
        0,
      );
      return {
        rows: rows.map(([start, , clicks, invalid, duplicates, status]) => ({
          start: rfc3339(start as number),
          clicks: clicks as number,
          invalid: invalid as number,
          duplicates: duplicates as number,
          status: status as ReportRow["status"],
        })),
        total: total as Counts,
        watermark: watermarkMs === undefined ? null : rfc3339(watermarkMs),
      };
    },

    async explainClick(impressionId, { advertisers } = EVERYTHING) {
      // A click is received after its impression: older days need not be read.
      const sinceMs = isUuidV7(impressionId) ? Math.max(0, uuidV7Ms(impressionId) - limits.clockSkewMs) : 0;
      const id = formatUuid(impressionId);
      // In the statement, for it cuts: rows of others must not crowd out the caller's own.
      const within = advertisers === "all" ? undefined : [...advertisers];
      const raw = await clickhouse.rows<RawRow>(
        `SELECT verdict, reason, source, shard, offset, row_number, ad_id, campaign_id, advertiser_id,
                toUnixTimestamp64Milli(click_time) AS click_ms,
                toUnixTimestamp64Milli(received_time) AS received_ms,
                generation, user_agent
         FROM ${DATABASE}.clicks_raw
         WHERE impression_id = {id:UUID} AND received_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
           ${within === undefined ? "" : "AND advertiser_id IN {within:Array(UInt64)}"}
         ORDER BY shard, offset, row_number
         -- A row sent again, and a block that the log holds twice, are one click. A replayed dead letter
         -- is not: it may meet its letter's sequence and row number in another life of the shard.
         LIMIT 1 BY shard, sequence, row_number, received_time, verdict, reason
         LIMIT {most:UInt32}`,
        { id, since: sinceMs, most: limits.explainMaxRows + 1, ...(within !== undefined && { within }) },
      );
      const seen =
        advertisers === "all" ? raw : raw.filter((row) => advertisers.has(BigInt(row.advertiser_id)));
      return seen.length === 0 ? undefined : explain(id, seen, limits.explainMaxRows);
    },
  };
}
