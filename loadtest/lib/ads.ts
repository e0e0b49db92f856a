/** Ads for a load test, and calls of the HTTP API with the admin's key. */
import { ADMIN_KEY } from "./program.ts";

const FIRST_AD = 1_001;
const ADS_A_CAMPAIGN = 10;
const REQUEST_DEADLINE_MS = 30_000;

export interface TestAd {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
}

export async function callApi(url: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, {
    ...init,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, ...init.headers },
    signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
  });
}

export async function callJson<T>(url: string, body?: unknown): Promise<T> {
  const post = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await callApi(url, body === undefined ? {} : post);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Ads 1001, 1002, … */
export function adsToCreate(count: number): TestAd[] {
  return Array.from({ length: count }, (_, i) => ({
    adId: BigInt(FIRST_AD + i),
    campaignId: BigInt(100 + Math.floor(i / ADS_A_CAMPAIGN)),
    advertiserId: BigInt(10 + Math.floor(i / (ADS_A_CAMPAIGN * 2))),
  }));
}

/** Creates them over POST /v1/ads/import. */
export async function createAds(url: string, count: number): Promise<TestAd[]> {
  const ads = adsToCreate(count);
  const lines = ads.map(({ adId, campaignId, advertiserId }) =>
    JSON.stringify({
      ad_id: String(adId),
      campaign_id: String(campaignId),
      advertiser_id: String(advertiserId),
      destination_url: `https://shop.example/ad/${adId}`,
    }),
  );
  const response = await callApi(`${url}/v1/ads/import`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body: `${lines.join("\n")}\n`,
  });
  const text = await response.text();
  const last = JSON.parse(text.trimEnd().split("\n").at(-1) ?? "{}") as { imported?: number };
  if (!response.ok || last.imported !== count) throw new Error(`import: ${response.status} ${text}`);
  return ads;
}
