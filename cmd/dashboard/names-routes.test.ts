import { expect, test } from "vitest";
import type { AdNamesQuery } from "../../actors/adapters/clickhouse/ad-names.ts";
import { createApi } from "../../actors/adapters/http/api.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { registerNamesRoute } from "./names-routes.ts";

function openApp() {
  const asked: AdNamesQuery[] = [];
  const { app, requireScope } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    authenticate: (key) =>
      key === "reader"
        ? { keyId: "k", name: "reader", scopes: ["read"], advertisers: new Set([7n]) }
        : undefined,
    readiness: () => [],
    version: "0",
  });
  registerNamesRoute(app, {
    names: async (query) => {
      asked.push(query);
      return [{ ad_id: "1", campaign_id: "2", advertiser_id: "7", title: "Shoes" }];
    },
    requireScope,
  });
  const get = (query: string, key = "reader") =>
    app.inject({ url: `/v1/reports/ads${query}`, headers: { authorization: `Bearer ${key}` } });
  return { asked, get };
}

test("names are asked for what the key may see, and nothing else", async () => {
  const { asked, get } = openApp();
  const answer = await get("?campaign_id=2,18446744073709551615&limit=5");
  expect(answer.json()).toEqual({
    ads: [{ ad_id: "1", campaign_id: "2", advertiser_id: "7", title: "Shoes" }],
  });
  expect(asked).toEqual([
    {
      by: "campaign_id",
      ids: [2n, 18_446_744_073_709_551_615n],
      access: { advertisers: new Set([7n]) },
      limit: 5,
    },
  ]);
  expect((await get("", "nobody")).statusCode).toBe(401);
});

test.each([
  ["?ad_id=x", "ad_id must be 1 to 100 unsigned"],
  ["?ad_id=", "ad_id must be 1 to 100 unsigned"],
  [`?ad_id=${Array.from({ length: 101 }, (_, n) => n).join(",")}`, "ad_id must be 1 to 100 unsigned"],
  ["?ad_id=1&campaign_id=2", "ad_id cannot be given together with campaign_id"],
  ["?limit=0", "limit must be a whole number from 1 to 1000"],
  ["?limit=1001", "limit must be a whole number from 1 to 1000"],
  ["?title=x", "title is not a field of this request"],
])("%s is refused in words", async (query, said) => {
  const { asked, get } = openApp();
  const answer = await get(query);
  expect(answer.statusCode).toBe(400);
  expect(answer.json<{ detail: string }>().detail).toContain(said);
  expect(asked).toEqual([]);
});
