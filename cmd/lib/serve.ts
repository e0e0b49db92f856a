/** HTTP of programs other than the gateway's clicks: the API's framework with a server of its own. */
import type { FastifyInstance } from "fastify";
import type { AuthDeps } from "../../actors/adapters/http/auth.ts";
import { createApi, type Api } from "../../actors/adapters/http/api.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import type { ServerFiles } from "../../actors/adapters/tls/material.ts";
import { listenError } from "../../actors/runtime/listen-error.ts";
import type { Program } from "./program.ts";

/** /healthz, /startupz, /readyz, /metrics and /openapi.json; more routes can be registered until it listens. */
export function createProgramApi(
  program: Program<unknown>,
  auth: AuthDeps = { authenticate: () => undefined },
  /** With: the server that `listenHttp` makes speaks HTTPS, with anyone. */
  certificates?: Certificates<ServerFiles>,
): Api {
  const { life, limits, logger, metrics, version } = program;
  const deps = {
    limits,
    logger,
    metrics,
    version,
    ...auth,
    readiness: life.readiness,
    isUp: () => life.isUp,
  };
  return createApi(certificates === undefined ? deps : { ...deps, certificates });
}

/** @throws PORT_IN_USE, CONFIG_INVALID, naming the flag */
export async function listenHttp(
  app: FastifyInstance,
  host: string,
  port: number,
  flag: string,
): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw listenError({ what: "HTTP", host, port, portFlag: flag }, error as NodeJS.ErrnoException);
  }
  const bound = app.server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}

/** The admin port of a program without an API of its own; the last to stop. */
export async function serveAdmin(
  program: Program<{ readonly host: string; readonly adminPort: number }>,
): Promise<number> {
  const { config, life } = program;
  const { app } = createProgramApi(program);
  life.onStop("the admin port", () => app.close());
  return listenHttp(app, config.host, config.adminPort, "--admin-port");
}
