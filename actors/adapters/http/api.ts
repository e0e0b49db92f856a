/**
 * The HTTP API: one fastify instance with everything that routes share (problems, keys, schemas,
 * health, metrics, OpenAPI). Programs register their routes on it as plugins.
 *
 * It does not listen. The gateway's own server takes GET /click itself and hands every other
 * request to `app.routing(request, response)`, once `await app.ready()` has passed; that server
 * must have requestTimeout 0, as an import may stream for minutes: here each route has its
 * deadline, and each import one for its silence.
 *
 * Invariants
 *  N1 Input is taken as it is, or refused: nothing is coerced or dropped in silence; defaults
 *     stand in the schema.
 *  N2 A JSON body is UTF-8, in full; a URL has neither NUL nor broken percent-encoding.
 */
import { Readable } from "node:stream";
import { isUtf8 } from "node:buffer";
import swagger from "@fastify/swagger";
import fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import { messageOf } from "../../core/errors.ts";
import type { Server as HttpsServer } from "node:https";
import type { Limits } from "../../core/limits.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import { httpsOptions, renewHttps } from "../tls/https.ts";
import type { Certificates } from "../tls/certificates.ts";
import type { ServerFiles } from "../tls/material.ts";
import { createRequireScope, type AuthDeps, type RequireScope } from "./auth.ts";
import { measureRequests } from "./measure.ts";
import { HttpProblem, routeNotFound, sendProblem } from "./problem.ts";
import { systemRoutes, type Readiness } from "./system-routes.ts";

export interface ApiDeps extends AuthDeps {
  readonly limits: Pick<Limits, "httpBodyMaxBytes" | "httpRequestTimeoutMs">;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly isUp?: () => boolean;
  readonly version: string;
  /** With: the server that `listen` makes speaks HTTPS, with anyone. */
  readonly certificates?: Certificates<ServerFiles>;
}

export interface Api {
  readonly app: FastifyInstance;
  /** For the `onRequest` of routes that need a key. */
  readonly requireScope: RequireScope;
  /** All that is registered, once the app is ready; for the test that walks them all. */
  readonly routes: readonly Route[];
}

export interface Route {
  readonly method: string;
  readonly url: string;
}

// The longest parameter of any route is a dead letter's name; ids are at most 36 characters.
const PARAM_MAX_LENGTH = 128;

export function createApi(deps: ApiDeps): Api {
  const { limits, logger } = deps;
  const app = createFastify(deps.certificates, {
    logger: false,
    bodyLimit: limits.httpBodyMaxBytes,
    handlerTimeout: limits.httpRequestTimeoutMs,
    routerOptions: { maxParamLength: PARAM_MAX_LENGTH },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true } },
    frameworkErrors: (error, request, reply) => void sendProblem(error, request, reply, logger),
  });

  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, logger));
  app.setNotFoundHandler((request, reply) => sendProblem(routeNotFound(request), request, reply, logger));
  takeJson(app);
  app.addHook("onRequest", async (request) => refuseBadUrl(request.url));
  // A request without a body has ended before anyone listens (click-server.ts): where it names a
  // content type, as many clients' DELETE does, its parser would wait for an end that never comes.
  app.addHook("preParsing", async ({ raw }, _reply, payload) =>
    raw.readableEnded ? Readable.from([]) : payload,
  );
  const routes: Route[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const each of [method].flat()) routes.push({ method: each, url });
  });
  const requireScope = createRequireScope(app, deps);

  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "adtally",
        version: deps.version,
        description:
          "Counts every ad click exactly once. Ids are unsigned 64-bit, as decimal strings; times are " +
          "RFC 3339 in UTC; every refusal is an RFC 9457 problem document with a stable code.",
      },
      components: {
        securitySchemes: { key: { type: "http", scheme: "bearer", description: "An API key." } },
      },
    },
  });
  measureRequests(app, deps.metrics);
  app.register(systemRoutes(deps));
  return { app, requireScope, routes };
}

function createFastify(
  certificates: Certificates<ServerFiles> | undefined,
  options: FastifyServerOptions,
): FastifyInstance {
  if (certificates === undefined) return fastify(options);
  const https = httpsOptions(certificates, "anyone");
  // Routes and hooks do not tell the two kinds of server apart, so neither do the types here.
  const app = fastify({ ...options, https } as FastifyServerOptions);
  renewHttps(app.server as unknown as HttpsServer, certificates, "anyone");
  return app;
}

function takeJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body: Buffer, done) => {
    if (!isUtf8(body)) {
      done(new HttpProblem(400, "BODY_NOT_UTF8", "the body is not valid UTF-8"));
      return;
    }
    try {
      done(null, JSON.parse(body.toString()));
    } catch (error) {
      done(new HttpProblem(400, "BODY_NOT_JSON", `the body is not JSON: ${messageOf(error)}`));
    }
  });
}

function refuseBadUrl(url: string): void {
  if (!url.includes("%")) return;
  if (url.includes("%00")) throw new HttpProblem(400, "URL_MALFORMED", "the URL has a NUL (%00)");
  try {
    decodeURIComponent(url);
  } catch {
    throw new HttpProblem(400, "URL_MALFORMED", "the URL is not valid percent-encoded UTF-8");
  }
}
