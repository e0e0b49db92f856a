/**
 * ClickHouse's HTTP interface in front of the embedded engine: what @clickhouse/client, curl
 * and Grafana use of it, with the real server's codes, statuses and headers.
 *
 *  H1 A query over GET changes nothing (code 164 otherwise).
 *  H2 A web page of another origin cannot reach the engine through its visitor's browser.
 *  H3 An INSERT runs only when its body has arrived whole.
 *  H4 Bodies, results, running and waiting queries and open sockets are bounded.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { readQuery, type BodyOptions, type InsertFile } from "./body.ts";
import type { ConnectionPool, EngineResult } from "./connection-pool.ts";
import { EngineError, asEngineError, httpStatusOf, readOnlyRefused } from "./errors.ts";
import { readRequest, type QueryRequest } from "./request.ts";
import type { Statement } from "./statement.ts";

export interface HttpServerOptions extends BodyOptions {
  readonly pool: ConnectionPool;
  readonly version: string;
  readonly timezone: string;
  readonly newQueryId: () => string;
}

const READING_VERBS = new Set([
  "",
  "SELECT",
  "WITH",
  "FROM",
  "SHOW",
  "DESCRIBE",
  "DESC",
  "EXPLAIN",
  "EXISTS",
  "CHECK",
  "SET",
  "USE",
]);
const HELP = "Use / or /ping for health checks.\nOr /replicas_status for more sophisticated health checks.\n";
const DISPLAY_NAME = "adtally-embedded";
const compress = promisify(gzip);

const quote = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The head of an INSERT, its data replaced by the file that holds them. */
export function insertFromFile(head: string, statement: Statement, path: string): string {
  const { insert } = statement;
  if (insert === undefined) return head;
  if (insert.input !== undefined) {
    const source = `file(${quote(path)}, ${quote(insert.format)}, ${quote(insert.input.structure)})`;
    return head.slice(0, insert.input.start) + source + head.slice(insert.input.end, insert.formatAt);
  }
  const settings = head.slice(insert.infileAt, insert.formatAt);
  return `${head.slice(0, insert.infileAt)} FROM INFILE ${quote(path)} ${settings} FORMAT ${insert.format}`;
}

function contentType(format: string): string {
  if (format.startsWith("JSON")) return "application/json; charset=UTF-8";
  if (format.startsWith("CSV")) return "text/csv; charset=UTF-8; header=absent";
  if (/^(TabSeparated|TSV)/.test(format)) return "text/tab-separated-values; charset=UTF-8";
  return /^(RowBinary|Native|Parquet|Arrow|ORC|Avro|MsgPack)/.test(format)
    ? "application/octet-stream"
    : "text/plain; charset=UTF-8";
}

function checkAllowed(statement: Statement, asked: QueryRequest, readOnly: boolean): void {
  if (readOnly && (statement.hasInsert || !READING_VERBS.has(statement.verb)))
    throw readOnlyRefused("Over GET, or with readonly=1, only reading is allowed: use POST.");
  for (const name of statement.parameters) {
    if (!asked.parameters.has(name))
      throw new EngineError(456, "UNKNOWN_QUERY_PARAMETER", `Substitution \`${name}\` is not set.`);
  }
}

function summary(result: EngineResult, written: boolean): string {
  const [rows, bytes] = [String(result.rowsRead), String(result.bytesRead)];
  return JSON.stringify({
    read_rows: rows,
    read_bytes: bytes,
    written_rows: written ? rows : "0",
    written_bytes: written ? bytes : "0",
    total_rows_to_read: "0",
    result_rows: written ? "0" : rows,
    result_bytes: written ? "0" : bytes,
    elapsed_ns: String(Math.round(result.elapsed * 1e9)),
  });
}

/** Whether an origin is this machine's own; no origin is no page. */
function isHere(origin: string | undefined): boolean {
  if (origin === undefined) return true;
  return URL.canParse(origin) && ["127.0.0.1", "localhost", "[::1]"].includes(new URL(origin).hostname);
}

