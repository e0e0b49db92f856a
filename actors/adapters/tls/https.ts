/** HTTPS from certificates that renew, for servers of node:https and frameworks above it. */
import type { Server, ServerOptions } from "node:https";
import type { TLSSocket } from "node:tls";
import { peerFault } from "./names.ts";
import type { Certificates } from "./certificates.ts";
import type { ServerFiles } from "./material.ts";
import type { Program } from "./names.ts";

/**
 * What to make the server with. `callers`: "anyone" for browsers, which show no certificate;
 * programs of ours, where nobody else may connect.
 */
export function httpsOptions(certificates: Certificates<ServerFiles>, callers: "anyone"): ServerOptions;
export function httpsOptions(
  certificates: Certificates,
  callers: readonly Program[] | "anyone",
): ServerOptions;
export function httpsOptions(
  certificates: Certificates<ServerFiles>,
  callers: readonly Program[] | "anyone",
): ServerOptions {
  const { ca, cert, key } = certificates.current;
  if (callers === "anyone") return { cert, key };
  return { ca, cert, key, requestCert: true, rejectUnauthorized: true };
}

/** Keeps the server's certificates current until it closes, and lets in none but `callers`. */
export function renewHttps(server: Server, certificates: Certificates<ServerFiles>, callers: "anyone"): void;
export function renewHttps(
  server: Server,
  certificates: Certificates,
  callers: readonly Program[] | "anyone",
): void;
export function renewHttps(
  server: Server,
  certificates: Certificates<ServerFiles>,
  callers: readonly Program[] | "anyone",
): void {
  const end = certificates.subscribe(({ ca, cert, key }) =>
    server.setSecureContext(callers === "anyone" ? { cert, key } : { ca, cert, key }),
  );
  server.once("close", end);
  if (callers === "anyone") return;
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    const peer = socket.getPeerCertificate();
    if (peerFault(peer, callers) !== undefined) socket.destroy();
  });
}
