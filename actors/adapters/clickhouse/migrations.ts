/**
 * The tables, as numbered steps. `migrate` brings a database to the newest step; every program
 * that writes to ClickHouse calls it at start.
 *
 *  M1 Steps run in order and are recorded in schema_migrations when they are done.
 *  M2 Every statement may run twice: a crash between a step and its record does no harm.
 *  M3 A database newer than this code is refused by name (SCHEMA_TOO_NEW), never touched.
 *  M4 The retention that is configured holds after every start, whatever a table was made with.
 *  M5 A step that has been released is never edited: what changes is a new step.
 */
import { AdtallyError } from "../../core/errors.ts";
import type { ClickHouse } from "./client.ts";
import { schemaSteps, type Retention } from "./schema.ts";

export const DATABASE = "adtally";

export interface MigrationResult {
  readonly from: number;
  readonly to: number;
}

/** @throws SCHEMA_TOO_NEW, COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function migrate(clickhouse: ClickHouse, retention: Retention): Promise<MigrationResult> {
  await clickhouse.command(`CREATE DATABASE IF NOT EXISTS ${DATABASE}`);
  await clickhouse.command(
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.schema_migrations
       (version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
     ENGINE = ReplacingMergeTree(applied_at) ORDER BY version`,
  );
  const [newest] = await clickhouse.rows<{ version: number }>(
    `SELECT max(version) AS version FROM ${DATABASE}.schema_migrations`,
  );
  const from = newest?.version ?? 0;
  const steps = schemaSteps(DATABASE, retention);
  const to = steps.length;
  if (from > to)
    throw new AdtallyError(
      "SCHEMA_TOO_NEW",
      `ClickHouse's database '${DATABASE}' is at schema version ${from}, this program knows ${to}: run the newer adtally, or give it another database`,
    );
  for (let version = from + 1; version <= to; version++) {
    const step = steps[version - 1]!;
    for (const statement of step.statements) await clickhouse.command(statement);
    await clickhouse.command(
      `INSERT INTO ${DATABASE}.schema_migrations (version, name) SELECT {version:UInt32}, {name:String}`,
      { version, name: step.name },
    );
  }
  await applyRetention(clickhouse, retention);
  return { from, to };
}

/** M4: changes metadata alone; rows already expired by the new days go with their next merge. */
async function applyRetention(clickhouse: ClickHouse, retention: Retention): Promise<void> {
  const table = `${DATABASE}.clicks_raw`;
  await clickhouse.command(
    `ALTER TABLE ${table} MODIFY TTL toDateTime(received_time) + INTERVAL ${retention.rawDays} DAY SETTINGS materialize_ttl_after_modify = 0`,
  );
  await clickhouse.command(
    `ALTER TABLE ${table} MODIFY COLUMN ip IPv6 TTL toDateTime(received_time) + INTERVAL ${retention.ipDays} DAY SETTINGS materialize_ttl_after_modify = 0`,
  );
}
