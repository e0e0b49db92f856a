/**
 * The tables, as numbered steps. `migrate` brings a database to the newest step; every program
 * that writes to ClickHouse calls it at start.
 *
 *  M1 Steps run in order and are recorded in schema_migrations when they are done.
 *  M2 Every statement may run twice, and in several programs at once: a crash between a step and
 *     its record does no harm.
 *  M3 A database newer than this code is refused by name (SCHEMA_TOO_NEW), never touched.
 *  M4 The retention that is configured holds after every start, whatever a table was made with.
 *     So do the codes of core/verdict.ts: a name that it gains is added, no row is rewritten.
 *  M5 A step that has been released is never edited: what changes is a new step.
 *  M6 A database is of one topology for its life: another is refused by name, never mixed in.
 *  M7 Where all is as it should be, no statement goes to the cluster: a start does not wait for
 *     a server that is down.
 *  M8 A table that was dropped after it was made is refused by name (of a single server): made
 *     anew, it would be empty, and what it lacks would never be sent again.
 */
import { AdtallyError } from "../../core/errors.ts";
import type { ClickHouse } from "./client.ts";
import { ENUMS, LEAST_COUNT_DAYS, allTables, enum8, schemaSteps, type Retention } from "./schema.ts";
import { ddlSettings, localName, onCluster, renderEverywhere } from "./topology.ts";

export const DATABASE = "adtally";

export interface MigrationResult {
  readonly from: number;
  readonly to: number;
}

/** What is said of a database that lost tables, wherever that is found. */
export function tablesLost(names: readonly string[]): AdtallyError {
  const what = `ClickHouse's database '${DATABASE}' lacks ${names.join(", ")}, which it had`;
  return new AdtallyError(
    "COUNT_SINK_REJECTED",
    // Actor hosts remember the windows of the last hours alone: the older ones are folded from the log.
    `${what}: restore what was dropped; or stop all, drop the whole database and move the actor hosts' data ` +
      `folders away (of npm start: move the folder "clickhouse" away) and start again, which fills it from the ` +
      `click log, as far back as that is kept`,
  );
}

/** @throws SCHEMA_TOO_NEW, CONFIG_INVALID, COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function migrate(clickhouse: ClickHouse, retention: Retention): Promise<MigrationResult> {
  const { topology } = clickhouse;
  await checkTopologyFits(clickhouse);
  const engines = await tableEngines(clickhouse);
  if (!engines.has("schema_migrations")) {
    await define(clickhouse, `CREATE DATABASE IF NOT EXISTS ${DATABASE}${onCluster(topology)}`);
    await define(
      clickhouse,
      renderEverywhere(DATABASE, topology, {
        name: "schema_migrations",
        columns: "version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)",
        engine: "ReplacingMergeTree",
        version: "applied_at",
        clauses: "ORDER BY version",
      }),
    );
  }
  const [newest] = await clickhouse.rows<{ version: number }>(
    `SELECT max(version) AS version FROM ${DATABASE}.schema_migrations`,
  );
  const from = newest?.version ?? 0;
  const steps = schemaSteps(DATABASE, retention, topology);
  const to = steps.length;
  if (from > to)
    throw new AdtallyError(
      "SCHEMA_TOO_NEW",
      `ClickHouse's database '${DATABASE}' is at schema version ${from}, this program knows ${to}: run the newer adtally, or give it another database`,
    );
  for (let version = from + 1; version <= to; version++) {
    const step = steps[version - 1]!;
    for (const statement of step.statements) await define(clickhouse, statement);
    await clickhouse.command(
      `INSERT INTO ${DATABASE}.schema_migrations (version, name) SELECT {version:UInt32}, {name:String}`,
      { version, name: step.name },
    );
  }
  if (topology.kind === "single") await checkTablesThere(clickhouse, retention);
  await applyRetention(clickhouse, retention);
  await applyCodes(clickhouse);
  return { from, to };
}

/** A statement that makes or changes something, on all servers. */
export async function define(clickhouse: ClickHouse, statement: string): Promise<void> {
  await clickhouse.command(statement, undefined, ddlSettings(clickhouse.topology));
}

