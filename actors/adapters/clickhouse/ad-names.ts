/**
 * What people call ads, from ClickHouse's copy of the catalogue: a change is there about a second
 * after it was made.
 *
 *  N1 An ad of an advertiser that the caller may not see is not found: as if there were none.
 */
import type { Access } from "../../reports/query.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

export interface AdNamesQuery {
  readonly by: "advertiser_id" | "campaign_id" | "ad_id";
  /** Empty: any. */
  readonly ids: readonly bigint[];
  readonly access: Access;
  readonly limit: number;
}

export interface AdName {
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly title: string;
}

/** In order of ad ids. @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function readAdNames(
  clickhouse: Pick<ClickHouse, "rows">,
  { access, by, ids, limit }: AdNamesQuery,
): Promise<readonly AdName[]> {
  const { advertisers } = access;
  const filters = [
    ids.length > 0 && `${by} IN {ids:Array(UInt64)}`,
    advertisers !== "all" && "advertiser_id IN {advertisers:Array(UInt64)}",
  ].filter((filter) => filter !== false);
  return clickhouse.rows<AdName>(
    `SELECT ad_id, campaign_id, advertiser_id, title FROM ${DATABASE}.ads FINAL
     ${filters.length === 0 ? "" : `WHERE ${filters.join(" AND ")}`} ORDER BY ad_id LIMIT {limit:UInt32}`,
    {
      limit,
      ...(ids.length > 0 && { ids }),
      ...(advertisers !== "all" && { advertisers: [...advertisers] }),
    },
  );
}
