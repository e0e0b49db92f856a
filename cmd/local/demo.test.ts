import { hash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createApi } from "../../actors/adapters/http/api.ts";
import { createMemoryCatalogue } from "../../actors/adapters/memory/memory-catalogue.ts";
import { adToJson, parseAd } from "../../actors/catalogue/ad.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { uuidV7Ms } from "../../actors/core/ids.ts";
import { Reason } from "../../actors/core/verdict.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { judgeAge } from "../../actors/token/expiry.ts";
import { generateKeys } from "../../actors/token/keys.ts";
import { createTokenCodec, TokenAt, TOKEN_BYTES } from "../../actors/token/token.ts";
import { registerDemoRoutes, seedDemo } from "./demo.ts";
import { DEMO_ADS } from "./demo/ads.ts";

const publicUrl = "http://127.0.0.1:8080";
const codec = await createTokenCodec(generateKeys(randomBytes));
const table = addGeneration(emptyTable(systemClock.now()), { shardCount: 4 }, systemClock.now(), limits);

function demoApp() {
  const { app } = createApi({
    limits,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    authenticate: () => undefined,
    readiness: () => [],
    version: "0.0.0",
  });
  const random = systemRandom;
  registerDemoRoutes(app, {
    codec,
    random,
    limits,
    publicUrl: () => publicUrl,
    clock: systemClock,
    table: () => table,
  });
  return app;
}

function decode(text: string) {
  const token = Buffer.alloc(TOKEN_BYTES);
  expect(codec.decodeText(text, token)).toBe(Reason.NONE);
  expect(codec.verify(token)).toBe(Reason.NONE);
  return {
    adId: token.readBigUInt64BE(TokenAt.adId),
    age: judgeAge(uuidV7Ms(token, TokenAt.impressionId), systemClock.now(), limits),
  };
}

describe("the demo", () => {
  test("seeds 12 ads of 3 advertisers, from 1001 on, that stay on this host; again after a change of port", async () => {
    const catalogue = createMemoryCatalogue();
    await seedDemo(catalogue, "http://127.0.0.1:1");
    await seedDemo(catalogue, publicUrl);
    const ads = [...(await catalogue.load(DEMO_ADS.map((ad) => Number(ad.adId)))).values()];
    expect(ads.map((ad) => Number(ad.adId))).toEqual(Array.from({ length: 12 }, (_, n) => 1001 + n));
    expect(new Set(ads.map((ad) => ad.advertiserId)).size).toBe(3);
    for (const ad of ads) {
      expect(parseAd(adToJson(ad), limits)).toEqual({ ok: true, ad });
      expect(ad.destinationUrl).toBe(`${publicUrl}/demo/landing?ad=${ad.adId}`);
    }
  });

  test("the page carries a live and an expired token for each ad, new ones at each load", async () => {
    const app = demoApp();
    const load = async () => {
      const { body } = await app.inject("/demo");
      return [...body.matchAll(/data-ad="(\d+)"\s+data-token="([^"]+)"\s+data-expired="([^"]+)"/g)];
    };
    const cards = await load();
    expect(cards).toHaveLength(12);
    for (const [, adId, live, expired] of cards) {
      expect(decode(live!)).toEqual({ adId: BigInt(adId!), age: "live" });
      expect(decode(expired!)).toEqual({ adId: BigInt(adId!), age: "expired" });
    }
    expect((await load())[0]![2]).not.toBe(cards[0]![2]);
  });

  test("the page needs nothing from elsewhere, and its policy allows its own style and script alone", async () => {
    const { body, headers } = await demoApp().inject("/demo");
    expect(body).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(body).not.toMatch(/ (style|on[a-z]+)="/);
    const policy = String(headers["content-security-policy"]);
    for (const tag of ["style", "script"]) {
      const blocks = [...body.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, "gs"))];
      expect(blocks).toHaveLength(1);
      expect(policy).toContain(`${tag}-src 'sha256-${hash("sha256", blocks[0]![1]!, "base64")}'`);
    }
    expect(policy).toContain("default-src 'none'");
  });

  test("the page's banner never left, a hidden page went on asking, an open list tore a hole into the grid", async () => {
    const { body } = await demoApp().inject("/demo");
    expect(body).toMatch(/silence = setTimeout\(\(\) => say\(""\), SAID_MS\)/);
    expect(body).toMatch(/while \(document\.visibilityState === "visible"\)/);
    expect(body).toMatch(/\.tries \{\s+position: absolute;/);
  });

  test("an ad can be shown again; an ad that is not of the demo cannot", async () => {
    const app = demoApp();
    const again = await app.inject({ method: "POST", url: "/demo/ads/1003/token" });
    expect(decode(again.json<{ token: string }>().token)).toEqual({ adId: 1003n, age: "live" });
    for (const id of ["1000", "1013", "x"]) {
      expect((await app.inject({ method: "POST", url: `/demo/ads/${id}/token` })).statusCode).toBe(404);
    }
  });

  test("the landing page says which ad was clicked, and echoes nothing of the request", async () => {
    const app = demoApp();
    const landing = await app.inject("/demo/landing?ad=1005");
    expect(landing.body).toContain("Roasted on Tuesday");
    for (const url of ["/demo/landing", "/demo/landing?ad=<b>", "/demo/landing?ad=1&ad=2"]) {
      const refused = await app.inject({ url });
      expect(refused.statusCode).toBe(404);
      expect(refused.body).not.toContain("<b>");
    }
  });
});
