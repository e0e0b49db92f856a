/**
 * The user that reports run as: it reads adtally's tables and nothing else, writes nothing, and
 * cannot lift its own bounds. `applyReader` makes it so at every start, whatever was there.
 *
 *  A1 It may read the tables that adtally reports from, by name: not the queue of the Kafka
 *     engine, where reading consumes, and not a click's IP address.
 *  A2 readonly = 2: it may choose how an answer is formed, but not write; every bound that counts
 *     is constant, or may only be lowered.
 *  A3 The password goes to the server as a salted hash: no log and no system table has it.
 *
 * Who calls this needs access management, and its own rights WITH GRANT OPTION. The embedded
 * engine has one user and keeps no others: there the client's `readOnly` serves.
 */
import { createHash } from "node:crypto";
import { ROW_COLUMNS } from "../../block/row.ts";
import { AdtallyError } from "../../core/errors.ts";
import { systemRandom, type RandomBytes } from "../../runtime/clock.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE, define } from "./migrations.ts";
import { DEFAULT_RETENTION, allTables } from "./schema.ts";
import { localName, onCluster, type Topology } from "./topology.ts";

export interface ReaderBounds {
  /** Of one query; the reading client's deadline is no longer than this. */
  readonly maxExecutionS?: number;
  readonly maxMemoryBytes?: number;
  readonly maxConcurrentQueries?: number;
}

export interface ReaderOptions extends ReaderBounds {
  readonly username: string;
  readonly password: string;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;
const SALT_BYTES = 16;

/** A1, as GRANT lists them. */
export function readerGrants(topology: Topology): readonly string[] {
  const rawColumns = [...ROW_COLUMNS.map(([name]) => name), "offset"].filter((name) => name !== "ip");
  return allTables(DEFAULT_RETENTION).flatMap(({ name }) =>
    [...new Set([name, localName(topology, name)])].map(
      (table) => `SELECT${name === "clicks_raw" ? `(${rawColumns.join(", ")})` : ""} ON ${DATABASE}.${table}`,
    ),
  );
}

/** A2. */
export function readerSettings({
  maxExecutionS = 30,
  maxMemoryBytes = 4 * 1024 ** 3,
  maxConcurrentQueries = 32,
}: ReaderBounds): readonly (readonly [name: string, value: number, bound: "const" | "at most"])[] {
  return [
    ["readonly", 2, "const"],
    ["allow_ddl", 0, "const"],
    ["stream_like_engine_allow_direct_select", 0, "const"],
    ["max_execution_time", maxExecutionS, "at most"],
    ["max_memory_usage", maxMemoryBytes, "at most"],
    ["max_concurrent_queries_for_user", maxConcurrentQueries, "const"],
  ];
}

/** @throws CONFIG_INVALID */
export function readerStatements(
  topology: Topology,
  options: ReaderOptions,
  random: RandomBytes = systemRandom,
): readonly string[] {
  const { username, password } = options;
  const refuse = (what: string) => new AdtallyError("CONFIG_INVALID", `ClickHouse's reading user: ${what}`);
  if (!IDENTIFIER.test(username)) throw refuse(`'${username}' is not a user's name`);
  if (password === "") throw refuse("it has no password");
  const settings = readerSettings(options);
  for (const [name, value] of settings)
    if (!Number.isInteger(value) || value < 0) throw refuse(`${name} ${value} is not a whole number`);
  const on = onCluster(topology);
  const profile = `${username}_profile`;
  const bounded = settings
    .map(([name, value, bound]) => `${name} = ${value} ${bound === "const" ? "CONST" : `MIN 1 MAX ${value}`}`)
    .join(", ");
  const salt = random(SALT_BYTES).toString("hex");
  const hash = createHash("sha256").update(`${password}${salt}`).digest("hex");
  const identified = `IDENTIFIED WITH sha256_hash BY '${hash}' SALT '${salt}'`;
  return [
    `CREATE SETTINGS PROFILE IF NOT EXISTS ${profile}${on} SETTINGS ${bounded}`,
    `ALTER SETTINGS PROFILE ${profile}${on} SETTINGS ${bounded}`,
    `CREATE USER IF NOT EXISTS ${username}${on} ${identified} SETTINGS PROFILE '${profile}'`,
    `ALTER USER ${username}${on} ${identified} SETTINGS PROFILE '${profile}'`,
    // One statement: what it had is replaced at once, no query meets a gap.
    `GRANT${on} ${readerGrants(topology).join(", ")} TO ${username} WITH REPLACE OPTION`,
  ];
}

/** @throws CONFIG_INVALID, COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function applyReader(clickhouse: ClickHouse, options: ReaderOptions): Promise<void> {
  for (const statement of readerStatements(clickhouse.topology, options)) await define(clickhouse, statement);
}
