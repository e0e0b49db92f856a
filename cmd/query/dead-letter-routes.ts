/** The dead letters over HTTP: list, and replay one. Needs a key of scope "admin". */
import type { FastifyPluginAsync } from "fastify";
import type { Fate, ReplayRecord } from "../../actors/adapters/clickhouse/replays.ts";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import { messageOf } from "../../actors/core/errors.ts";
import type { DeadLetter, DeadLetters } from "../../actors/dead-letters/dead-letters.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { idSchema, offsetSchema, problemResponses, text } from "../gateway/schemas.ts";

export interface DeadLetterRouteDeps {
  readonly deadLetters: DeadLetters;
  readonly replays: ReplayRecord;
  readonly logger: Logger;
  readonly requireScope: RequireScope;
}

const PAGE_MAX = 1_000;
const UNTOUCHED: Fate = { replayed: false, counted: false };

const letterSchema = {
  type: "object",
  properties: {
    id: text("Names the letter; cursor of a listing."),
    impression_id: text("Explains its clicks at GET /v1/clicks/{impression_id}."),
    ad_id: idSchema("The ad."),
    campaign_id: idSchema("Its campaign."),
    advertiser_id: idSchema("Its advertiser."),
    verdict: text("What the click came to."),
    reason: text("Why."),
    click_time: text("When the user clicked, by the client's clock."),
    received_time: text("When a gateway received it."),
    shard: { type: "integer" },
    log_offset: offsetSchema,
    replayed: {
      type: "boolean",
      nullable: true,
      description: "A replay of it is in the log. Null while ClickHouse does not answer; lags by a second.",
    },
    impression_counted: {
      type: "boolean",
      nullable: true,
      description: "A click on its impression was counted, by a replay or otherwise: another counts nothing.",
    },
  },
} as const;

const offsetOf = (offset: number | undefined) => (offset === undefined ? {} : { log_offset: String(offset) });

function toJson(letter: DeadLetter, fate: Fate | undefined) {
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
    ...offsetOf(letter.logOffset),
    replayed: fate?.replayed ?? null,
    impression_counted: fate?.counted ?? null,
  };
}

/** @throws INPUT_INVALID */
function readLimit(written: string): number {
  const limit = /^\d{1,4}$/.test(written) ? Number(written) : 0;
  if (limit >= 1 && limit <= PAGE_MAX) return limit;
  throw invalidInput([{ field: "limit", reason: `must be a whole number from 1 to ${PAGE_MAX}` }]);
}

export function deadLetterRoutes(deps: DeadLetterRouteDeps): FastifyPluginAsync {
  const { deadLetters, replays, requireScope, logger } = deps;

  /** Nothing of it is needed to list and replay: without ClickHouse the listing goes on without. */
  async function fatesOf(letters: readonly DeadLetter[]): Promise<ReadonlyMap<string, Fate> | undefined> {
    try {
      return await replays.fatesOf(letters);
    } catch (error) {
      logger.warn({ error: messageOf(error) }, "dead letters listed without what became of them");
      return undefined;
    }
  }

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
              limit: { ...text(`Letters at the most, from 1 to ${PAGE_MAX}.`), default: "100" },
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
        const limit = readLimit(request.query.limit);
        const letters = await deadLetters.list(limit, request.query.after);
        const next = letters.length === limit ? letters.at(-1)!.id : null;
        const fates = await fatesOf(letters);
        // What the table does not know yet was neither replayed nor counted a second ago.
        const fateOf = ({ impressionId }: DeadLetter) => fates && (fates.get(impressionId) ?? UNTOUCHED);
        return { dead_letters: letters.map((letter) => toJson(letter, fateOf(letter))), next };
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
                log_offset: offsetSchema,
              },
            },
            ...problemResponses(400, 401, 403, 404, 503),
          },
        },
      },
      async (request) => {
        const { logOffset, ...replay } = await deadLetters.replay(request.params.id);
        return { ...replay, ...offsetOf(logOffset) };
      },
    );
  };
}
