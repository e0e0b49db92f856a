/**
 * GET /v1/reports/ads: titles of the ads that the caller may see reports of, so that people read
 * names where reports have ids. The catalogue itself (GET /v1/ads) is the admin's.
 */
import type { FastifyInstance } from "fastify";
import type { AdName, AdNamesQuery } from "../../actors/adapters/clickhouse/ad-names.ts";
import { accessOf, type RequireScope } from "../../actors/adapters/http/auth.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import { parseU64 } from "../../actors/core/ids.ts";
import type { Access } from "../../actors/reports/query.ts";
import { idSchema, problemResponses, text } from "../gateway/schemas.ts";

export interface NamesRouteDeps {
  readonly names: (query: AdNamesQuery) => Promise<readonly AdName[]>;
  readonly requireScope: RequireScope;
}

const FIELDS = ["advertiser_id", "campaign_id", "ad_id"] as const;
const MOST_IDS = 100;
const MOST_ADS = 1_000;

type Input = Partial<Record<(typeof FIELDS)[number], string>> & { readonly limit: string };

const list = (of: string) =>
  text(`Of these ${of} alone: ids, separated by commas, ${MOST_IDS} at the most. One of the three fields.`);
const schema = {
  tags: ["reports"],
  summary: "Titles of ads, in order of their ids; a change is here about a second later.",
  security: [{ key: [] }],
  querystring: {
    type: "object",
    additionalProperties: false,
    properties: {
      advertiser_id: list("advertisers"),
      campaign_id: list("campaigns"),
      ad_id: list("ads"),
      limit: { ...text(`Ads at the most, from 1 to ${MOST_ADS}.`), default: String(MOST_ADS) },
    },
  },
  response: {
    200: {
      type: "object",
      properties: {
        ads: {
          type: "array",
          items: {
            type: "object",
            properties: {
              ad_id: idSchema("The ad."),
              campaign_id: idSchema("Its campaign."),
              advertiser_id: idSchema("Its advertiser."),
              title: text("As the catalogue has it; may be empty."),
            },
          },
        },
      },
    },
    ...problemResponses(400, 401, 403, 503),
  },
} as const;

/** @throws INPUT_INVALID */
function readQuery(input: Input, access: Access): AdNamesQuery {
  const given = FIELDS.filter((field) => input[field] !== undefined);
  if (given.length > 1)
    throw invalidInput([{ field: given[1]!, reason: `cannot be given together with ${given[0]!}` }]);
  const [by = "ad_id"] = given;
  const parts = input[by]?.split(",") ?? [];
  const ids = parts.map(parseU64).filter((id) => id !== undefined);
  if (ids.length < parts.length || ids.length > MOST_IDS)
    throw invalidInput([
      { field: by, reason: `must be 1 to ${MOST_IDS} unsigned 64-bit decimals, separated by commas` },
    ]);
  const limit = /^[1-9]\d{0,3}$/.test(input.limit) ? Number(input.limit) : Infinity;
  if (limit > MOST_ADS)
    throw invalidInput([{ field: "limit", reason: `must be a whole number from 1 to ${MOST_ADS}` }]);
  return { by, ids, access, limit };
}

/** As a plugin, so that the OpenAPI document, registered before, sees it. */
export function registerNamesRoute(app: FastifyInstance, { names, requireScope }: NamesRouteDeps): void {
  app.register(async (routes) => {
    routes.get<{ Querystring: Input }>(
      "/v1/reports/ads",
      { schema, onRequest: requireScope("read") },
      async (request, reply) => {
        reply.header("cache-control", "no-store");
        return { ads: await names(readQuery(request.query, accessOf(request))) };
      },
    );
  });
}
