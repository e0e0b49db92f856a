/**
 * The counts of a report, by interval and group: of each hour from the one source that has all of
 * it (H2 of rollup-hours.ts). Called by reports.ts alone. Text of SQL comes from closed lists;
 * whatever a caller chose travels as a bound parameter.
 *
 *  N1 Every moment of the span is read once, from the rollup or from minutes, never from both.
 *  N2 Both are read with FINAL: the newest version of each row, once.
 *  N3 The best groups, and all others as one row, are told by the same statement: they are of one
 *     moment, and add up.
 *  N4 No answer is cut in silence: one row more than are allowed is read, and refused by name.
 */
import { AdtallyError } from "../../core/errors.ts";
import type { CountedRow } from "../../reports/answer.ts";
import type { Interval, Span } from "../../reports/intervals.ts";
import { measuresOf, type Group, type Measure, type ReportQuery } from "../../reports/query.ts";
import { readsRaw } from "../../reports/read-query.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { rawSource } from "./report-raw.ts";
import { HOUR_MS, clip, gapsOf, type TimeRange } from "./rollup-hours.ts";

export interface CountsQuestion {
  readonly query: ReportQuery;
  readonly span: Span;
  /** Hours that the rollup has all of, in order. */
  readonly rolledUp: readonly TimeRange[];
  readonly rawSinceMs: number;
  readonly clockSkewMs: number;
  readonly maxRows: number;
}

/** What a source of rows needs of the question. */
export interface SourceContext {
  readonly query: ReportQuery;
  /** `column` is of DateTime or DateTime64. */
  bucket(column: string): string;
  /** Of ids; "" where all are wanted. */
  readonly idFilter: string;
  /** Takes the value, gives its place in the statement. */
  bind(type: string, value: unknown): string;
}

/** Of groups by id. */
export const ID_COLUMNS = { advertiser: "advertiser_id", campaign: "campaign_id", ad: "ad_id" } as const;
/** Boundaries off the hour that are read from minutes beside the rollup, at the most. */
const MAX_CUT_HOURS = 8;

export async function readCounts(
  clickhouse: Pick<ClickHouse, "rows">,
  question: CountsQuestion,
): Promise<readonly CountedRow[]> {
  const { maxRows, query } = question;
  const { parameters, sql } = countsStatement(question);
  if (sql === undefined) return [];
  const found = await clickhouse.rows<{
    readonly start: string;
    readonly keys: readonly (string | null)[];
    readonly counts: readonly string[];
  }>(sql, parameters);
  if (found.length > maxRows)
    throw new AdtallyError(
      "INPUT_INVALID",
      `this report has more than ${maxRows} rows: ask for a coarser granularity, less time, fewer groups, or for the top ones`,
    );
  return found.map(({ start, keys, counts }) => ({
    startMs: Number(start) * 1_000,
    keys: keys.slice(0, query.groupBy.length),
    counts: counts.map(Number),
  }));
}

export function countsStatement(question: CountsQuestion): {
  readonly sql: string | undefined;
  readonly parameters: Readonly<Record<string, unknown>>;
} {
  const { maxRows, query, span } = question;
  const parameters: Record<string, unknown> = {};
  const bind = (type: string, value: unknown): string => {
    const name = `p${Object.keys(parameters).length}`;
    parameters[name] = value;
    return `{${name}:${type}}`;
  };
  const context: SourceContext = {
    query,
    bucket: bucketOf(span, bind),
    idFilter: idFilterOf(query, bind),
    bind,
  };
  const measures = measuresOf(query);
  const sources = [
    ...countSources(question, context),
    ...(readsRaw(query) ? [rawSource(question, context)] : []),
  ];
  if (sources.length === 0) return { sql: undefined, parameters };
  const keys = query.groupBy.map(keyColumn);
  const sums = measures.map((measure) => `sum(${measure}) AS ${measure}`);
  const counted =
    `SELECT ${["start", ...keys, ...sums].join(", ")} FROM (${sources.join(" UNION ALL ")}) ` +
    `GROUP BY ${["start", ...keys].join(", ")}${keys.length === 0 ? "" : ` HAVING ${measures.map((name) => `${name} > 0`).join(" OR ")}`}`;
  const chosen =
    query.top === undefined ? counted : withTop(counted, keys, measures, bind("UInt32", query.top));
  const asText = keys.map((key) =>
    query.top === undefined ? `toString(${key})` : `if(best, toString(${key}), NULL)`,
  );
  return {
    sql:
      `SELECT toString(start) AS start, [${asText.join(", ")}]${keys.length === 0 ? "::Array(Nullable(String))" : ""} AS keys, ` +
      `[${measures.map((name) => `toString(${name})`).join(", ")}] AS counts FROM (${chosen}) LIMIT ${bind("UInt32", maxRows + 1)}`,
    parameters,
  };
}

