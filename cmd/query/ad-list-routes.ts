/**
 * The catalogue as a list, over HTTP. Needs a key of scope "read", which is shown the ads of its
 * advertisers alone: to ask for another's is to ask for one that has none.
 */
import type { FastifyPluginAsync } from "fastify";
import type { AdListQuery } from "../../actors/adapters/clickhouse/ad-list.ts";
import { accessOf, type RequireScope } from "../../actors/adapters/http/auth.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import { adToJson } from "../../actors/catalogue/ad.ts";
import { parseU64 } from "../../actors/core/ids.ts";
import type { Ad } from "../../actors/ports/catalogue.ts";
import { idSchema, problemResponses, text } from "../gateway/schemas.ts";

export interface AdListRouteDeps {
  readonly list: (query: AdListQuery) => Promise<readonly Ad[]>;
  readonly requireScope: RequireScope;
}

const PAGE_MAX = 1_000;

type Input = Partial<Record<"campaign_id" | "advertiser_id" | "after", string>> & { readonly limit: string };

/** @throws INPUT_INVALID */
function readQuery(input: Input): AdListQuery {
  const faults: { field: string; reason: string }[] = [];
  const id = (field: "campaign_id" | "advertiser_id" | "after"): bigint | undefined => {
    const written = input[field];
    const value = written === undefined ? undefined : parseU64(written);
    if (written !== undefined && value === undefined)
      faults.push({ field, reason: "must be an unsigned 64-bit decimal number" });
    return value;
  };
  const limit = /^\d{1,4}$/.test(input.limit) ? Number(input.limit) : 0;
  if (limit < 1 || limit > PAGE_MAX)
    faults.push({ field: "limit", reason: `must be a whole number from 1 to ${PAGE_MAX}` });
  const query = {
    campaignId: id("campaign_id"),
    advertiserId: id("advertiser_id"),
    after: id("after"),
    limit,
  };
  if (faults.length > 0) throw invalidInput(faults);
  return query;
}

export function adListRoutes({ list, requireScope }: AdListRouteDeps): FastifyPluginAsync {
  return async (app) => {
    app.get<{ Querystring: Input }>(
      "/v1/ads",
      {
        onRequest: requireScope("read"),
        schema: {
          tags: ["ads"],
          summary: "The catalogue, in order of ad ids; a change is in it about a second later.",
          security: [{ key: [] }],
          querystring: {
            type: "object",
            additionalProperties: false,
            properties: {
              campaign_id: idSchema("Of this campaign alone."),
              advertiser_id: idSchema("Of this advertiser alone."),
              after: idSchema("The last ad seen."),
              limit: { ...text(`Ads at the most, from 1 to ${PAGE_MAX}.`), default: "100" },
            },
          },
          response: {
            200: {
              type: "object",
              properties: {
                ads: { type: "array", items: { type: "object", additionalProperties: { type: "string" } } },
                next: { type: "string", nullable: true, description: "For `after`; null on the last page." },
              },
            },
            ...problemResponses(400, 401, 403, 429, 503),
          },
        },
      },
      async (request, reply) => {
        const query = readQuery(request.query);
        const ads = await list({ ...query, within: accessOf(request).advertisers });
        reply.header("cache-control", "no-store");
        return { ads: ads.map(adToJson), next: ads.length === query.limit ? String(ads.at(-1)!.adId) : null };
      },
    );
  };
}
