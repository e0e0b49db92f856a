/**
 * Where reports are asked for, whatever the transport: what the caller may see is decided here,
 * once, for every question.
 *
 *  D1 A caller who may see some advertisers is answered of these alone: their ids stand in every
 *     statement, besides whatever was asked for.
 *  D2 To such a caller an advertiser, a campaign or an ad of others is as one that does not exist:
 *     NOT_FOUND in the same words.
 */
import { AdtallyError } from "../../core/errors.ts";
import { parseUuid } from "../../core/ids.ts";
import type { Access, ReportQuery } from "../../reports/query.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import type { ClickExplanation, ClicksQuery, ClicksReport, Report, Reports } from "./reports.ts";

export interface ReportDesk {
  /** @throws NOT_FOUND, PERMISSION_DENIED, INPUT_INVALID, COUNT_SINK_UNAVAILABLE */
  report(query: ReportQuery, access: Access, nowMs: number): Promise<Report>;
  /** As `report`. */
  clicks(query: ClicksQuery, access: Access): Promise<ClicksReport>;
  /** `impressionId` as written. @throws INPUT_INVALID, NOT_FOUND, COUNT_SINK_UNAVAILABLE */
  explain(impressionId: string, access: Access): Promise<ClickExplanation>;
}

export interface ReportDeskDeps {
  readonly reports: Reports;
  readonly clickhouse: Pick<ClickHouse, "rows">;
  /** What the catalogue knows above an ad: makes its report read less. */
  readonly ownerOf?: (
    adId: bigint,
  ) => Promise<{ readonly campaignId: bigint; readonly advertiserId: bigint } | undefined>;
}

type Subject = Pick<ReportQuery, "advertiserIds" | "campaignIds" | "adIds">;

export function createReportDesk({ clickhouse, ownerOf, reports }: ReportDeskDeps): ReportDesk {
  /** D1, D2. */
  async function admit<Asked extends Subject>(asked: Asked, { advertisers }: Access): Promise<Asked> {
    if (advertisers === "all") return asked;
    if (advertisers.size === 0) throw new AdtallyError("PERMISSION_DENIED", "this key sees no advertiser");
    const other = asked.advertiserIds.find((id) => !advertisers.has(id));
    if (other !== undefined) throw unknown("advertiser", other);
    const seen = asked.advertiserIds.length > 0 ? asked.advertiserIds : [...advertisers];
    await Promise.all([
      assertKnown("ad", asked.adIds, seen),
      assertKnown("campaign", asked.campaignIds, seen),
    ]);
    return { ...asked, advertiserIds: seen };
  }

  async function assertKnown(what: "ad" | "campaign", ids: readonly bigint[], seen: readonly bigint[]) {
    if (ids.length === 0) return;
    const column = `${what}_id`;
    const found = await clickhouse.rows<{ id: string }>(
      `SELECT DISTINCT toString(${column}) AS id FROM ${DATABASE}.ads
       WHERE ${column} IN {ids:Array(UInt64)} AND advertiser_id IN {seen:Array(UInt64)}`,
      { ids, seen },
    );
    const known = new Set(found.map(({ id }) => BigInt(id)));
    const missing = ids.find((id) => !known.has(id));
    if (missing !== undefined) throw unknown(what, missing);
  }

  /** One ad's key is known in full where the catalogue is at hand. */
  async function narrowed(query: ReportQuery): Promise<ReportQuery> {
    const [adId] = query.adIds;
    if (adId === undefined || query.adIds.length > 1) return query;
    const owner = await ownerOf?.(adId);
    if (owner === undefined) return query;
    const { advertiserIds, campaignIds } = query;
    return {
      ...query,
      advertiserIds: advertiserIds.length === 0 ? [owner.advertiserId] : advertiserIds,
      campaignIds: campaignIds.length === 0 ? [owner.campaignId] : campaignIds,
    };
  }

  return {
    async report(query, access, nowMs) {
      return reports.report(await narrowed(await admit(query, access)), nowMs);
    },

    async clicks(query, access) {
      const { subject } = query;
      const asked: Subject = {
        advertiserIds:
          "advertiserId" in subject && subject.advertiserId !== undefined ? [subject.advertiserId] : [],
        campaignIds: "campaignId" in subject && subject.campaignId !== undefined ? [subject.campaignId] : [],
        adIds: "adId" in subject ? [subject.adId] : [],
      };
      const { advertiserIds: within } = await admit(asked, access);
      const owner = "adId" in subject ? await ownerOf?.(subject.adId) : undefined;
      return reports.clicksReport({ ...query, within, subject: { ...subject, ...ids(owner) } });
    },

    async explain(impressionId, access) {
      const id = parseUuid(impressionId);
      if (id === undefined) throw new AdtallyError("INPUT_INVALID", "impression_id must be a UUID");
      const explanation = await reports.explainClick(id, access);
      if (explanation !== undefined) return explanation;
      throw new AdtallyError(
        "NOT_FOUND",
        `no click with impression id ${impressionId} is in the raw table; clicks arrive there within about a second and stay for a week`,
      );
    },
  };
}

const ids = (owner: { readonly campaignId: bigint; readonly advertiserId: bigint } | undefined) =>
  owner === undefined ? {} : { campaignId: owner.campaignId, advertiserId: owner.advertiserId };

const unknown = (what: string, id: bigint): AdtallyError =>
  new AdtallyError("NOT_FOUND", `no ${what} ${id} is known`);
