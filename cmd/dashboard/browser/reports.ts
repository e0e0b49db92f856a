/** The questions that the page asks of GET /v1/reports and GET /v1/reports/ads, and what their answers say. */
import type { Api } from "./api.ts";
import type { Granularity, Range, View } from "./view.ts";

export interface ReportRow {
  readonly start: string;
  readonly end: string;
  readonly status: "live" | "final";
  readonly advertiser_id?: string;
  readonly campaign_id?: string;
  readonly ad_id?: string;
  readonly verdict?: string;
  readonly reason?: string;
  readonly clicks: number;
  readonly invalid: number;
  readonly duplicates: number;
  readonly late?: number | null;
  readonly count?: number;
  readonly share?: number | null;
  readonly previous_clicks?: number | null;
}

export interface Totals {
  readonly clicks: number;
  readonly invalid: number;
  readonly duplicates: number;
  readonly late?: number | null;
}

export interface Report {
  readonly rows: readonly ReportRow[];
  readonly total: Totals;
  readonly previous_total?: Totals | null;
  /** From when on single clicks, and so their reasons, are known. */
  readonly raw_since: string;
}

export interface AdName {
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly title: string;
}

export type Params = Readonly<Record<string, string>>;

/** Rows in one answer: the table's own bound. */
export const MOST_ROWS = 500;

export function subjectOf({ kind, id }: Pick<View, "kind" | "id">): Params {
  return kind === "all" || kind === "click" ? {} : { [`${kind}_id`]: id };
}

/** What moves is left to move: the question stays the same, the answer does not. */
export function timesOf(range: Range, zone: string): Params {
  if ("last" in range) return { from: `-${range.last}`, to: "now", time_zone: zone };
  const [from, to] = [range.fromMs, range.toMs].map((ms) => new Date(ms).toISOString());
  return { from: from!, to: to!, time_zone: zone };
}

export const sinceMidnight = (midnightMs: number, zone: string): Params => ({
  from: new Date(midnightMs).toISOString(),
  to: "now",
  time_zone: zone,
});

export const seriesParams = (view: View, granularity: Granularity): Params => ({
  ...subjectOf(view),
  ...timesOf(view.range, view.zone),
  granularity,
  compare: "previous",
});

/** What a subject is made of: everything of campaigns, a campaign of ads. */
export const partOf = ({ kind }: View): "campaign" | "ad" | undefined =>
  kind === "ad" || kind === "click" ? undefined : kind === "campaign" ? "ad" : "campaign";

export const partsParams = (view: View, part: "campaign" | "ad"): Params => ({
  ...subjectOf(view),
  ...timesOf(view.range, view.zone),
  granularity: "total",
  group_by: part,
  compare: "previous",
  limit: String(MOST_ROWS),
});

export const report = (api: Api, params: Params, signal?: AbortSignal): Promise<Report> =>
  api.json<Report>("/v1/reports", params, signal);

/** The same question's rows as CSV, as the API writes them. */
export async function csv(api: Api, params: Params): Promise<Blob> {
  const response = await api.ask("/v1/reports", { ...params, format: "csv" });
  return response.blob();
}

/** Clicks that are not billed, by verdict and reason: known as far back as single clicks are kept. */
export const refusedParams = (view: View, range: Range): Params => ({
  ...subjectOf(view),
  ...timesOf(range, view.zone),
  granularity: "total",
  group_by: "verdict,reason",
  verdict: "INVALID_TRAFFIC,LATE,EXPIRED,REFUSED",
});

/** Titles of ads, for people; an ad without one is known by its number. */
export async function adNames(api: Api, params: Params, signal: AbortSignal): Promise<readonly AdName[]> {
  return (await api.json<{ ads: readonly AdName[] }>("/v1/reports/ads", params, signal)).ads;
}

export interface ClickRow {
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

export interface Explanation {
  readonly impression_id: string;
  readonly verdict: string;
  readonly reason: string;
  readonly counted: boolean;
  readonly rows: readonly ClickRow[];
  readonly has_more: boolean;
}

export const explain = (api: Api, id: string, signal: AbortSignal): Promise<Explanation> =>
  api.json<Explanation>(`/v1/clicks/${encodeURIComponent(id)}`, {}, signal);
