/** The minutes that a live stream missed, from the counts: the ads with most clicks of each. */
import type { AdMinute, LiveView } from "../../live/view.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

/** Of one minute, before what the caller may not see is left out. */
const MOST_ADS = 10_000;

interface Row {
  readonly at: number;
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly clicks: string;
}

export function createLiveMinutes(
  clickhouse: ClickHouse,
): (from: number, through: number, view: LiveView) => Promise<ReadonlyMap<number, readonly AdMinute[]>> {
  return async (from, through, { access, filter }) => {
    const { adId, advertiserId, campaignId } = filter;
    const only = advertiserId === undefined ? access.advertisers : [advertiserId];
    if (only?.length === 0) return new Map();
    const where = [
      ...(only === undefined ? [] : ["advertiser_id IN {advertisers:Array(UInt64)}"]),
      ...(campaignId === undefined ? [] : ["campaign_id = {campaign:UInt64}"]),
      ...(adId === undefined ? [] : ["ad_id = {ad:UInt64}"]),
    ];
    const rows = await clickhouse.rows<Row>(
      `SELECT intDiv(toUInt32(minute), 60) AS at, ad_id, campaign_id, advertiser_id, sum(clicks) AS clicks
       FROM ${DATABASE}.click_counts FINAL
       WHERE minute >= toDateTime({from:UInt32}, 'UTC') AND minute <= toDateTime({through:UInt32}, 'UTC')
         ${where.map((each) => `AND ${each}`).join(" ")}
       GROUP BY at, ad_id, campaign_id, advertiser_id
       HAVING clicks > 0
       ORDER BY at, clicks DESC
       LIMIT ${MOST_ADS} BY at`,
      {
        from: from * 60,
        through: through * 60,
        ...(only && { advertisers: only }),
        ...(campaignId !== undefined && { campaign: String(campaignId) }),
        ...(adId !== undefined && { ad: String(adId) }),
      },
    );
    const minutes = new Map<number, AdMinute[]>();
    for (const row of rows) {
      const minute = minutes.get(row.at) ?? [];
      minutes.set(row.at, minute);
      minute.push({
        adId: BigInt(row.ad_id),
        campaignId: BigInt(row.campaign_id),
        advertiserId: BigInt(row.advertiser_id),
        clicks: Number(row.clicks),
      });
    }
    return minutes;
  };
}
