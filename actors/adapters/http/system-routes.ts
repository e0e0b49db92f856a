/** What a cluster, a scraper and a client generator ask: alive, ready, metrics, OpenAPI. */
import type { FastifyPluginAsync, FastifyReply } from "fastify";
import type { Metrics } from "../../runtime/metrics.ts";
import { API_PAGE_CSP, apiPage, type OpenApi } from "./api-page.ts";
import { HttpProblem, PROBLEM_TYPE, problemBody } from "./problem.ts";

/** Names what is not ready, each with its reason; empty when all is. */
export type Readiness = () => readonly string[];

export interface SystemDeps {
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  /** Whether it listens and can be given work, though it may not be ready; without it: always. */
  readonly isUp?: () => boolean;
}

const status = { type: "object", properties: { status: { type: "string" } }, required: ["status"] } as const;

export function systemRoutes(deps: SystemDeps): FastifyPluginAsync {
  return async (app) => {
    app.get(
      "/healthz",
      { schema: { tags: ["system"], summary: "The process answers.", response: { 200: status } } },
      async () => ({ status: "ok" }),
    );

    app.get(
      "/startupz",
      {
        schema: {
          tags: ["system"],
          summary: "The program has come up; 503 until then. It may not be ready.",
        },
      },
      async (_request, reply) => {
        reply.header("cache-control", "no-store");
        return deps.isUp?.() === false ? problem(reply, ["coming up"]) : { status: "up" };
      },
    );

    app.get(
      "/readyz",
      { schema: { tags: ["system"], summary: "Clicks can be taken; 503 names what is not ready." } },
      async (_request, reply) => {
        const waitingFor = deps.readiness();
        reply.header("cache-control", "no-store");
        if (waitingFor.length === 0) return { status: "ready" };
        return problem(reply, waitingFor);
      },
    );

    app.get(
      "/metrics",
      { schema: { tags: ["system"], summary: "Metrics in Prometheus' text format." } },
      async (_request, reply) => reply.type(deps.metrics.contentType).send(await deps.metrics.text()),
    );

    app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());

    app.get("/docs", { schema: { hide: true } }, async (_request, reply) =>
      reply
        .header("content-security-policy", API_PAGE_CSP)
        .type("text/html; charset=utf-8")
        .send(apiPage(app.swagger() as OpenApi)),
    );
  };
}

function problem(reply: FastifyReply, waitingFor: readonly string[]): FastifyReply {
  return reply
    .code(503)
    .header("content-type", PROBLEM_TYPE)
    .send(Buffer.from(JSON.stringify(notReady(waitingFor))));
}

/** Not through the error handler: a program that is starting is no error to log. */
function notReady(waitingFor: readonly string[]): object {
  const problem = new HttpProblem(503, "NOT_READY", `not ready: ${waitingFor.join("; ")}`);
  return { ...problemBody(problem), waiting_for: waitingFor };
}
