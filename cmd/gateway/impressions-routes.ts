/** Placement over HTTP: signed impressions for a page or an ad server. */
import type { FastifyPluginAsync } from "fastify";
import { accessOf, type RequireScope } from "../../actors/adapters/http/auth.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import { formatUuid, parseU64 } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { PlacementService } from "../../actors/placement/service.ts";
import { idSchema, problemResponses, text } from "./schemas.ts";

export interface ImpressionsDeps {
  readonly placement: PlacementService;
  readonly requireScope: RequireScope;
  readonly limits: Pick<Limits, "impressionsMaxCount">;
}

export function impressionsRoutes(deps: ImpressionsDeps): FastifyPluginAsync {
  return async (app) => {
    app.post<{ Body: { ad_id: string; count: number } }>(
      "/v1/impressions",
      {
        onRequest: deps.requireScope("placement"),
        schema: {
          tags: ["placement"],
          summary: "Issue signed impressions of an ad: one for each time that it is shown.",
          security: [{ key: [] }],
          body: {
            type: "object",
            required: ["ad_id"],
            additionalProperties: false,
            properties: {
              ad_id: idSchema("The ad."),
              count: { type: "integer", minimum: 1, maximum: deps.limits.impressionsMaxCount, default: 1 },
            },
          },
          response: { 200: responseSchema, ...problemResponses(400, 401, 403, 404, 429, 503) },
        },
      },
      async (request, reply) => {
        const adId = parseU64(request.body.ad_id);
        if (adId === undefined) {
          throw invalidInput([{ field: "ad_id", reason: "must be an unsigned 64-bit decimal number" }]);
        }
        const issued = await deps.placement.issueImpressions({
          adId,
          count: request.body.count,
          ...accessOf(request),
        });
        reply.header("cache-control", "no-store");
        return {
          impressions: issued.impressions.map((each) => ({
            impression_id: formatUuid(each.impressionId),
            token: each.tokenText,
            click_url: each.clickUrl,
            expires_at: new Date(each.expiresAtMs).toISOString(),
          })),
        };
      },
    );
  };
}

const responseSchema = {
  type: "object",
  required: ["impressions"],
  properties: {
    impressions: {
      type: "array",
      items: {
        type: "object",
        required: ["impression_id", "token", "click_url", "expires_at"],
        properties: {
          impression_id: text("UUIDv7; explains its click at GET /v1/clicks/{impression_id}."),
          token: text("59 characters that the browser carries."),
          click_url: text("Where a click goes: it is counted, and redirected to the ad's destination."),
          expires_at: { ...text("A later click is redirected, and not counted."), format: "date-time" },
        },
      },
    },
  },
} as const;