export function createHttpServer(options: HttpServerOptions): Server {
  const { pool, limits, version, timezone, newQueryId } = options;

  function plain(response: ServerResponse, status: number, text: string): void {
    response.writeHead(status, { "Content-Type": "text/plain; charset=UTF-8" }).end(text);
  }

  function fail(request: IncomingMessage, response: ServerResponse, error: EngineError): void {
    if (response.destroyed || response.headersSent) return;
    // A refused body may still be on its way: the socket cannot be used again.
    if (!request.complete) response.setHeader("Connection", "close");
    response.setHeader("X-ClickHouse-Exception-Code", String(error.code));
    plain(response, httpStatusOf(error.errorName), `${error.message} (version ${version} (embedded))\n`);
  }

  async function answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const asked = readRequest(request, url, newQueryId);
    response.setHeader("X-ClickHouse-Query-Id", asked.queryId);
    const readOnly = request.method !== "POST" || asked.readOnly;
    let file: InsertFile | undefined;
    try {
      const query = await readQuery(request, asked.urlQuery, options);
      file = query.file;
      const { statement } = query;
      if (statement.verb === "" && query.text.trim() === "") {
        if (request.method !== "POST") return plain(response, 200, "Ok.\n");
        throw new EngineError(62, "SYNTAX_ERROR", "Syntax error: Empty query");
      }
      checkAllowed(statement, asked, readOnly);
      if (statement.reachesOutside !== undefined) {
        const detail = `${statement.reachesOutside}() is not allowed here: send the data with an INSERT`;
        throw new EngineError(497, "ACCESS_DENIED", detail);
      }
      const format = statement.outputFormat ?? asked.defaultFormat;
      const result = await pool.run({
        sql: file === undefined ? query.text : insertFromFile(query.text, statement, file.path),
        format,
        database: asked.database,
        settings: asked.settings,
        parameters: asked.parameters,
        readOnly,
        spoilsSession: ["SET", "USE"].includes(statement.verb) || statement.isTemporary,
      });
      const bytes = result.bytes();
      response.setHeader("Content-Type", contentType(format));
      response.setHeader("X-ClickHouse-Format", format);
      response.setHeader("X-ClickHouse-Summary", summary(result, statement.hasInsert));
      if (asked.gzipResponse) {
        response.setHeader("Content-Encoding", "gzip");
        response.end(await compress(bytes, { level: 3 }));
      } else response.end(bytes);
    } finally {
      await file?.remove();
    }
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const site = request.headers["sec-fetch-site"];
    if (site === "cross-site" || site === "same-site" || !isHere(request.headers.origin))
      return plain(response, 403, "Requests from pages of another origin are refused.\n");
    // A name that a stranger's DNS points here is not this machine's (DNS rebinding).
    if (!isHere(`http://${request.headers.host ?? "localhost"}`))
      return plain(response, 403, "Ask by 127.0.0.1 or localhost: another name is refused.\n");
    const url = new URL(request.url ?? "/", "http://engine");
    if (url.pathname === "/ping") return plain(response, 200, "Ok.\n");
    if (url.pathname === "/replicas_status") return plain(response, 200, "Ok.\n");
    if (url.pathname !== "/") return plain(response, 404, `There is no handle ${url.pathname}\n\n${HELP}`);
    if (request.method !== "GET" && request.method !== "HEAD" && request.method !== "POST")
      return plain(response, 405, "GET, HEAD or POST is expected.\n");
    response.setHeader("X-ClickHouse-Server-Display-Name", DISPLAY_NAME);
    response.setHeader("X-ClickHouse-Timezone", timezone);
    return answer(request, response, url);
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      fail(request, response, asEngineError(error));
    });
  });
  server.keepAliveTimeout = limits.keepAliveMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.maxConnections = limits.maxSockets;
  return server;
}
