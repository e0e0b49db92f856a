/**
 * The counts of a report, by interval: of each hour from the one source that has all of it
 * (H2 of rollup-hours.ts). Called by reports.ts alone.
 *
 *  N1 Every hour of the span is read once, from the rollup or from minutes, never from both.
 *  N2 Both are read with FINAL: the newest version of each row, once.
 */
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { gapsOf, type TimeRange } from "./rollup-hours.ts";

export interface CountedInterval {
  /** Seconds since 1970. */
  readonly start: number;
  readonly clicks: string;
  readonly invalid: string;
  readonly duplicates: string;
}

export interface CountsQuestion {
  /** Of ids, with their parameters. */
  readonly where: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly span: TimeRange;
  readonly stepMs: number;
  /** Ranges of hours within the span that the rollup has, in order; none for a subject without one. */
  readonly rolledUp: readonly TimeRange[];
}

const SUMS = "sum(clicks) AS clicks, sum(invalid) AS invalid, sum(duplicates) AS duplicates";

export async function readCounts(
  clickhouse: Pick<ClickHouse, "rows">,
  { parameters, rolledUp, span, stepMs, where }: CountsQuestion,
): Promise<readonly CountedInterval[]> {
  const bounds: Record<string, number> = {};
  const within = (column: string, ranges: readonly TimeRange[]): string =>
    ranges
      .map(({ fromMs, toMs }, index) => {
        const [from, to] = [`${column}_from_${index}`, `${column}_to_${index}`];
        bounds[from] = fromMs / 1_000;
        bounds[to] = toMs / 1_000;
        return `${column} >= toDateTime({${from}:UInt32}, 'UTC') AND ${column} < toDateTime({${to}:UInt32}, 'UTC')`;
      })
      .join(" OR ");
  const select = (table: string, column: string, ranges: readonly TimeRange[]): readonly string[] =>
    ranges.length === 0
      ? []
      : [
          `SELECT toUInt32(intDiv(toUnixTimestamp(${column}), {step:UInt32}) * {step:UInt32}) AS start, ${SUMS}
           FROM ${DATABASE}.${table} FINAL WHERE ${where} AND (${within(column, ranges)}) GROUP BY start`,
        ];
  const sources = [
    ...select("advertiser_counts_hourly", "hour", rolledUp),
    ...select("click_counts", "minute", gapsOf(span, rolledUp)),
  ];
  if (sources.length === 0) return [];
  const sql =
    sources.length === 1
      ? sources[0]!
      : `SELECT start, ${SUMS} FROM (${sources.join(" UNION ALL ")}) GROUP BY start`;
  return clickhouse.rows<CountedInterval>(sql, { ...parameters, step: stepMs / 1_000, ...bounds });
}
