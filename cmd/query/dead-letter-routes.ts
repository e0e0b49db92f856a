/** The dead letters over HTTP: list, and replay one. Needs a key of scope "admin". */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import type { DeadLetter, DeadLetters } from "../../actors/dead-letters/dead-letters.ts";
import { problemResponses } from "../gateway/schemas.ts";

export interface DeadLetterRouteDeps {
  readonly deadLetters: DeadLetters;
  readonly requireScope: RequireScope;
}

const PAGE_MAX = 1_000;

const letterSchema = {
  type: "object",
  properties: {
    id: { type: "string" },
    impression_id: { type: "string" },
    ad_id: { type: "string" },
    campaign_id: { type: "string" },
    advertiser_id: { type: "string" },
    verdict: { type: "string" },
    reason: { type: "string" },
    click_time: { type: "string" },
    received_time: { type: "string" },
    shard: { type: "integer" },
    log_offset: { type: "integer" },
  },
} as const;

function toJson(letter: DeadLetter) {
  return {
    id: letter.id,
    impression_id: letter.impressionId,
    ad_id: String(letter.adId),
    campaign_id: String(letter.campaignId),
    advertiser_id: String(letter.advertiserId),
    verdict: letter.verdict,
    reason: letter.reason,
    click_time: new Date(letter.clickTimeMs).toISOString(),
    received_time: new Date(letter.receivedTimeMs).toISOString(),
    shard: letter.shard,
    log_offset: letter.logOffset,
  };
}

export function deadLetterRoutes({ deadLetters, requireScope }: DeadLetterRouteDeps): FastifyPluginAsync {
  const onRequest = requireScope("admin");
  const security = [{ key: [] }];
  return async (app) => {
    app.get<{ Querystring: { limit: string; after?: string } }>(
      "/v1/dead-letters",
      {
        onRequest,
        schema: {
          tags: ["dead letters"],
          summary: "Clicks that were late or expired, with their reason, in order of shard and offset.",
          security,
          querystring: {
            type: "object",
            additionalProperties: false,
            properties: {
              limit: { type: "string", pattern: "^([1-9][0-9]{0,2}|1000)$", default: "100" },
              after: { type: "string", description: "The id of the last one seen." },
            },
          },
          response: {
            200: {
              type: "object",
              properties: {
                dead_letters: { type: "array", items: letterSchema },
                next: { type: "string", nullable: true },
              },
            },
            ...problemResponses(400, 401, 403),
          },
        },
      },
      async (request) => {
        const limit = Math.min(PAGE_MAX, Number(request.query.limit));
        const letters = await deadLetters.list(limit, request.query.after);
        const next = letters.length === limit ? letters.at(-1)!.id : null;
        return { dead_letters: letters.map(toJson), next };
      },
    );

    app.post<{ Params: { id: string } }>(
      "/v1/dead-letters/:id/replay",
      {
        onRequest,
        schema: {
          tags: ["dead letters"],
          summary: "Judge a dead letter again without its lateness; duplicates stay duplicates.",
          security,
          params: { type: "object", required: ["id"], properties: { id: { type: "string" } } },
          response: {
            200: {
              type: "object",
              properties: {
                id: { type: "string" },
                verdict: { type: "string" },
                reason: { type: "string" },
                shard: { type: "integer" },
                log_offset: { type: "integer" },
              },
            },
            ...problemResponses(400, 401, 403, 404, 503),
          },
        },
      },
      async (request) => {
        const { logOffset, ...replay } = await deadLetters.replay(request.params.id);
        return { ...replay, log_offset: logOffset };
      },
    );
  };
}
