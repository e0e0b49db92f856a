/**
 * Whom every route and every gRPC method answers, and how each is asked for a tenant's thing: what
 * isolation.integration.test.ts holds the program to. A new route needs a line here.
 */
import type { Tenant } from "./isolation.fixture.ts";

/**
 * public    everybody alike
 * any       whoever has a key
 * admin     keys of scope admin alone
 * read      … of scope read: another tenant's thing is one that does not exist
 * list      … of scope read: another tenant's things are not in the answer
 * placement … of scope placement, as read
 */
export type Rule = "public" | "any" | "admin" | "read" | "list" | "placement";

export interface Asked {
  readonly rule: Rule;
  /** How the route is asked for a tenant's thing. */
  readonly path?: (of: Tenant) => string;
  readonly body?: (of: Tenant) => unknown;
}

export const ROUTES: Readonly<Record<string, Asked>> = {
  "GET /healthz": { rule: "public" },
  "GET /startupz": { rule: "public" },
  "GET /readyz": { rule: "public" },
  "GET /metrics": { rule: "public" },
  "GET /openapi.json": { rule: "public" },
  "GET /docs": { rule: "public" },
  "GET /": { rule: "public" },
  "GET /demo": { rule: "public" },
  "GET /demo/landing": { rule: "public", path: () => "/demo/landing?ad=1001" },
  "POST /demo/ads/:ad_id/token": { rule: "public", path: () => "/demo/ads/1001/token" },
  "GET /dashboard/:digest/:name": { rule: "public", path: () => "/dashboard/0/none" },
  "GET /v1/whoami": { rule: "any" },
  "POST /v1/ads": {
    rule: "admin",
    body: ({ ad, campaign, advertiser }) => ({
      ad_id: ad,
      campaign_id: campaign,
      advertiser_id: advertiser,
      destination_url: "https://shop.example/",
    }),
  },
  "POST /v1/ads/import": { rule: "admin", body: () => "{}" },
  "GET /v1/ads": { rule: "list", path: () => "/v1/ads?limit=1000" },
  "GET /v1/ads/:ad_id": { rule: "read", path: ({ ad }) => `/v1/ads/${ad}` },
  "POST /v1/keys": { rule: "admin", body: () => ({ name: "walked", scopes: ["submit"] }) },
  "GET /v1/keys": { rule: "admin" },
  "DELETE /v1/keys/:key_id": { rule: "admin", path: () => "/v1/keys/000000000000" },
  "GET /v1/audit": { rule: "admin" },
  "GET /v1/shards": { rule: "admin" },
  "GET /v1/routing": { rule: "admin" },
  "GET /v1/dead-letters": { rule: "admin" },
  "POST /v1/dead-letters/:id/replay": { rule: "admin", path: () => "/v1/dead-letters/0-0-0/replay" },
  "POST /v1/impressions": { rule: "placement", body: ({ ad }) => ({ ad_id: ad }) },
  "GET /v1/reports/clicks": { rule: "read", path: ({ ad }) => `/v1/reports/clicks?ad_id=${ad}` },
  "GET /v1/reports": { rule: "read", path: ({ ad }) => `/v1/reports?ad_id=${ad}` },
  "GET /v1/reports/live": { rule: "list", path: () => "/v1/reports/live?recent=60" },
  "GET /v1/reports/ads": { rule: "list", path: ({ ad }) => `/v1/reports/ads?ad_id=${ad}` },
  "POST /v1/reports/shares": {
    rule: "read",
    body: ({ ad }) => ({ query: { ad_id: ad, granularity: "total" } }),
  },
  // Its own test is below: what it shows depends on the link alone.
  "GET /v1/reports/shared": { rule: "public" },
  "GET /v1/clicks/:impression_id": { rule: "read", path: ({ impression }) => `/v1/clicks/${impression}` },
};

/** Further questions of routes that can be asked in several ways. */
export const MORE: readonly (readonly [route: string, Asked])[] = [
  [
    "GET /v1/reports/clicks by campaign",
    { rule: "read", path: ({ campaign }) => `/v1/reports/clicks?campaign_id=${campaign}` },
  ],
  [
    "GET /v1/reports/clicks by advertiser",
    { rule: "read", path: ({ advertiser }) => `/v1/reports/clicks?advertiser_id=${advertiser}` },
  ],
  [
    "GET /v1/reports by campaign",
    { rule: "read", path: ({ campaign }) => `/v1/reports?campaign_id=${campaign}` },
  ],
  [
    "GET /v1/reports by advertiser",
    { rule: "read", path: ({ advertiser }) => `/v1/reports?advertiser_id=${advertiser}` },
  ],
  ["GET /v1/reports of all", { rule: "list", path: () => "/v1/reports?group_by=advertiser,campaign,ad" }],
];

/** Whom each method of proto/ answers; what a gateway does not serve, it serves nobody. */
export const METHODS: Readonly<Record<string, "open" | "placement" | "read" | "not served">> = {
  "ClickService/SubmitClick": "open",
  "ClickService/SubmitClicks": "open",
  "ClickService/StreamClicks": "open",
  "PlacementService/IssueImpressions": "placement",
  "LiveService/WatchClicks": "read",
  "ReportService/Report": "read",
  "ReportService/Explain": "read",
  "ShardService/Submit": "not served",
  "HostService/Report": "not served",
  "GatewayService/Report": "not served",
};
