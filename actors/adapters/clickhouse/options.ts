/**
 * How a ClickHouse server is reached: address, rights, certificates, patience. Programs fill
 * these from their configuration; the embedded engine needs the URL alone.
 */
import { AdtallyError } from "../../core/errors.ts";
import { systemClock, systemRandom, type Clock, type RandomBytes } from "../../runtime/clock.ts";
import type { Certificates } from "../tls/certificates.ts";
import type { AnyFiles } from "../tls/material.ts";
import { SINGLE_SERVER, checkTopology, type Topology } from "./topology.ts";

export interface ClickHouseOptions {
  /** http(s)://host:port, and nothing behind it. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /**
   * Authority of the server's certificate (without: the ones that Node knows); a client certificate,
   * which with no password is the login as well.
   */
  readonly certificates?: Certificates<AnyFiles>;
  /** A single server, unless this says otherwise. */
  readonly topology?: Topology;
  /** Only for reading: the server refuses writes, whoever the user is. */
  readonly readOnly?: boolean;
  /** One call, its retries included. */
  readonly deadlineMs?: number;
  /** Tries of one call at the most. */
  readonly attempts?: number;
  readonly maxSockets?: number;
  /**
   * An idle socket is closed after this, or a second before the time that the server's
   * Keep-Alive header names, so that no request goes into a socket that is just being closed.
   */
  readonly idleSocketMs?: number;
  readonly clock?: Clock;
  readonly random?: RandomBytes;
}

export interface ResolvedOptions extends Required<Omit<ClickHouseOptions, "certificates">> {
  readonly certificates: Certificates<AnyFiles> | undefined;
}

const invalid = (what: string): AdtallyError => new AdtallyError("CONFIG_INVALID", `ClickHouse: ${what}`);

/** @throws CONFIG_INVALID */
export function resolveOptions(options: ClickHouseOptions): ResolvedOptions {
  const { certificates, username = "default", password = "" } = options;
  let url: URL;
  try {
    url = new URL(options.url);
  } catch {
    throw invalid("the URL cannot be read; write http://host:8123 or https://host:8443");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw invalid(
      `the URL begins with ${url.protocol}; adtally speaks ClickHouse's HTTP interface: http:// or https://`,
    );
  if (url.username !== "" || url.password !== "")
    throw invalid(
      "the URL holds a user or a password; give them by their own settings, so that no log shows them",
    );
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw invalid(`the URL goes on behind host and port ('${url.pathname}${url.search}'); leave that out`);
  if (certificates !== undefined && url.protocol === "http:")
    throw invalid("certificates are given, but the URL is http://; write https://");
  if (options.topology !== undefined) checkTopology(options.topology);
  return {
    topology: SINGLE_SERVER,
    readOnly: false,
    deadlineMs: 30_000,
    attempts: 4,
    maxSockets: 8,
    idleSocketMs: 2_500,
    clock: systemClock,
    random: systemRandom,
    ...options,
    username,
    password,
    certificates,
  };
}

/** With a client certificate and no password, the certificate is the login. */
export function certificateLogin({
  certificates,
  username,
  password,
}: ResolvedOptions): Record<string, string> | undefined {
  if (certificates?.files.certPath === undefined || password !== "") return undefined;
  return { "X-ClickHouse-User": username, "X-ClickHouse-SSL-Certificate-Auth": "on" };
}
