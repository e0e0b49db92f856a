/** GET /v1/reports/clicks and GET /v1/clicks/{impression_id}: the report routes of the HTTP API. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import {
  GRANULARITY_MS,
  reportSpan,
  type Granularity,
  type ReportSubject,
  type Reports,
} from "../../actors/adapters/clickhouse/reports.ts";
import { HttpProblem, invalidInput } from "../../actors/adapters/http/problem.ts";
import { parseU64, parseUuid } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { idSchema as idOf, offsetSchema, problemResponses, text } from "../gateway/schemas.ts";
import { parseRfc3339 } from "../../actors/reports/rfc3339.ts";

export interface ReportRouteDeps {
  readonly reports: Reports;
  /** Hook of both routes: throws for a caller that may not read reports. */
  readonly authorise: (request: FastifyRequest) => Promise<void>;
  readonly clock: Clock;
  readonly limits: Pick<Limits, "reportMaxPoints">;
  /** What the catalogue knows above an ad: makes its report read less. */
  readonly ownerOf?: (
    adId: bigint,
  ) => Promise<{ readonly campaignId: bigint; readonly advertiserId: bigint } | undefined>;
}

const HOUR_MS = 3_600_000;
const ID_FIELDS = ["ad_id", "campaign_id", "advertiser_id"] as const;

type ReportInput = Partial<Record<(typeof ID_FIELDS)[number] | "from" | "to", string>> & {
  readonly granularity?: Granularity;
};

const idSchema = (whose: string) => ({
  type: "string",
  description: `${whose}: unsigned 64-bit, decimal. Exactly one of the three ids.`,
});
const reportSchema = {
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
  app.register(async (routes) => addRoutes(routes, deps));
}

function addRoutes(app: FastifyInstance, deps: ReportRouteDeps): void {
  const { reports, authorise, clock, limits } = deps;

  app.get<{ Querystring: ReportInput }>(
    "/v1/reports/clicks",
    { schema: reportSchema, onRequest: authorise },
    async (request, reply) => {
      const input = request.query;
      const asked = readSubject(input);
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
      const owner = "adId" in asked ? await deps.ownerOf?.(asked.adId) : undefined;
      reply.header("cache-control", "no-store");
      return reports.clicksReport({ subject: { ...asked, ...owner }, fromMs, toMs, granularity });
    },
  );

  app.get<{ Params: { readonly impression_id: string } }>(
    "/v1/clicks/:impression_id",
    { schema: clickSchema, onRequest: authorise },
    async (request, reply) => {
      const id = parseUuid(request.params.impression_id);
      if (id === undefined) throw invalidInput([{ field: "impression_id", reason: "must be a UUID" }]);
      const explanation = await reports.explainClick(id);
      if (explanation === undefined)
        throw new HttpProblem(
          404,
          "NOT_FOUND",
          `no click with impression id ${request.params.impression_id} is in the raw table; clicks arrive there within about a second and stay for a week`,
        );
      reply.header("cache-control", "no-store");
      return explanation;
    },
  );
}
