/**
 * The demo of the embedded form: advertisers with ads, a page on which they can be clicked (and
 * abused), and a page on the same host to which those clicks go, so that none leaves the machine.
 */
import type { FastifyInstance } from "fastify";
import { HttpProblem } from "../../actors/adapters/http/problem.ts";
import { formatUuid, parseU64 } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { issueImpressions, type IssueDeps } from "../../actors/placement/issue.ts";
import type { Catalogue } from "../../actors/ports/catalogue.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { DEMO_ADS, demoAdOf, type DemoAd } from "./demo/ads.ts";
import { HISTORY_ADS } from "./demo/history.ts";
import { DEMO_HEADERS, demoPage, landingPage, type DemoImpression } from "./demo/page.ts";

/** Brings the demo's ads into the catalogue; again at each start, as the host may have changed. */
export async function seedDemo(catalogue: Catalogue, publicUrl: string): Promise<void> {
  await catalogue.put(
    [...DEMO_ADS, ...HISTORY_ADS].map(({ adId, campaignId, advertiserId, title }) => ({
      adId,
      campaignId,
      advertiserId,
      title,
      destinationUrl: `${publicUrl}/demo/landing?ad=${adId}`,
    })),
  );
}

export interface DemoDeps extends IssueDeps {
  readonly clock: Clock;
  readonly limits: IssueDeps["limits"] & Pick<Limits, "tokenLifeMs">;
}

const LONG_EXPIRED_MS = 60_000;

export function registerDemoRoutes(app: FastifyInstance, deps: DemoDeps): void {
  const issueOne = (ad: DemoAd, agoMs: number): DemoImpression => {
    const nowMs = deps.clock.now();
    const { impressionId, tokenText } = issueImpressions(deps, ad.adId, 1, nowMs - agoMs, nowMs)[0]!;
    return { token: tokenText, impressionId: formatUuid(impressionId) };
  };

  app.get("/demo", { schema: { hide: true } }, async (_request, reply) =>
    reply.headers(DEMO_HEADERS).send(
      demoPage((ad) => ({
        live: issueOne(ad, 0),
        expired: issueOne(ad, deps.limits.tokenLifeMs + LONG_EXPIRED_MS).token,
      })),
    ),
  );

  app.get<{ Querystring: { ad?: unknown } }>(
    "/demo/landing",
    { schema: { hide: true } },
    async (request, reply) => reply.headers(DEMO_HEADERS).send(landingPage(findAd(request.query.ad))),
  );

  app.post<{ Params: { ad_id: string } }>(
    "/demo/ads/:ad_id/token",
    { schema: { hide: true } },
    async (request, reply) => {
      reply.header("cache-control", "no-store");
      const { token, impressionId } = issueOne(findAd(request.params.ad_id), 0);
      return { token, impression_id: impressionId };
    },
  );
}

function findAd(text: unknown): DemoAd {
  const adId = typeof text === "string" ? parseU64(text) : undefined;
  const ad = adId === undefined ? undefined : demoAdOf(adId);
  if (ad === undefined) {
    throw new HttpProblem(404, "NOT_FOUND", `the demo has the ads 1001 to ${DEMO_ADS.at(-1)!.adId}`);
  }
  return ad;
}
