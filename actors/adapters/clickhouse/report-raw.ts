/**
 * What a report reads of raw rows: dead letters, which no count has, and reasons. Rows of the
 * source have the columns that report-counts.ts adds up.
 *
 *  W1 A row sent again, and a block that the log holds twice, are one click, as in explanations.
 *  W2 Of the rows of one impression that say that they counted, the first in log order did; the
 *     others are duplicates, as in the actors' fold.
 *  W3 A click is of the minute of its own time, as in the counts.
 */
import { DEAD_VERDICTS, measuresOf } from "../../reports/query.ts";
import { DATABASE } from "./migrations.ts";
import { keyColumn, type CountsQuestion, type SourceContext } from "./report-counts.ts";

const COUNTED = "(t.verdict IN ('ACCEPTED', 'INVALID_TRAFFIC'))";

export function rawSource(
  { clockSkewMs, query, rawSinceMs, span }: CountsQuestion,
  { bind, bucket, idFilter }: SourceContext,
): string {
  const byReason = query.groupBy.includes("reason");
  const names = byReason ? query.verdicts : DEAD_VERDICTS.filter((dead) => query.verdicts.includes(dead));
  // Of a closed list.
  const listed = names.map((name) => `'${name}'`).join(", ");
  const at = (timeMs: number) => `fromUnixTimestamp64Milli(${bind("Int64", Math.max(0, timeMs))}, 'UTC')`;
  const from = Math.max(span.fromMs, byReason ? 0 : rawSinceMs);
  const where = [
    idFilter,
    `t.click_time >= ${at(from)} AND t.click_time < ${at(span.toMs)}`,
    // A gateway receives a click after it happened, but for the difference of two clocks: older days need not be read.
    `t.received_time >= ${at(from - clockSkewMs)}`,
    ...(byReason ? [] : [`t.verdict IN (${listed})`]),
  ].filter((part) => part !== "");
  const once =
    `SELECT t.advertiser_id AS advertiser_id, t.campaign_id AS campaign_id, t.ad_id AS ad_id, t.click_time AS click_time, ` +
    `t.impression_id AS impression_id, t.shard AS shard, t.offset AS offset, t.row_number AS row_number, ` +
    `toString(t.verdict) AS recorded, toString(t.reason) AS recorded_reason, ${COUNTED} AS counted ` +
    `FROM ${DATABASE}.clicks_raw AS t WHERE ${where.join(" AND ")} ` +
    `ORDER BY t.shard, t.offset, t.row_number ` +
    `LIMIT 1 BY t.impression_id, t.shard, t.sequence, t.row_number, t.received_time, t.verdict, t.reason`;
  const repeat =
    "counted AND row_number() OVER (PARTITION BY impression_id, counted ORDER BY shard, offset, row_number) > 1";
  const judged =
    `SELECT *, if(${repeat}, 'DUPLICATE', recorded) AS verdict, if(verdict = 'DUPLICATE', 'NONE', recorded_reason) AS reason ` +
    `FROM (${once})`;
  const keys = query.groupBy.map(keyColumn);
  const counts = measuresOf(query).map((name) =>
    name === "count" || name === "late" ? `count() AS ${name}` : `toUInt64(0) AS ${name}`,
  );
  return (
    `SELECT ${[`${bucket("click_time")} AS start`, ...keys, ...counts].join(", ")} FROM (${judged}) ` +
    `WHERE verdict IN (${listed}) GROUP BY ${["start", ...keys].join(", ")}`
  );
}
