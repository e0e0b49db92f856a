/**
 * GET /v1/reports/live: clicks as they are counted, as server-sent events. What is told: event.ts of
 * actors/live; who is told how much: feed.ts.
 */
import type { ServerResponse } from "node:http";
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from "fastify";
import { HttpProblem, invalidInput } from "../../actors/adapters/http/problem.ts";
import { parseU64 } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { LiveClient, LiveFeed, RenderedEvent } from "../../actors/live/feed.ts";
import { createViews, liveAccessOf, type LiveAccess, type LiveFilter } from "../../actors/live/view.ts";
import { problemResponses } from "../gateway/schemas.ts";

export interface LiveRouteDeps {
  /** Undefined where there is no bus to follow. */
  readonly feed: LiveFeed | undefined;
  /** What the caller may see. Throws for one that may not read reports; asked again while the stream lasts. */
  readonly authorise: (request: FastifyRequest) => Promise<{ readonly advertisers: Advertisers }>;
  readonly limits: Pick<Limits, "liveHistoryMs">;
}

type Advertisers = "all" | ReadonlySet<bigint>;

interface LiveInput {
  readonly advertiser_id?: string;
  readonly campaign_id?: string;
  readonly ad_id?: string;
  readonly recent?: string;
}

const FILTERS = { advertiser_id: "advertiserId", campaign_id: "campaignId", ad_id: "adId" } as const;
const NO_BUS = "live counts go over Redis: give --redis-url to this program and to the actor hosts";
/** After a broken connection a browser waits so long. */
const RETRY_MS = 1_000;

const filterSchema = (what: string) => ({
  type: "string",
  description: `Only clicks of this ${what}: unsigned 64-bit, decimal.`,
});

function schemaOf(mostSeconds: number) {
  return {
    tags: ["reports"],
    summary: "Clicks as they are counted, second by second: server-sent events.",
    description: `Three kinds of events, each with JSON as its data:

- \`second\`: \`{"second","clicks_per_second","ads":[{"ad_id","campaign_id","advertiser_id","clicks"}],"other_clicks","over"}\`,
  one second, whole: the last one told of a second holds. It comes while the second runs, whenever clicks were added, and once
  more when the second is over; a second without clicks comes then. \`other_clicks\` are those of ads that are not listed. The
  second is that in which the shard wrote the click down.
- \`minute\`: \`{"minute","until","clicks","ads","other_clicks"}\`, for a client that comes back after more than two minutes: the
  report's minute, up to where seconds follow. It takes the place of the seconds that were told of that time.
- \`end\`: \`{"code","detail"}\`: the server ends the stream. DRAINING: it stops. SLOW_CLIENT: nothing was read. ACCESS_ENDED: the
  key permits no more.

Connect again with the id of the last event (browsers' EventSource does, by \`Last-Event-ID\`), at any server: no second is missed.
Live counts are for the eye, and right but for rare faults (Redis flushed); what is billed is in the reports.`,
    security: [{ key: [] }],
    querystring: {
      type: "object",
      additionalProperties: false,
      properties: {
        advertiser_id: filterSchema("advertiser"),
        campaign_id: filterSchema("campaign"),
        ad_id: filterSchema("ad"),
        recent: {
          type: "string",
          pattern: "^[0-9]{1,3}$",
          description: `Begin so many seconds ago, ${mostSeconds} at the most; without, with the second that runs. A Last-Event-ID goes before it.`,
        },
      },
    },
    headers: {
      type: "object",
      properties: {
        "last-event-id": { type: "string", description: "The id of the last event of an earlier stream." },
      },
    },
    response: {
      200: { description: "The events.", content: { "text/event-stream": { schema: { type: "string" } } } },
      ...problemResponses(400, 401, 403, 503),
    },
  } as const;
}

function readFilter(input: LiveInput): LiveFilter {
  const filter: Record<string, bigint> = {};
  for (const [field, name] of Object.entries(FILTERS)) {
    const text = input[field as keyof typeof FILTERS];
    if (text === undefined) continue;
    const id = parseU64(text);
    if (id === undefined)
      throw invalidInput([{ field, reason: "must be an unsigned 64-bit decimal without leading zeros" }]);
    filter[name] = id;
  }
  return filter;
}

/** As a plugin, so that the OpenAPI document, registered before, sees it. */
export function liveRoutes({ feed, authorise, limits }: LiveRouteDeps): FastifyPluginAsync {
  const viewOf = createViews();
  const mostSeconds = limits.liveHistoryMs / 1_000;
  const accesses = new WeakMap<FastifyRequest, LiveAccess>();
  const admit = async (request: FastifyRequest) => {
    accesses.set(request, liveAccessOf((await authorise(request)).advertisers));
  };
  return async (app: FastifyInstance) => {
    // Before the server waits for its connections to end.
    app.addHook("preClose", async () => feed?.close());

    app.get<{ Querystring: LiveInput }>(
      "/v1/reports/live",
      { schema: schemaOf(mostSeconds), exposeHeadRoute: false, onRequest: admit },
      async (request, reply) => {
        if (feed === undefined) throw new HttpProblem(503, "NOT_READY", NO_BUS);
        const recentSeconds = Number(request.query.recent ?? 0);
        if (recentSeconds > mostSeconds)
          throw invalidInput([{ field: "recent", reason: `must be ${mostSeconds} at the most` }]);
        const resume = request.headers["last-event-id"];
        const response = reply.raw;
        const client = clientOf(response, () => authorise(request));
        // The feed may refuse: headers follow once it has not.
        const watch = feed.watch(
          {
            view: viewOf(accesses.get(request)!, readFilter(request.query)),
            recentSeconds,
            ...(typeof resume === "string" && { resume }),
          },
          client,
        );
        response.on("close", () => watch.close());
        response.on("drain", () => watch.ready());
        client.begin();
        reply.hijack();
        return reply;
      },
    );
  };
}

const wireOf = ({ event: { kind, ...data }, id }: RenderedEvent): Buffer =>
  Buffer.from(`id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);

function clientOf(
  response: ServerResponse,
  reauthorise: LiveClient["reauthorise"],
): LiveClient & { begin(): void } {
  const begin = () => {
    if (response.headersSent) return;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      // Proxies such as nginx would gather the events.
      "x-accel-buffering": "no",
    });
    response.write(`retry: ${RETRY_MS}\n\n`);
  };
  return {
    begin,
    send(event) {
      begin();
      return response.write((event.wire ??= wireOf(event)) as Buffer);
    },
    end(code, detail) {
      // One that does not read would not take its end either.
      if (code === "SLOW_CLIENT") response.destroy();
      else response.end(`event: end\ndata: ${JSON.stringify({ code, detail })}\n\n`);
    },
    reauthorise,
  };
}
