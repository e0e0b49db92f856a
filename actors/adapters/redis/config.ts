/** Where Redis is, and how to speak with it. */
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { AdtallyError } from "../../core/errors.ts";

export interface RedisConfig {
  /** redis://[user[:password]@]host[:port][/database]; rediss:// for TLS. */
  readonly url: string;
  /** These take the place of the URL's, so that the secret can come from elsewhere. */
  readonly username?: string;
  readonly password?: string;
  /** Certificates; given, they ask for TLS whatever the URL says. */
  readonly tls?: ConnectionOptions;
  /** Stands before every key and channel; `adtally:` by default. One for each cluster on one Redis. */
  readonly prefix?: string;
}

/** A RedisConfig taken apart. */
export interface RedisPlace {
  readonly host: string;
  readonly port: number;
  readonly database: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ConnectionOptions;
  readonly prefix: string;
  /** host:port, for people: no secret in it. */
  readonly address: string;
}

const DEFAULT_PORT = 6_379;

/** @throws CONFIG_INVALID; the message never repeats the URL, which may hold a password */
export function parseRedisConfig(config: RedisConfig): RedisPlace {
  const { prefix = "adtally:" } = config;
  const url = URL.parse(config.url);
  if (url === null || !["redis:", "rediss:"].includes(url.protocol) || url.hostname === "") {
    throw invalid("the URL must be redis://host:port or, for TLS, rediss://host:port");
  }
  const database = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1];
  if (database === undefined) throw invalid("what follows the URL's host must be a database's number: /0");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? DEFAULT_PORT : Number(url.port);
  const password = config.password ?? secretOf(url.password);
  const username = config.username ?? secretOf(url.username);
  if (username !== undefined && password === undefined) throw invalid("a user is given, but no password");
  const tls = config.tls ?? (url.protocol === "rediss:" ? {} : undefined);
  return {
    host,
    port,
    database: Number(database),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: withName(tls, host) }),
    prefix,
    address: `${url.hostname}:${port}`,
  };
}

/**
 * Node asks for no name by itself; a server with several certificates would present any of them.
 * Getters stay getters: certificates that renew are read anew for each connection.
 */
function withName(tls: ConnectionOptions, host: string): ConnectionOptions {
  const named: ConnectionOptions = isIP(host) === 0 ? { servername: host } : {};
  return Object.defineProperties(named, Object.getOwnPropertyDescriptors(tls)) as ConnectionOptions;
}

function secretOf(part: string): string | undefined {
  if (part === "") return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid("the URL's user or password is not percent-encoded");
  }
}

function invalid(what: string): AdtallyError {
  return new AdtallyError("CONFIG_INVALID", `redis: ${what}`);
}
