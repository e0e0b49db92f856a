/**
 * The one way to ClickHouse: @clickhouse/client with our deadlines, bounds and errors.
 * Sink, ingester, migrations and reports use it; the server may be embedded or real.
 */
import { Readable } from "node:stream";
import { ClickHouseError, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { AdtallyError, messageOf } from "../../core/errors.ts";

export interface ClickHouseAddress {
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
}

export type Parameters = Readonly<Record<string, unknown>>;

export interface InsertOptions {
  readonly parameters?: Parameters;
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface ClickHouse {
  /** A statement without a result. */
  command(sql: string, parameters?: Parameters): Promise<void>;
  /** Rows as objects; 64-bit integers come as decimal strings. */
  rows<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  /** A query's whole result in the format that `sql` ends with. */
  bytes(sql: string, parameters?: Parameters): Promise<Buffer>;
  /** `sql` ends with FORMAT and the format's name; the bytes go as they are. */
  insertBytes(sql: string, bytes: readonly Uint8Array[], options?: InsertOptions): Promise<void>;
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

const REQUEST_DEADLINE_MS = 30_000;
const MAX_SOCKETS = 8;

/** Names of ClickHouse's errors after which the same request may succeed. */
const RETRYABLE = new Set([
  "ABORTED",
  "ALL_CONNECTION_TRIES_FAILED",
  "CANNOT_OPEN_FILE",
  "CANNOT_SCHEDULE_TASK",
  "KEEPER_EXCEPTION",
  "MEMORY_LIMIT_EXCEEDED",
  "NETWORK_ERROR",
  "NOT_ENOUGH_SPACE",
  "NO_ZOOKEEPER",
  "QUERY_WAS_CANCELLED",
  "SOCKET_TIMEOUT",
  "TABLE_IS_READ_ONLY",
  "TIMEOUT_EXCEEDED",
  "TOO_FEW_LIVE_REPLICAS",
  "TOO_MANY_PARTS",
  "TOO_MANY_SIMULTANEOUS_QUERIES",
]);

export function asSinkError(error: unknown, doing: string): AdtallyError {
  if (error instanceof AdtallyError) return error;
  if (error instanceof ClickHouseError && !RETRYABLE.has(error.type ?? ""))
    return new AdtallyError(
      "COUNT_SINK_REJECTED",
      `ClickHouse refused ${doing}: code ${error.code} ${error.type ?? ""}: ${error.message}`,
      { cause: error },
    );
  const why = error instanceof ClickHouseError ? `${error.type}: ${error.message}` : messageOf(error);
  return new AdtallyError("COUNT_SINK_UNAVAILABLE", `ClickHouse did not take ${doing}: ${why}`, {
    cause: error,
  });
}

export function connectClickHouse(address: ClickHouseAddress): ClickHouse {
  const client = createClient({
    url: address.url,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    application: "adtally",
    // Every failure is thrown; the caller logs what it does not handle.
    log: { level: ClickHouseLogLevel.OFF },
    request_timeout: REQUEST_DEADLINE_MS,
    max_open_connections: MAX_SOCKETS,
    // Below the server's own keep-alive, so that a socket is never used just as it is closed.
    keep_alive: { enabled: true, idle_socket_ttl: 2_500 },
    compression: { request: false, response: false },
    clickhouse_settings: {
      output_format_json_quote_64bit_integers: 1,
      // A user agent may be any bytes.
      output_format_json_validate_utf8: 1,
    },
  });

  return {
    async command(sql, parameters) {
      try {
        await client.command({
          query: sql,
          ...(parameters === undefined ? {} : { query_params: { ...parameters } }),
        });
      } catch (error) {
        throw asSinkError(error, "a statement");
      }
    },
    async rows<Row>(sql: string, parameters?: Parameters) {
      try {
        const result = await client.query({
          query: sql,
          format: "JSONEachRow",
          ...(parameters === undefined ? {} : { query_params: { ...parameters } }),
        });
        return await result.json<Row>();
      } catch (error) {
        throw asSinkError(error, "a query");
      }
    },
    async bytes(sql, parameters) {
      try {
        const { stream } = await client.exec({
          query: sql,
          ...(parameters === undefined ? {} : { query_params: { ...parameters } }),
          // The server answers when it has all of it: a query that fails half way is an error, not
          // a short result with the error's text behind it.
          clickhouse_settings: { wait_end_of_query: 1 },
        });
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks);
      } catch (error) {
        throw asSinkError(error, "a query");
      }
    },
    async insertBytes(sql, bytes, { parameters, settings } = {}) {
      try {
        const { stream } = await client.exec({
          query: sql,
          values: Readable.from(bytes, { objectMode: false }),
          ...(parameters === undefined ? {} : { query_params: { ...parameters } }),
          ...(settings === undefined ? {} : { clickhouse_settings: { ...settings } }),
        });
        for await (const chunk of stream) void chunk;
      } catch (error) {
        throw asSinkError(error, "an insert");
      }
    },
    async ping() {
      const { success } = await client.ping();
      return success;
    },
    close: () => client.close(),
  };
}