export const keyColumn = (group: Group): string =>
  group === "verdict" || group === "reason" ? group : ID_COLUMNS[group];

/** N3: groups in the order of what they come to over the whole span. */
function withTop(
  counted: string,
  keys: readonly string[],
  measures: readonly Measure[],
  top: string,
): string {
  const sums = measures.map((name) => `sum(${name}) AS ${name}`).join(", ");
  // In the row of the others, keys are those of none.
  const kept = keys.map((key) => `if(best, ${key}, defaultValueOfArgumentType(${key})) AS ${key}`);
  return (
    `SELECT start, best, ${[...keys, sums].join(", ")} FROM (` +
    `SELECT start, ${kept.join(", ")}, best, ${measures.join(", ")} FROM (` +
    `SELECT *, dense_rank() OVER (ORDER BY whole DESC, ${keys.join(", ")}) <= ${top} AS best FROM (` +
    `SELECT *, sum(${measures[0]!}) OVER (PARTITION BY ${keys.join(", ")}) AS whole FROM (${counted})` +
    `))) GROUP BY start, best, ${keys.join(", ")}`
  );
}

/** The start of the interval that a time lies in, in seconds. */
function bucketOf({ runs }: Span, bind: SourceContext["bind"]): SourceContext["bucket"] {
  const seconds = (ms: number) => ms / 1_000;
  if (runs.length === 1) {
    const [from, step] = [bind("Int64", seconds(runs[0]!.fromMs)), bind("Int64", seconds(runs[0]!.stepMs))];
    return (column) => `${from} + intDiv(toInt64(toUnixTimestamp(${column})) - ${from}, ${step}) * ${step}`;
  }
  const froms = bind(
    "Array(Int64)",
    runs.map(({ fromMs }) => seconds(fromMs)),
  );
  const steps = bind(
    "Array(Int64)",
    runs.map(({ stepMs }) => seconds(stepMs)),
  );
  return (column) => {
    const at = `toInt64(toUnixTimestamp(${column}))`;
    const run = `roundDown(${at}, ${froms})`;
    const step = `transform(${run}, ${froms}, ${steps}, toInt64(60))`;
    return `toInt64(${run} + intDiv(${at} - ${run}, ${step}) * ${step})`;
  };
}

function idFilterOf({ adIds, advertiserIds, campaignIds }: ReportQuery, bind: SourceContext["bind"]): string {
  // In the order of the tables' keys.
  const filters = (
    [
      ["advertiser_id", advertiserIds],
      ["campaign_id", campaignIds],
      ["ad_id", adIds],
    ] as const
  ).flatMap(([column, ids]) => {
    if (ids.length === 0) return [];
    return ids.length === 1
      ? [`${column} = ${bind("UInt64", ids[0])}`]
      : [`${column} IN ${bind("Array(UInt64)", ids)}`];
  });
  return filters.join(" AND ");
}

