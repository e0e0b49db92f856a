/**
 * The way to adtally's HTTP API: a key, a deadline, and every refusal as a Failure that says what
 * was asked of whom.
 */
import { messageOf } from "../../actors/core/errors.ts";
import { EXIT, Failure, type ExitCode } from "./failure.ts";

export type Method = "GET" | "POST" | "DELETE";

export interface Service {
  readonly name: string;
  readonly url: string;
  /** The answer's JSON; undefined where it is empty. @throws Failure */
  ask<T>(method: Method, path: string, body?: object): Promise<T>;
  /** The answer as it is, whatever its status; its body may go on for ever. @throws Failure of unreachable */
  open(path: string, more?: OpenOptions): Promise<Response>;
}

export interface OpenOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface ServiceOptions {
  readonly name: string;
  readonly url: string;
  readonly key: string | undefined;
  readonly timeoutMs: number;
  /** Flag that says where it is. */
  readonly flag: string;
}

interface Problem {
  readonly code?: unknown;
  readonly detail?: unknown;
}

const exitOf = (status: number): ExitCode => {
  if (status === 401 || status === 403) return EXIT.forbidden;
  if (status === 404) return EXIT.missing;
  return status === 502 || status === 503 || status === 504 ? EXIT.unreachable : EXIT.failed;
};

function remedyOf(status: number, code: string, name: string): string | undefined {
  if (status === 401) return "give a key: --key, --key-file, ADTALLY_KEY, or key in the file of --config";
  if (status === 403) return "take a key with that scope: adtally keys create makes one, with an admin's key";
  if (code === "ROUTE_NOT_FOUND")
    return `is the URL right, and is the ${name} of this version? --url names a gateway, --query-url a query service`;
  return status >= 500 ? "adtally doctor looks for what is wrong" : undefined;
}

/** What a refusal says. */
export async function refusalOf(response: Response, where: string, name: string): Promise<Failure> {
  const text = await response.text().catch(() => "");
  let problem: Problem = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) problem = parsed;
  } catch {
    // Not adtally's own words: a proxy's page.
  }
  const { status } = response;
  const code = typeof problem.code === "string" ? problem.code : `HTTP_${status}`;
  const detail =
    typeof problem.detail === "string" ? problem.detail : `the answer is ${status}, and not adtally's`;
  const isRoute = code === "ROUTE_NOT_FOUND";
  return new Failure(isRoute ? EXIT.failed : exitOf(status), code, detail, {
    where,
    remedy: remedyOf(status, code, name),
  });
}

const CERTIFICATE = /certificate|CERT_|self.signed|SELF_SIGNED|UNABLE_TO_VERIFY/i;

/** Nobody there, or no answer in time. */
export function unreachable(
  error: unknown,
  where: string,
  { flag, timeoutMs, url }: ServiceOptions,
): Failure {
  const isTimeout = error instanceof Error && error.name === "TimeoutError";
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = isTimeout
    ? `no answer within ${timeoutMs / 1_000} s`
    : (cause as NodeJS.ErrnoException).code === "ECONNREFUSED"
      ? `nothing listens at ${new URL(url).host}`
      : messageOf(cause) || String((cause as NodeJS.ErrnoException).code);
  const remedy = isTimeout
    ? "--timeout-seconds waits longer; adtally doctor looks for what is wrong"
    : CERTIFICATE.test(`${why} ${String((cause as NodeJS.ErrnoException).code)}`)
      ? "--ca names the authority that signed the server's certificate"
      : `start it (npm start), or say where it is: ${flag}`;
  return new Failure(EXIT.unreachable, "UNREACHABLE", why, { where, remedy, cause: error });
}

export function createService(options: ServiceOptions): Service {
  const { key, name, timeoutMs, url } = options;
  const login = key === undefined ? {} : { authorization: `Bearer ${key}` };

  async function send(method: Method, path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`${url}${path}`, { method, redirect: "manual", ...init });
    } catch (error) {
      throw unreachable(error, `${method} ${url}${path}`, options);
    }
  }

  return {
    name,
    url,
    async ask<T>(method: Method, path: string, body?: object): Promise<T> {
      const where = `${method} ${url}${path}`;
      const response = await send(method, path, {
        headers: { ...login, ...(body && { "content-type": "application/json" }) },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (!response.ok) throw await refusalOf(response, where, name);
      let text: string;
      try {
        text = await response.text();
      } catch (error) {
        throw unreachable(error, where, options);
      }
      if (text === "") return undefined as T;
      try {
        return JSON.parse(text) as T;
      } catch {
        throw new Failure(EXIT.failed, "NOT_ADTALLY", "the answer is no JSON: is that adtally?", { where });
      }
    },
    async open(path, { headers = {}, signal } = {}) {
      const waited = new AbortController();
      const timer = setTimeout(() => waited.abort(new DOMException("", "TimeoutError")), timeoutMs);
      const signals = signal === undefined ? [waited.signal] : [waited.signal, signal];
      try {
        return await send("GET", path, {
          headers: { ...login, ...headers },
          signal: AbortSignal.any(signals),
        });
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** `?a=1&b=2` of what is there. */
export function queryString(fields: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given as [string, string][]).toString()}`;
}
