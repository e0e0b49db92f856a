/**
 * Sharing one report by a link: signed, expiring, read-only. Who has the link needs no key, and reads
 * the answer to that one question, as the key that shared it would read it now: if that key is revoked
 * or has expired, the link is dead. What the link is: actors/keys/share.ts.
 */
import type { FastifyPluginAsync } from "fastify";
import { accessOf, type RequireScope } from "../../actors/adapters/http/auth.ts";
import { HttpProblem, invalidInput } from "../../actors/adapters/http/problem.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { advertisersOf, permits } from "../../actors/keys/api-key.ts";
import type { Authenticator } from "../../actors/keys/authenticate.ts";
import type { KeyLimits } from "../../actors/keys/key-limits.ts";
import type { ShareCodec } from "../../actors/keys/share.ts";
import type { Access } from "../../actors/reports/query.ts";
import { REPORT_FIELDS, type ReportInput } from "../../actors/reports/read-query.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { problemResponses, text } from "../gateway/schemas.ts";
import type { AnswerReport, CheckReport } from "./report-route.ts";

export interface ShareRouteDeps {
  readonly codec: ShareCodec;
  readonly answer: AnswerReport;
  readonly check: CheckReport;
  readonly authenticator: Pick<Authenticator, "principalOf">;
  readonly keyLimits: KeyLimits;
  readonly requireScope: RequireScope;
  /** Where browsers reach this API; without it a link is told from its path on. */
  readonly origin?: () => string;
  readonly clock: Pick<Clock, "now">;
  readonly limits: Pick<Limits, "shareLifeMs" | "shareMaxLifeMs" | "shareQueryMaxBytes">;
}

interface NewShare {
  readonly query: Record<string, string>;
  readonly expires_in: number;
}

interface Shared {
  readonly s: string;
  readonly format?: "json" | "csv" | "parquet";
  readonly limit?: string;
  readonly cursor?: string;
}

const PATH = "/v1/reports/shared";
/** A page is for whoever reads. */
const SHAREABLE = REPORT_FIELDS.filter((field) => field !== "cursor" && field !== "limit");

export function shareRoutes(deps: ShareRouteDeps): FastifyPluginAsync {
  const { answer, authenticator, check, clock, codec, keyLimits, limits, requireScope } = deps;
  const mostS = limits.shareMaxLifeMs / 1_000;

  /** @throws NOT_FOUND in the same words, whatever is wrong with the link */
  async function open(link: string): Promise<{ query: ReportInput; access: Access }> {
    const share = codec.open(link);
    const maker =
      share && clock.now() < share.expiresAtMs ? authenticator.principalOf(share.keyId) : undefined;
    if (share === undefined || maker === undefined || !permits(maker, "read"))
      throw new HttpProblem(
        404,
        "NOT_FOUND",
        "this link is not valid: it has expired, was revoked with its key, or was not copied whole",
      );
    await keyLimits.take(maker.keyId, "read");
    return { query: share.query, access: { advertisers: advertisersOf(maker) } };
  }

  return async (app) => {
    app.post<{ Body: NewShare }>(
      "/v1/reports/shares",
      {
        onRequest: requireScope("read"),
        schema: {
          tags: ["reports"],
          summary: "A link to one report, for who has no key: signed, expiring, read-only.",
          description:
            "It shows what the key that made it may see, at the time of reading, and dies with that key. " +
            "Times as -7d stay relative. Pages and formats are the reader's choice.",
          security: [{ key: [] }],
          body: {
            type: "object",
            required: ["query"],
            additionalProperties: false,
            properties: {
              query: {
                type: "object",
                description: "Parameters as GET /v1/reports takes them.",
                additionalProperties: false,
                properties: Object.fromEntries(SHAREABLE.map((field) => [field, { type: "string" }])),
              },
              expires_in: {
                type: "integer",
                description: "Seconds.",
                minimum: 60,
                maximum: mostS,
                default: limits.shareLifeMs / 1_000,
              },
            },
          },
          response: {
            201: {
              type: "object",
              properties: {
                url: text("Whoever has it reads the report."),
                expires_at: { ...text("From then on it shows nothing."), format: "date-time" },
              },
            },
            ...problemResponses(400, 401, 403, 404, 429, 503),
          },
        },
      },
      async (request, reply) => {
        const { expires_in: expiresInS, query } = request.body;
        const keyId = request.principal?.keyId ?? "";
        if (keyId === "")
          throw new HttpProblem(403, "PERMISSION_DENIED", "a link is of a key: sign in with one");
        if (Buffer.byteLength(JSON.stringify(query)) > limits.shareQueryMaxBytes)
          throw invalidInput([
            { field: "query", reason: `is longer than ${limits.shareQueryMaxBytes} bytes: share fewer ids` },
          ]);
        await check(query, accessOf(request));
        const expiresAtMs = Math.floor(clock.now() / 1_000 + expiresInS) * 1_000;
        const link = codec.seal({ keyId, expiresAtMs, query });
        return reply
          .code(201)
          .header("cache-control", "no-store")
          .send({
            url: `${deps.origin?.() ?? ""}${PATH}?s=${link}`,
            expires_at: new Date(expiresAtMs).toISOString(),
          });
      },
    );

    app.get<{ Querystring: Shared }>(
      PATH,
      {
        schema: {
          tags: ["reports"],
          summary: "The report that a link shares. Needs no key.",
          description: "Answers as GET /v1/reports.",
          querystring: {
            type: "object",
            required: ["s"],
            additionalProperties: false,
            properties: {
              s: text("The link's own part."),
              format: { type: "string", enum: ["json", "csv", "parquet"] },
              limit: text("Rows of a page, as GET /v1/reports takes it."),
              cursor: text("Of the page before."),
            },
          },
          response: problemResponses(400, 404, 429, 503),
        },
      },
      async (request, reply) => {
        const { s: link, ...page } = request.query;
        // The link is in the URL: it must not go on to where the page leads.
        reply.header("referrer-policy", "no-referrer");
        const { query, access } = await open(link);
        const next = (cursor: string) => `${PATH}?${new URLSearchParams({ s: link, ...page, cursor })}`;
        return answer({ request, reply, input: { ...query, ...page }, access, next });
      },
    );
  };
}