/** Minutes, and the rollup where it will do. */
function countSources(question: CountsQuestion, context: SourceContext): readonly string[] {
  const { query, span } = question;
  const asked = (["ACCEPTED", "INVALID_TRAFFIC", "DUPLICATE"] as const).filter((name) =>
    query.verdicts.includes(name),
  );
  if (query.groupBy.includes("reason") || asked.length === 0) return [];
  const rolledUp = rollupRanges(question);
  const ids = query.groupBy
    .filter((group) => group === "advertiser" || group === "campaign" || group === "ad")
    .map(keyColumn);
  const select = (table: string, column: string, ranges: readonly TimeRange[]): readonly string[] => {
    if (ranges.length === 0) return [];
    const where = [context.idFilter, `(${within(column, ranges, context)})`]
      .filter((part) => part !== "")
      .join(" AND ");
    const groups = [`${context.bucket(column)} AS start`, ...ids];
    const sums = "sum(t.clicks) AS clicks, sum(t.invalid) AS invalid, sum(t.duplicates) AS duplicates";
    return [
      `SELECT ${groups.join(", ")}, ${sums} FROM ${DATABASE}.${table} AS t FINAL WHERE ${where} GROUP BY ${["start", ...ids].join(", ")}`,
    ];
  };
  return [
    ...select("advertiser_counts_hourly", "hour", rolledUp),
    ...select("click_counts", "minute", gapsOf(span, rolledUp)),
  ].map((rows) => inColumns(rows, ids, query));
}

/** With the columns that all sources of this question have. */
function inColumns(rows: string, ids: readonly string[], query: ReportQuery): string {
  const measures = measuresOf(query);
  if (measures[0] !== "count") {
    const columns = measures.map((name) => (name === "late" ? "toUInt64(0) AS late" : name));
    return `SELECT ${["start", ...ids, ...columns].join(", ")} FROM (${rows})`;
  }
  const pairs = (
    [
      ["ACCEPTED", "clicks"],
      ["INVALID_TRAFFIC", "invalid"],
      ["DUPLICATE", "duplicates"],
    ] as const
  ).flatMap(([verdict, column]) => (query.verdicts.includes(verdict) ? [`('${verdict}', ${column})`] : []));
  return `SELECT ${["start", ...ids, "pair.1 AS verdict", "pair.2 AS count"].join(", ")} FROM (${rows}) ARRAY JOIN [${pairs.join(", ")}] AS pair`;
}

function within(column: string, ranges: readonly TimeRange[], { bind }: SourceContext): string {
  const at = (timeMs: number) => `toDateTime(${bind("UInt32", Math.max(0, timeMs / 1_000))}, 'UTC')`;
  return ranges
    .map(({ fromMs, toMs }) => `${column} >= ${at(fromMs)} AND ${column} < ${at(toMs)}`)
    .join(" OR ");
}

/**
 * Hours to be read from the rollup, which has advertisers alone: those that lie in one interval
 * whole. The few at a total's ends are left to minutes; where every day begins off the hour, all are.
 */
export function rollupRanges({ query, rolledUp, span }: CountsQuestion): readonly TimeRange[] {
  const isFine = query.granularity === "1m" || query.granularity === "5m";
  const isBelow = query.adIds.length > 0 || query.campaignIds.length > 0;
  if (isFine || isBelow || query.groupBy.includes("ad") || query.groupBy.includes("campaign")) return [];
  const cut = new Set(offTheHour(span.intervals));
  if (cut.size > MAX_CUT_HOURS) return [];
  const cuts = [...cut].sort((a, b) => a - b).map((fromMs) => ({ fromMs, toMs: fromMs + HOUR_MS }));
  return clip(rolledUp, span).flatMap((range) => gapsOf(range, cuts));
}

/** Hours that an interval begins or ends within. */
function offTheHour(intervals: readonly Interval[]): readonly number[] {
  const ends = [...intervals.map(({ startMs }) => startMs), intervals.at(-1)!.endMs];
  return ends.filter((atMs) => atMs % HOUR_MS !== 0).map((atMs) => Math.floor(atMs / HOUR_MS) * HOUR_MS);
}
