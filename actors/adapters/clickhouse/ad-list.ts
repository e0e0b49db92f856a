/**
 * The catalogue as a list: pages of ads in order of their ids, from ClickHouse's copy of it. A
 * change is there about a second after it was made; what a click needs is never read from here.
 */
import type { Ad } from "../../ports/catalogue.ts";
import type { Advertisers } from "../../ports/key-store.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

export interface AdListQuery {
  readonly campaignId?: bigint | undefined;
  readonly advertiserId?: bigint | undefined;
  /** Whose ads the caller may see; all by default. */
  readonly within?: Advertisers;
  /** The last id seen. */
  readonly after?: bigint | undefined;
  readonly limit: number;
}

interface AdRow {
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly title: string;
  readonly destination_url: string;
}

/** @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function listAds(
  clickhouse: Pick<ClickHouse, "rows">,
  { after, limit, within = "all", ...of }: AdListQuery,
): Promise<readonly Ad[]> {
  const filters = [
    after !== undefined && "ad_id > {after:UInt64}",
    within !== "all" && "advertiser_id IN {within:Array(UInt64)}",
    of.campaignId !== undefined && "campaign_id = {campaign:UInt64}",
    of.advertiserId !== undefined && "advertiser_id = {advertiser:UInt64}",
  ].filter((filter) => filter !== false);
  const rows = await clickhouse.rows<AdRow>(
    `SELECT ad_id, campaign_id, advertiser_id, title, destination_url FROM ${DATABASE}.ads FINAL ` +
      `${filters.length === 0 ? "" : `WHERE ${filters.join(" AND ")} `}ORDER BY ad_id LIMIT {limit:UInt32}`,
    {
      limit,
      ...(within !== "all" && { within: [...within] }),
      ...(after !== undefined && { after: String(after) }),
      ...(of.campaignId !== undefined && { campaign: String(of.campaignId) }),
      ...(of.advertiserId !== undefined && { advertiser: String(of.advertiserId) }),
    },
  );
  return rows.map((row) => ({
    adId: BigInt(row.ad_id),
    campaignId: BigInt(row.campaign_id),
    advertiserId: BigInt(row.advertiser_id),
    title: row.title,
    destinationUrl: row.destination_url,
  }));
}
