/**
 * The catalogue over HTTP: one ad at a time, or a stream of them. Changes need a key of scope "admin";
 * a key of scope "read" is shown the ads of its advertisers, and of another's what of none.
 */
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { HttpProblem, invalidInput } from "../../actors/adapters/http/problem.ts";
import { accessOf, type RequireScope } from "../../actors/adapters/http/auth.ts";
import { adToJson, parseAd } from "../../actors/catalogue/ad.ts";
import { importAds, type ImportDeps } from "../../actors/catalogue/import.ts";
import { messageOf } from "../../actors/core/errors.ts";
import { idKeyOf, parseU64 } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { idSchema, problemResponses, text } from "./schemas.ts";

export interface AdsDeps extends ImportDeps {
  readonly requireScope: RequireScope;
  readonly logger: Logger;
  readonly limits: ImportDeps["limits"] & Pick<Limits, "httpRequestTimeoutMs">;
}

const adSchema = {
  type: "object",
  required: ["ad_id", "campaign_id", "advertiser_id", "destination_url"],
  additionalProperties: false,
  properties: {
    ad_id: idSchema("The ad."),
    campaign_id: idSchema("Its campaign; never changes."),
    advertiser_id: idSchema("Its advertiser; never changes."),
    destination_url: text("Absolute http or https URL that a click is redirected to; stored normalised."),
    title: { ...text("For people; may be left out."), default: "" },
  },
} as const;

// A stream may last as long as it moves: its silence is bounded instead (limitSilence).
const IMPORT_MAX_MS = 6 * 60 * 60_000;

export function adsRoutes(deps: AdsDeps): FastifyPluginAsync {
  const { catalogue, limits, logger } = deps;
  const onRequest = deps.requireScope("admin");
  const security = [{ key: [] }];

  return async (app) => {
    app.post(
      "/v1/ads",
      {
        onRequest,
        // The schema documents; parseAd checks, here and in the import, and names all fields at fault.
        validatorCompiler: () => () => true,
        schema: {
          tags: ["ads"],
          summary: "Create or update an ad. Its campaign and advertiser cannot change.",
          security,
          body: adSchema,
          response: { 200: adSchema, 201: adSchema, ...problemResponses(400, 401, 403, 409, 429, 503) },
        },
      },
      async (request, reply) => {
        const parsed = parseAd(request.body, limits);
        if (!parsed.ok) throw invalidInput(parsed.errors);
        const key = idKeyOf(parsed.ad.adId);
        const existed = (await catalogue.load([key])).has(key);
        await catalogue.put([parsed.ad]);
        if (!existed) reply.code(201).header("location", `/v1/ads/${parsed.ad.adId}`);
        return adToJson(parsed.ad);
      },
    );

    app.get<{ Params: { ad_id: string } }>(
      "/v1/ads/:ad_id",
      {
        onRequest: deps.requireScope("read"),
        schema: {
          tags: ["ads"],
          summary: "One ad.",
          security,
          params: { type: "object", properties: { ad_id: idSchema("The ad.") } },
          response: { 200: adSchema, ...problemResponses(400, 401, 403, 404, 429, 503) },
        },
      },
      async (request) => {
        const adId = parseU64(request.params.ad_id);
        if (adId === undefined) {
          throw invalidInput([{ field: "ad_id", reason: "must be an unsigned 64-bit decimal number" }]);
        }
        const key = idKeyOf(adId);
        const ad = (await catalogue.load([key])).get(key);
        const { advertisers } = accessOf(request);
        if (ad === undefined || (advertisers !== "all" && !advertisers.has(ad.advertiserId)))
          throw new HttpProblem(404, "NOT_FOUND", `ad ${adId} is not in the catalogue`);
        return adToJson(ad);
      },
    );

    await app.register(importRoute);
  };

  async function importRoute(app: Parameters<FastifyPluginAsync>[0]): Promise<void> {
    // The body is taken as a stream, whatever its type is called.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));

    app.post(
      "/v1/ads/import",
      {
        onRequest,
        handlerTimeout: IMPORT_MAX_MS,
        schema: {
          tags: ["ads"],
          summary: "Create or update many ads: NDJSON, one ad a line.",
          description:
            'Answers with NDJSON: about each second {"lines","imported","rejected"}; last the totals with "errors" ' +
            '([{"line","reason"}], the first 100), and with "failed" ({"code","detail"}) if it stopped before ' +
            "the end. A bad line stops nothing. What is counted as imported is on disk.",
          security,
          consumes: ["application/x-ndjson"],
          produces: ["application/x-ndjson"],
          response: problemResponses(400, 401, 403, 429),
        },
      },
      async (request, reply) => {
        if (!(request.body instanceof Readable)) {
          throw new HttpProblem(400, "BODY_MALFORMED", "the body is empty; send NDJSON, one ad a line");
        }
        limitSilence(request.raw, limits.httpRequestTimeoutMs);
        return reply
          .type("application/x-ndjson")
          .header("cache-control", "no-store")
          .send(Readable.from(reports(request.body), { objectMode: false }));
      },
    );
  }

  async function* reports(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
    try {
      for await (const report of importAds(body, deps)) yield `${JSON.stringify(report)}\n`;
    } catch (error) {
      // The last line has said it to the caller.
      logger.warn({ err: error }, `import stopped: ${messageOf(error)}`);
    }
  }
}

interface Silenceable {
  setTimeout(ms: number, run: () => void): void;
  destroy(): void;
  once(event: "end", run: () => void): void;
}

function limitSilence(request: Silenceable, silenceMs: number): void {
  request.setTimeout(silenceMs, () => request.destroy());
  request.once("end", () => request.setTimeout(0, () => {}));
}