async function tableEngines(clickhouse: ClickHouse): Promise<ReadonlyMap<string, string>> {
  const tables = await clickhouse.rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = '${DATABASE}'`,
  );
  return new Map(tables.map(({ name, engine }) => [name, engine]));
}

/** M8. */
async function checkTablesThere(clickhouse: ClickHouse, retention: Retention): Promise<void> {
  const there = await tableEngines(clickhouse);
  const lost = allTables(retention)
    .map(({ name }) => name)
    .filter((name) => !there.has(name));
  if (lost.length > 0) throw tablesLost(lost);
}

/** M6. */
async function checkTopologyFits(clickhouse: ClickHouse): Promise<void> {
  const { topology } = clickhouse;
  const refuse = (what: string) => new AdtallyError("CONFIG_INVALID", `ClickHouse: ${what}`);
  if (topology.kind === "cluster") {
    const known = await clickhouse.rows<{ cluster: string }>("SELECT DISTINCT cluster FROM system.clusters");
    const names = known.map(({ cluster }) => cluster);
    if (!names.includes(topology.name))
      throw refuse(
        `the server does not know the cluster '${topology.name}'; it knows ${names.length === 0 ? "none" : names.join(", ")}. Correct the name, or the server's remote_servers`,
      );
  }
  const engine = (await tableEngines(clickhouse)).get("click_counts");
  if (engine !== undefined && (engine === "Distributed") !== (topology.kind === "cluster"))
    throw refuse(
      engine === "Distributed"
        ? `the database '${DATABASE}' was made for a cluster; configure that cluster's name`
        : `the database '${DATABASE}' was made for a single server; a cluster needs a new one, filled from the click log`,
    );
}

/** M4: changes metadata alone; rows already expired by the new days go with their next merge. */
async function applyRetention(clickhouse: ClickHouse, retention: Retention): Promise<void> {
  const { ipDays, rawDays } = retention;
  const { topology } = clickhouse;
  const local = localName(topology, "clicks_raw");
  const [table] = await clickhouse.rows<{ query: string }>(
    `SELECT create_table_query AS query FROM system.tables WHERE database = '${DATABASE}' AND name = {local:String}`,
    { local },
  );
  const expires = (days: number) => `TTL toDateTime(received_time) + toIntervalDay(${days})`;
  const query = table?.query ?? "";
  const alter = `ALTER TABLE ${DATABASE}.${local}${onCluster(topology)}`;
  // The table's own expiry stands behind its order key, the address's before it.
  const orderAt = query.indexOf("ORDER BY");
  if (!query.slice(orderAt).includes(expires(rawDays)))
    await define(
      clickhouse,
      `${alter} MODIFY TTL toDateTime(received_time) + INTERVAL ${rawDays} DAY SETTINGS materialize_ttl_after_modify = 0`,
    );
  if (!query.slice(0, orderAt).includes(expires(ipDays)))
    await define(
      clickhouse,
      `${alter} MODIFY COLUMN ip IPv6 TTL toDateTime(received_time) + INTERVAL ${ipDays} DAY SETTINGS materialize_ttl_after_modify = 0`,
    );
  await applyCountRetention(clickhouse, "click_counts", "minute", retention.minuteDays);
  await applyCountRetention(clickhouse, "advertiser_counts_hourly", "hour", retention.hourDays);
}

/** Weeks and months are dropped whole: no part is written anew for what expires in it. */
async function applyCountRetention(
  clickhouse: ClickHouse,
  table: "click_counts" | "advertiser_counts_hourly",
  column: "minute" | "hour",
  days: number | undefined,
): Promise<void> {
  if (days === undefined) return;
  if (!Number.isInteger(days) || (days !== 0 && days < LEAST_COUNT_DAYS))
    throw new AdtallyError(
      "CONFIG_INVALID",
      `counts by ${column} cannot be kept for ${days} days: give ${LEAST_COUNT_DAYS} or more, or 0 for ever`,
    );
  const { topology } = clickhouse;
  const local = localName(topology, table);
  const [found] = await clickhouse.rows<{ query: string }>(
    `SELECT create_table_query AS query FROM system.tables WHERE database = '${DATABASE}' AND name = {local:String}`,
    { local },
  );
  const alter = `ALTER TABLE ${DATABASE}.${local}${onCluster(topology)}`;
  const query = found?.query ?? "";
  if (days === 0) {
    if (query.includes(` TTL ${column}`)) await define(clickhouse, `${alter} REMOVE TTL`);
    return;
  }
  if (query.includes(`TTL ${column} + toIntervalDay(${days})`)) return;
  await define(clickhouse, `${alter} MODIFY SETTING ttl_only_drop_parts = 1`);
  await define(
    clickhouse,
    `${alter} MODIFY TTL ${column} + INTERVAL ${days} DAY SETTINGS materialize_ttl_after_modify = 0`,
  );
}

/** M4, its second sentence: a column that lacks a code would refuse every insert that holds it. */
async function applyCodes(clickhouse: ClickHouse): Promise<void> {
  const { topology } = clickhouse;
  // The table of rows first: what the other passes on, it must take.
  for (const table of new Set([localName(topology, "clicks_raw"), "clicks_raw"])) {
    const found = await clickhouse.rows<{ name: string; type: string }>(
      `SELECT name, type FROM system.columns WHERE database = '${DATABASE}' AND table = {table:String}`,
      { table },
    );
    const types = new Map(found.map(({ name, type }) => [name, type]));
    for (const [column, codes] of Object.entries(ENUMS)) {
      if (types.get(column) === enum8(codes)) continue;
      await define(
        clickhouse,
        `ALTER TABLE ${DATABASE}.${table}${onCluster(topology)} MODIFY COLUMN ${column} ${enum8(codes)}`,
      );
    }
  }
}
