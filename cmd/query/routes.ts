/**
 * The report routes of the HTTP API: GET /v1/reports (report-route.ts), GET /v1/reports/clicks and
 * GET /v1/clicks/{impression_id}. What a caller may see is asked once a request, before anything
 * else; every route hands it to the desk.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import {
  GRANULARITY_MS,
  reportSpan,
  type Granularity,
  type ReportSubject,
} from "../../actors/adapters/clickhouse/reports.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import { parseU64 } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { EVERYTHING, type Access } from "../../actors/reports/query.ts";
import type { ReportLimits } from "../../actors/reports/read-query.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { idSchema as idOf, offsetSchema, problemResponses, text } from "../gateway/schemas.ts";
import { addReportRoute } from "./report-route.ts";
import { parseRfc3339 } from "../../actors/reports/rfc3339.ts";

export interface ReportRouteDeps {
  readonly desk: ReportDesk;
  /** What the caller may see; throws for one that may not read reports at all. */
  readonly authorise: (request: FastifyRequest) => Promise<Access>;
  readonly clock: Clock;
  readonly limits: ReportLimits & Pick<Limits, "reportMaxRows">;
}

/** A hook that lets pass, as an answer to what the caller may see. */
export const seesAll =
  (hook: (request: FastifyRequest) => Promise<void>) =>
  async (request: FastifyRequest): Promise<Access> => {
    await hook(request);
    return EVERYTHING;
  };

const HOUR_MS = 3_600_000;
const ID_FIELDS = ["ad_id", "campaign_id", "advertiser_id"] as const;

type ReportInput = Partial<Record<(typeof ID_FIELDS)[number] | "from" | "to", string>> & {
  readonly granularity?: Granularity;
};

const idSchema = (whose: string) => ({
  type: "string",
  description: `${whose}: unsigned 64-bit, decimal. Exactly one of the three ids.`,
});
const clicksSchema = {
  tags: ["reports"],
  summary: "Clicks of an ad, a campaign or an advertiser, by time.",
  description:
    "duplicates has the repeats that adtally made itself, too: a click that was diverted because its shard was " +
    "slow, and that the shard took all the same. clicks never has any.",
  security: [{ key: [] }],
  querystring: {
    type: "object",
    additionalProperties: false,
    properties: {
      ad_id: idSchema("The ad"),
      campaign_id: idSchema("The campaign"),
      advertiser_id: idSchema("The advertiser"),
      from: { type: "string", description: "RFC 3339; one hour before `to` by default. Rounded down." },
      to: { type: "string", description: "RFC 3339, exclusive; now by default. Rounded up." },
      granularity: { type: "string", enum: Object.keys(GRANULARITY_MS), default: "1m" },
    },
  },
} as const;
const rowSchema = {
  type: "object",
  properties: {
    verdict: text("What it came to."),
    recorded_verdict: text("What its block says."),
    reason: text("Why."),
    source: text("How the click came."),
    shard: { type: "integer" },
    log_offset: offsetSchema,
    row_number: { type: "integer", description: "Within the block." },
    ad_id: idOf("The ad."),
    campaign_id: idOf("Its campaign."),
    advertiser_id: idOf("Its advertiser."),
    window: text("The minute in which it counts."),
    click_time: text("When the user clicked, by the client's clock."),
    received_time: text("When a gateway received it."),
    generation: { type: "integer", description: "The routing generation by which it found its shard." },
    user_agent: text("As the client sent it, cut at its bound."),
  },
} as const;
const explanationSchema = {
  type: "object",
  properties: {
    impression_id: text("As asked for."),
    verdict: text("Of the row that counted, else of the first row."),
    reason: text("Why."),
    counted: { type: "boolean" },
    rows: { type: "array", description: "In log order.", items: rowSchema },
    has_more: { type: "boolean", description: "There are more rows than these." },
  },
} as const;
const clickSchema = {
  tags: ["reports"],
  summary: "What became of one click, row by row of the log.",
  security: [{ key: [] }],
  params: {
    type: "object",
    required: ["impression_id"],
    properties: { impression_id: { type: "string", description: "The impression's or click's UUID." } },
  },
  response: { 200: explanationSchema, ...problemResponses(400, 401, 403, 404, 503) },
} as const;

function readSubject(input: ReportInput): ReportSubject {
  const given = ID_FIELDS.filter((field) => input[field] !== undefined);
  const [field] = given;
  if (field === undefined || given.length > 1)
    throw invalidInput([{ field: "", reason: "give exactly one of ad_id, campaign_id, advertiser_id" }]);
  const id = parseU64(input[field]!);
  if (id === undefined)
    throw invalidInput([{ field, reason: "must be an unsigned 64-bit decimal without leading zeros" }]);
  if (field === "ad_id") return { adId: id };
  return field === "campaign_id" ? { campaignId: id } : { advertiserId: id };
}

function readTime(field: "from" | "to", text: string | undefined, defaultMs: number): number {
  if (text === undefined) return defaultMs;
  // A `+` of an offset that was not percent-encoded arrives as a space, which nothing else there can be.
  const timeMs = parseRfc3339(text.replace(/ (\d\d:\d\d)$/, "+$1"));
  if (timeMs === undefined)
    throw invalidInput([
      { field, reason: "must be an RFC 3339 time between 1970 and 2105, such as 2026-01-31T12:00:00Z" },
    ]);
  return timeMs;
}

/** As a plugin, so that the OpenAPI document, registered before, sees them. */
export function registerReportRoutes(app: FastifyInstance, deps: ReportRouteDeps): void {
  app.register(async (routes) => {
    const seen = new WeakMap<FastifyRequest, Access>();
    const onRequest = async (request: FastifyRequest): Promise<void> => {
      seen.set(request, await deps.authorise(request));
    };
    const accessOf = (request: FastifyRequest): Access => seen.get(request)!;
    addReportRoute(routes, { ...deps, onRequest, accessOf });
    addRoutes(routes, deps, onRequest, accessOf);
  });
}

function addRoutes(
  app: FastifyInstance,
  { clock, desk, limits }: ReportRouteDeps,
  onRequest: (request: FastifyRequest) => Promise<void>,
  accessOf: (request: FastifyRequest) => Access,
): void {
  app.get<{ Querystring: ReportInput }>(
    "/v1/reports/clicks",
    { schema: clicksSchema, onRequest },
    async (request, reply) => {
      const input = request.query;
      const subject = readSubject(input);
      const toMs = readTime("to", input.to, clock.now());
      const fromMs = readTime("from", input.from, Math.max(0, toMs - HOUR_MS));
      if (fromMs >= toMs) throw invalidInput([{ field: "from", reason: "must lie before to" }]);
      const granularity = input.granularity ?? "1m";
      const { points } = reportSpan({ fromMs, toMs, granularity });
      if (points > limits.reportMaxPoints)
        throw invalidInput([
          {
            field: "granularity",
            reason: `${granularity} makes ${points} rows of this time, ${limits.reportMaxPoints} are allowed: ask for a coarser one, or less time`,
          },
        ]);
      const report = await desk.clicks({ subject, fromMs, toMs, granularity }, accessOf(request));
      reply.header("cache-control", "no-store");
      return report;
    },
  );

  app.get<{ Params: { readonly impression_id: string } }>(
    "/v1/clicks/:impression_id",
    { schema: clickSchema, onRequest },
    async (request, reply) => {
      const explanation = await desk.explain(request.params.impression_id, accessOf(request));
      reply.header("cache-control", "no-store");
      return explanation;
    },
  );
}
