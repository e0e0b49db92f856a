/**
 * The gateway's HTTP server: Node's own, so that a click passes no framework. /click is taken
 * here; every other request goes to the handler given (the API's framework).
 *
 * Node's parser is left strict: what could be read in two ways (two lengths, a length beside
 * chunks, bare line feeds) is answered 400 and the connection closed; headers past the bound
 * 431; headers that do not come 408.
 *
 * A body has no deadline here, as an import may stream for minutes: /click reads none, and the API
 * bounds each of its own. What an answer finds unread is not waited for: the connection closes.
 */
import { createServer, ServerResponse } from "node:http";
import { Server as NetServer } from "node:net";
import { createServer as createHttpsServer } from "node:https";
import { listenError } from "../../runtime/listen-error.ts";
import { httpsOptions, renewHttps } from "../tls/https.ts";
import { isClick } from "./click-request.ts";
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, Server } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Certificates } from "../tls/certificates.ts";
import type { ServerFiles } from "../tls/material.ts";
import type { ClickHandler } from "./click-handler.ts";

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

export interface ClickServerDeps {
  readonly clicks: ClickHandler;
  readonly others: HttpHandler;
  /**
   * While true, each answer closes its connection, though new ones are still taken: whoever balances
   * between servers is being told to send nothing more here, and keeps the connections that are open.
   */
  readonly isLeaving?: () => boolean;
  readonly clock: Clock;
  readonly limits: Limits;
  /** With: HTTPS for anyone. Without: plain HTTP, as behind a balancer that ends TLS. */
  readonly certificates?: Certificates<ServerFiles>;
}

export interface ClickServer {
  readonly server: Server | HttpsServer;
  /** Serves on `host:port`, port 0 for any, and resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  listen(host: string, port: number): Promise<number>;
  /**
   * No new connections; requests under way are answered, also those that come on connections that
   * are open, for `httpIdleGraceMs`. What is left at `drainDeadlineMs` is cut off.
   */
  drain(): Promise<void>;
}

function isBodyPending({ headers, complete }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return !complete && ((length !== undefined && length !== "0") || "transfer-encoding" in headers);
}

export function createClickServer(deps: ClickServerDeps): ClickServer {
  const { clicks, others, clock, limits, certificates, isLeaving = () => false } = deps;
  let draining = false;

  /** Tells the client, with the last answer on its connection, not to send another request. */
  class Response extends ServerResponse {
    override writeHead(status: number, message?: string | Headers, headers?: Headers): this {
      if (draining || isLeaving() || isBodyPending(this.req)) this.shouldKeepAlive = false;
      // Without a message, Node takes the headers from its place.
      return super.writeHead(status, message as string, headers);
    }
  }

  const options = {
    ServerResponse: Response,
    maxHeaderSize: limits.httpHeaderMaxBytes,
    headersTimeout: limits.httpHeadersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: limits.httpKeepAliveMs,
    // How soon after those times a connection is found out.
    connectionsCheckingInterval: Math.ceil(limits.httpHeadersTimeoutMs / 4),
    insecureHTTPParser: false,
    // A request without a body has no stream to be set up, drained and closed: most clicks are such.
    optimizeEmptyRequests: true,
    noDelay: true,
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (isClick(request.url ?? "")) clicks(request, response);
    else others(request, response);
  };
  let server: Server | HttpsServer;
  if (certificates === undefined) server = createServer(options, onRequest);
  else {
    // A handshake has as long as a request's headers have.
    const tls = { ...httpsOptions(certificates, "anyone"), handshakeTimeout: limits.httpHeadersTimeoutMs };
    const secure = createHttpsServer({ ...options, ...tls }, onRequest);
    renewHttps(secure, certificates, "anyone");
    server = secure;
  }
  server.maxConnections = limits.httpMaxConnections;

  return {
    server,
    listen(host, port) {
      return new Promise((resolve, reject) => {
        server.once("error", (error: Error) => {
          reject(listenError({ what: "HTTP", host, port, portFlag: "--http-port" }, error));
        });
        server.listen(port, host, () => {
          const address = server.address();
          resolve(typeof address === "object" && address !== null ? address.port : port);
        });
      });
    },
    drain() {
      draining = true;
      return new Promise((resolve) => {
        const last = clock.after(limits.drainDeadlineMs, () => server.closeAllConnections());
        const idle = clock.after(Math.min(limits.httpIdleGraceMs, limits.drainDeadlineMs), () =>
          server.closeIdleConnections(),
        );
        // Node's HTTP server would cut idle connections at once, and the requests on their way in them.
        NetServer.prototype.close.call(server, () => {
          last.cancel();
          idle.cancel();
          resolve();
        });
      });
    },
  };
}
