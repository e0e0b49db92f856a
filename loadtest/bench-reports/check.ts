/**
 * Holds reports against a plain recomputation: minutes grouped by their whole key, the newest
 * version of each taken by hand, summed. Only where there are minutes; older hours were made up.
 */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import {
  GRANULARITY_MS,
  type ClicksReport,
  type ClicksQuery,
} from "../../actors/adapters/clickhouse/reports.ts";
import type { Shape } from "./shape.ts";

const COLUMNS = [
  ["advertiserId", "advertiser_id"],
  ["campaignId", "campaign_id"],
  ["adId", "ad_id"],
] as const;

/** What is wrong with the report, in words; empty when nothing is. */
export async function reportFaults(
  clickhouse: ClickHouse,
  shape: Shape,
  query: ClicksQuery,
  report: ClicksReport,
): Promise<readonly string[]> {
  const stepMs = GRANULARITY_MS[query.granularity];
  const ids = query.subject as Partial<Record<(typeof COLUMNS)[number][0], bigint>>;
  const where = COLUMNS.flatMap(([name, column]) =>
    ids[name] === undefined ? [] : [`${column} = ${ids[name]}`],
  );
  const found = await clickhouse.rows<{
    start: number;
    clicks: string;
    invalid: string;
    duplicates: string;
  }>(
    `SELECT toUInt32(intDiv(toUnixTimestamp(minute), ${stepMs / 1_000}) * ${stepMs / 1_000}) AS start,
       sum(newest.1) AS clicks, sum(newest.2) AS invalid, sum(newest.3) AS duplicates
     FROM (SELECT minute, argMax((clicks, invalid, duplicates), version) AS newest FROM adtally.click_counts
           WHERE ${where.join(" AND ")} GROUP BY advertiser_id, campaign_id, ad_id, minute, shard)
     GROUP BY start`,
  );
  const sums = new Map(found.map((row) => [row.start * 1_000, row]));
  const faults: string[] = [];
  let compared = 0;
  for (const row of report.rows) {
    const startMs = Date.parse(row.start);
    if (startMs < shape.startS * 1_000) continue;
    compared += 1;
    for (const name of ["clicks", "invalid", "duplicates"] as const) {
      const expected = Number(sums.get(startMs)?.[name] ?? 0);
      if (row[name] !== expected) faults.push(`${row.start}: ${row[name]} ${name}, ${expected} by minutes`);
    }
  }
  if (compared === 0) faults.push("no interval could be compared");
  return faults;
}
