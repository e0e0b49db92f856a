/** What a request's URL and headers ask for, apart from its body. */
import type { IncomingMessage } from "node:http";
import { EngineError } from "./errors.ts";

export interface QueryRequest {
  /** The URL's query text; empty where the body brings it. */
  readonly urlQuery: string;
  readonly database: string;
  readonly defaultFormat: string;
  readonly queryId: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly parameters: ReadonlyMap<string, string>;
  readonly gzipResponse: boolean;
  /** The setting readonly=1 or 2, which the engine could not take back from a connection. */
  readonly readOnly: boolean;
}

/** Parameters of the HTTP interface that are no settings; accepted and without effect here. */
const ACCEPTED = new Set(
  (
    "query query_id database default_format user password quota_key role stacktrace session_id session_check " +
    "session_timeout close_session buffer_size wait_end_of_query client_protocol_version " +
    "enable_http_compression http_zlib_compression_level send_progress_in_http_headers " +
    "http_headers_progress_interval_ms cancel_http_readonly_queries_on_client_close " +
    "add_http_cors_header max_query_size readonly"
  ).split(" "),
);
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

function refuseName(what: string, name: string): never {
  throw new EngineError(36, "BAD_ARGUMENTS", `${what} '${name}' is not an identifier`);
}

export function readRequest(request: IncomingMessage, url: URL, newQueryId: () => string): QueryRequest {
  if (request.headers["content-type"]?.startsWith("multipart/") === true)
    throw new EngineError(48, "NOT_IMPLEMENTED", "multipart bodies are not supported by the embedded server");
  const settings = new Map<string, string>();
  const parameters = new Map<string, string>();
  const one = (name: string) => url.searchParams.get(name) ?? undefined;
  for (const [name, value] of url.searchParams) {
    if (name.startsWith("param_")) {
      const parameter = name.slice("param_".length);
      if (!PLAIN_NAME.test(parameter)) refuseName("The parameter", parameter);
      parameters.set(parameter, value);
    } else if (name === "compress" || name === "decompress") {
      if (value === "1")
        throw new EngineError(
          48,
          "NOT_IMPLEMENTED",
          `${name}=1 (blocks of the native protocol) is not supported by the embedded server; use gzip over HTTP`,
        );
    } else if (!ACCEPTED.has(name)) {
      if (!PLAIN_NAME.test(name)) refuseName("The setting", name);
      settings.set(name, value);
    }
  }
  const header = (name: string) => request.headers[name]?.toString();
  return {
    urlQuery: one("query") ?? "",
    database: one("database") ?? header("x-clickhouse-database") ?? "default",
    defaultFormat: one("default_format") ?? header("x-clickhouse-format") ?? "TabSeparated",
    queryId: one("query_id") ?? newQueryId(),
    settings,
    parameters,
    readOnly: (one("readonly") ?? "0") !== "0",
    gzipResponse: one("enable_http_compression") === "1" && /\bgzip\b/.test(header("accept-encoding") ?? ""),
  };
}
