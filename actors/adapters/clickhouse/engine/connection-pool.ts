/**
 * The engine's connections. One connection runs one query at a time, and keeps its settings
 * from query to query; this pool owns both facts. The HTTP server calls `run`, nobody else.
 *
 *  E1 A query sees exactly its own database, settings and parameters: a connection remembers
 *     what was set on it, and sets back what the next query does not name.
 *  E2 At most maxRunning queries run and maxWaiting wait; the next one is refused at once.
 *  E3 A caller is answered by its deadline. The engine cannot be interrupted, so a connection
 *     whose query is overdue comes back only when that query has really ended.
 *  E4 A read-only query runs on a connection that the engine itself holds to readonly = 2.
 *  E5 What a statement leaves behind in its session (SET, USE, a temporary table) ends with it.
 *  E6 An engine that has failed for good is reported, so that its process can be replaced.
 */
import type { Clock } from "../../../runtime/clock.ts";
import type { EngineError } from "./errors.ts";
import { asEngineError, shuttingDown, timedOut, tooManyQueries } from "./errors.ts";
import type { EngineLimits } from "./limits.ts";

/** The part of chdb's Session that is used here. */
export interface EngineSession {
  queryAsync(sql: string, options: { format: string }): Promise<EngineResult>;
  close(): void;
}

export interface EngineResult {
  readonly elapsed: number;
  readonly rowsRead: number;
  readonly bytesRead: number;
  bytes(): Uint8Array;
}

export interface Query {
  readonly sql: string;
  readonly format: string;
  readonly database: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly parameters: ReadonlyMap<string, string>;
  readonly readOnly: boolean;
  /** True where the statement changes its session. */
  readonly spoilsSession: boolean;
}

interface Connection {
  readonly session: EngineSession;
  readonly readOnly: boolean;
  database: string;
  settings: Map<string, string>;
}

interface Waiter {
  readonly start: () => void;
  readonly refuse: (error: EngineError) => void;
}

export interface ConnectionPool {
  run(query: Query): Promise<EngineResult>;
  /** Queries running now; an overdue one counts until the engine has ended it. */
  running(): number;
  /** Refuses new queries and resolves when the last one has ended. */
  drain(): Promise<void>;
}

export interface PoolOptions {
  readonly openSession: () => EngineSession;
  readonly limits: EngineLimits;
  readonly clock: Clock;
  readonly onFatal: (error: EngineError) => void;
}

/** How the engine answers every query once it has failed for good. */
const FATAL = /shutting down due to a fatal error/;

const quote = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
const quoteName = (name: string): string => `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;

export function createConnectionPool({ openSession, limits, clock, onFatal }: PoolOptions): ConnectionPool {
  const idle: Connection[] = [];
  const waiting: Waiter[] = [];
  let busy = 0;
  let drained: (() => void) | undefined;
  let isDraining = false;

  const execute = (connection: Connection, sql: string) =>
    connection.session.queryAsync(sql, { format: "TabSeparated" });

  async function open(readOnly: boolean): Promise<Connection> {
    const connection: Connection = {
      session: openSession(),
      readOnly,
      database: "default",
      settings: new Map(),
    };
    const base = `max_result_bytes = ${limits.maxResultBytes}${readOnly ? ", readonly = 2" : ""}`;
    await execute(connection, `SET ${base}`);
    return connection;
  }

  async function takeConnection(readOnly: boolean): Promise<Connection> {
    const fits = idle.findLastIndex((connection) => connection.readOnly === readOnly);
    if (fits >= 0) return idle.splice(fits, 1)[0]!;
    // All that are open count against the bound: one of the other kind makes room.
    if (idle.length + busy > limits.maxRunning) idle.shift()?.session.close();
    return open(readOnly);
  }

  /** E1. Parameters cannot be unset, but the server refuses a query that does not bring its own. */
  async function prepare(connection: Connection, query: Query, deadlineMs: number): Promise<void> {
    const wanted = new Map(query.settings);
    wanted.set("max_execution_time", String(deadlineMs / 1000));
    const changes: string[] = [];
    for (const name of connection.settings.keys()) {
      if (wanted.has(name)) continue;
      changes.push(`${name} = DEFAULT`);
      connection.settings.delete(name);
    }
    for (const [name, value] of wanted) {
      if (connection.settings.get(name) !== value) changes.push(`${name} = ${quote(value)}`);
    }
    for (const [name, value] of query.parameters) changes.push(`param_${name} = ${quote(value)}`);
    if (changes.length > 0) await execute(connection, `SET ${changes.join(", ")}`);
    connection.settings = wanted;
    if (connection.database !== query.database) {
      await execute(connection, `USE ${quoteName(query.database)}`);
      connection.database = query.database;
    }
  }

  function release(connection: Connection | undefined, keep: boolean): void {
    busy -= 1;
    if (connection !== undefined) {
      if (keep && !isDraining) idle.push(connection);
      else connection.session.close();
    }
    waiting.shift()?.start();
    if (busy === 0) drained?.();
  }

  async function execution(query: Query, deadlineMs: number): Promise<EngineResult> {
    let connection: Connection | undefined;
    let keep = false;
    try {
      connection = await takeConnection(query.readOnly);
      await prepare(connection, query, deadlineMs);
      keep = !query.spoilsSession;
      return await connection.session.queryAsync(query.sql, { format: query.format });
    } catch (error) {
      const failure = asEngineError(error);
      if (FATAL.test(failure.message)) onFatal(failure);
      throw failure;
    } finally {
      release(connection, keep);
    }
  }

  function admit(query: Query): Promise<void> {
    if (isDraining) return Promise.reject(shuttingDown());
    if (busy < limits.maxRunning) {
      busy += 1;
      return Promise.resolve();
    }
    if (waiting.length >= limits.maxWaiting)
      return Promise.reject(tooManyQueries(limits.maxRunning + limits.maxWaiting));
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        start: () => {
          timer.cancel();
          busy += 1;
          resolve();
        },
        refuse: (error) => {
          timer.cancel();
          reject(error);
        },
      };
      const timer = clock.after(deadlineOf(query), () => {
        waiting.splice(waiting.indexOf(waiter), 1);
        reject(timedOut(deadlineOf(query) / 1000));
      });
      waiting.push(waiter);
    });
  }

  function deadlineOf(query: Query): number {
    const asked = Number(query.settings.get("max_execution_time") ?? 0) * 1000;
    return asked > 0 ? Math.min(asked, limits.queryDeadlineMs) : limits.queryDeadlineMs;
  }

  return {
    async run(query) {
      const startedAt = clock.monotonic();
      await admit(query);
      const leftMs = Math.max(1, Math.round(deadlineOf(query) - (clock.monotonic() - startedAt)));
      return new Promise((resolve, reject) => {
        const timer = clock.after(leftMs + limits.deadlineGraceMs, () =>
          reject(timedOut(deadlineOf(query) / 1000)),
        );
        execution(query, deadlineOf(query)).then(
          (result) => {
            timer.cancel();
            resolve(result);
          },
          (error: unknown) => {
            timer.cancel();
            reject(asEngineError(error));
          },
        );
      });
    },
    running: () => busy,
    drain() {
      isDraining = true;
      for (const waiter of waiting.splice(0)) waiter.refuse(shuttingDown());
      const ended = new Promise<void>((resolve) => {
        drained = resolve;
        if (busy === 0) resolve();
      });
      return ended.then(() => {
        for (const connection of idle.splice(0)) connection.session.close();
      });
    },
  };
}
