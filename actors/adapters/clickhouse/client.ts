/**
 * The one way to ClickHouse: @clickhouse/client with our deadlines, bounds, retries and errors.
 * Sink, ingester, migrations and reports use it; the server may be embedded or real.
 *
 *  K1 Every call ends by its deadline, retries included.
 *  K2 Reads and inserts are tried again where that can help (errors.ts): every insert of adtally
 *     may be repeated. Statements are tried once: a DDL's repetition is its caller's decision.
 *  K3 A failure is COUNT_SINK_UNAVAILABLE or COUNT_SINK_REJECTED, with ClickHouse's own words.
 */
import { Readable, addAbortSignal } from "node:stream";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { createAgent } from "./agent.ts";
import { certificateLogin, resolveOptions, type ClickHouseOptions } from "./options.ts";
import { withRetries } from "./retry.ts";
import { insertSettings, type Topology } from "./topology.ts";

export type Parameters = Readonly<Record<string, unknown>>;
export type Settings = Readonly<Record<string, string | number>>;

export interface InsertOptions {
  readonly parameters?: Parameters;
  readonly settings?: Settings;
}

export interface ClickHouse {
  /** Where its tables lie; migrations and inserts go by it. */
  readonly topology: Topology;
  /** A statement without a result. */
  command(sql: string, parameters?: Parameters, settings?: Settings): Promise<void>;
  /** Rows as objects; 64-bit integers come as decimal strings. */
  rows<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  /** A query's whole result in the format that `sql` ends with. */
  bytes(sql: string, parameters?: Parameters): Promise<Buffer>;
  /** `sql` ends with FORMAT and the format's name; the bytes go as they are. */
  insertBytes(sql: string, bytes: readonly Uint8Array[], options?: InsertOptions): Promise<void>;
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

interface Asked {
  readonly parameters?: Parameters | undefined;
  readonly settings?: Settings | undefined;
  readonly values?: readonly Uint8Array[];
}

/**
 * The server answers when it has the whole answer: what fails half way is an error, not a short
 * result with the error's text behind it.
 */
const WHOLE_ANSWER: Settings = { wait_end_of_query: 1 };
const JSON_FORM: Settings = {
  output_format_json_quote_64bit_integers: 1,
  // A user agent may be any bytes.
  output_format_json_validate_utf8: 1,
};

/** @throws CONFIG_INVALID */
export function connectClickHouse(options: ClickHouseOptions): ClickHouse {
  const resolved = resolveOptions(options);
  const { deadlineMs, username, password, topology } = resolved;
  const login = certificateLogin(resolved);
  const { agent, heard } = createAgent(resolved);
  let closed = false;
  const client = createClient({
    url: resolved.url,
    ...(login === undefined ? { username, password } : { set_basic_auth_header: false, http_headers: login }),
    application: "adtally",
    // Every failure is thrown; the caller logs what it does not handle.
    log: { level: ClickHouseLogLevel.OFF },
    request_timeout: deadlineMs,
    // Also bounds the sockets, and knows the certificates.
    http_agent: agent,
    keep_alive: {
      enabled: true,
      idle_socket_ttl: resolved.idleSocketMs,
      // A process whose event loop was held up would else use a socket long past its time.
      eagerly_destroy_stale_sockets: true,
    },
    compression: { request: false, response: false },
  });
  // The server itself refuses what writes.
  const access: Settings = resolved.readOnly ? { readonly: "2" } : {};

  /** One request; its whole answer. */
  async function ask(sql: string, asked: Asked, signal: AbortSignal): Promise<Buffer> {
    const { parameters, settings, values } = asked;
    const { stream, response_headers } = await client.exec({
      query: sql,
      ...(parameters === undefined ? {} : { query_params: { ...parameters } }),
      ...(values === undefined ? {} : { values: Readable.from(values, { objectMode: false }) }),
      clickhouse_settings: { ...settings, ...access },
      abort_signal: signal,
    });
    heard(response_headers);
    // The client's own signal ends with the answer's head.
    addAbortSignal(signal, stream);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }
  const retrying = (doing: string, sql: string, asked: Asked, attempts = resolved.attempts) =>
    withRetries({ ...resolved, attempts, doing, isClosed: () => closed }, (signal) =>
      ask(sql, asked, signal),
    );
  const readSettings: Settings = {
    ...WHOLE_ANSWER,
    // The server need not go on with a query that nobody waits for any more.
    cancel_http_readonly_queries_on_client_close: 1,
    max_execution_time: Math.ceil(deadlineMs / 1000),
  };

  return {
    topology,
    async command(sql, parameters, settings) {
      await retrying(
        "a statement",
        sql,
        { parameters, settings: { ...insertSettings(topology), ...settings, ...WHOLE_ANSWER } },
        1,
      );
    },
    async rows<Row>(sql: string, parameters?: Parameters) {
      const lines = await retrying("a query", `${sql}\nFORMAT JSONEachRow`, {
        parameters,
        settings: { ...readSettings, ...JSON_FORM },
      });
      return lines
        .toString("utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Row);
    },
    bytes: (sql, parameters) => retrying("a query", sql, { parameters, settings: readSettings }),
    async insertBytes(sql, bytes, { parameters, settings } = {}) {
      await retrying("an insert", sql, {
        parameters,
        settings: { ...insertSettings(topology), ...settings },
        values: bytes,
      });
    },
    async ping() {
      const { success } = await client.ping();
      return success;
    },
    close() {
      closed = true;
      return client.close();
    },
  };
}
