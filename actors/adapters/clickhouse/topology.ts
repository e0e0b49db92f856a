/**
 * One ClickHouse server, or a cluster of them: where the tables lie and what an insert waits for.
 *
 * On a cluster each table is two: `X_local`, replicated, holds a share of the rows on every
 * server; `X`, Distributed, is what adtally writes and reads.
 *
 *  D1 All rows of one order key lie on one ClickHouse shard, because the sharding key is a
 *     function of the order key. So FINAL, which each shard does for its own rows alone, is
 *     right through the Distributed table too: no key's versions meet only at the initiator.
 *  D2 The sharding key is the advertiser wherever there is one: a report of an advertiser,
 *     and one of an ad whose advertiser is known, needs one shard's rows.
 *  D3 An insert resolves when the shard's quorum of replicas has the rows, never when they wait
 *     in the initiator's queue: what resolved survives a server and is seen at once (S2 of count-sink.ts).
 */
import { AdtallyError } from "../../core/errors.ts";

export interface SingleServer {
  readonly kind: "single";
}

export interface Cluster {
  readonly kind: "cluster";
  /** As in the servers' remote_servers; its shards have internal_replication on. */
  readonly name: string;
  /** Root of the tables' paths in the Keeper. */
  readonly keeperPath?: string;
  /**
   * Replicas that must have an insert; "auto" is the majority. Where a shard has three or more,
   * name all of them if a shard's recovery must not read from a replica that lags.
   */
  readonly insertQuorum?: number | "auto";
}

export type Topology = SingleServer | Cluster;

export const SINGLE_SERVER: SingleServer = { kind: "single" };

export interface TableSpec {
  readonly name: string;
  /** Columns and indices. */
  readonly columns: string;
  /** Of the MergeTree family, without its replication. */
  readonly engine: "ReplacingMergeTree" | "AggregatingMergeTree";
  /** ReplacingMergeTree's version column. */
  readonly version?: string;
  /** PARTITION BY, ORDER BY, TTL, SETTINGS. */
  readonly clauses: string;
  /** Part of the order key that says which ClickHouse shard has the row (D1). */
  readonly shardBy: string;
}

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/;
const PLAIN_PATH = /^(\/[A-Za-z0-9_.{}-]+)+$/;

/** @throws CONFIG_INVALID */
export function checkTopology(topology: Topology): void {
  if (topology.kind === "single") return;
  const { name, keeperPath, insertQuorum } = topology;
  const refuse = (what: string) => new AdtallyError("CONFIG_INVALID", `ClickHouse cluster: ${what}`);
  if (!PLAIN_NAME.test(name)) throw refuse(`'${name}' is not a cluster's name`);
  if (keeperPath !== undefined && !PLAIN_PATH.test(keeperPath))
    throw refuse(`the Keeper's path '${keeperPath}' is not of the form /part/part`);
  if (typeof insertQuorum === "number" && (!Number.isInteger(insertQuorum) || insertQuorum < 1))
    throw refuse(`the insert quorum ${insertQuorum} is not a whole number from 1 on, or "auto"`);
}

/** Behind the name of what a statement makes or changes. */
export function onCluster(topology: Topology): string {
  return topology.kind === "single" ? "" : ` ON CLUSTER \`${topology.name}\``;
}

/** The table that holds rows, for statements about storage. */
export function localName(topology: Topology, table: string): string {
  return topology.kind === "single" ? table : `${table}_local`;
}

const args = (...given: readonly (string | undefined)[]): string => {
  const present = given.filter((arg) => arg !== undefined);
  return present.length === 0 ? "" : `(${present.join(", ")})`;
};

/** The macros {shard} and {replica} are each server's own. */
function replicated({ engine, version }: TableSpec, path: string, replica: string): string {
  return `Replicated${engine}${args(`'${path}'`, `'${replica}'`, version)}`;
}

function keeperRoot({ keeperPath = "/clickhouse/tables" }: Cluster): string {
  return keeperPath;
}

export function renderTable(database: string, topology: Topology, table: TableSpec): readonly string[] {
  const { name, columns, engine, version, clauses, shardBy } = table;
  if (topology.kind === "single")
    return [
      `CREATE TABLE IF NOT EXISTS ${database}.${name} (\n  ${columns}\n) ENGINE = ${engine}${args(version)}\n${clauses}`,
    ];
  const on = onCluster(topology);
  const local = localName(topology, name);
  const path = `${keeperRoot(topology)}/{shard}/${database}/${name}`;
  return [
    `CREATE TABLE IF NOT EXISTS ${database}.${local}${on} (\n  ${columns}\n) ENGINE = ${replicated(table, path, "{replica}")}\n${clauses}`,
    `CREATE TABLE IF NOT EXISTS ${database}.${name}${on} AS ${database}.${local}
ENGINE = Distributed(\`${topology.name}\`, ${database}, ${local}, cityHash64(${shardBy}))`,
  ];
}

/** A small table that every server of the cluster has whole: one path, a replica for each server. */
export function renderEverywhere(
  database: string,
  topology: Topology,
  table: Omit<TableSpec, "shardBy">,
): string {
  const { name, columns, engine, version, clauses } = table;
  const full =
    topology.kind === "single"
      ? `${engine}${args(version)}`
      : replicated(
          { ...table, shardBy: "" },
          `${keeperRoot(topology)}/${database}/${name}`,
          "{shard}-{replica}",
        );
  return `CREATE TABLE IF NOT EXISTS ${database}.${name}${onCluster(topology)} (\n  ${columns}\n) ENGINE = ${full}\n${clauses}`;
}

/** What every insert carries. */
export function insertSettings(topology: Topology): Readonly<Record<string, string | number>> {
  if (topology.kind === "single") return {};
  return {
    // D3.
    distributed_foreground_insert: 1,
    insert_quorum: topology.insertQuorum ?? "auto",
    insert_quorum_timeout: 20_000,
    // Rows are named by their order key; a window of remembered inserts would refuse the very
    // rows that a restored table lacks.
    insert_deduplicate: 0,
  };
}

/** For statements ON CLUSTER: a server that is down does what it missed when it is back. */
export function ddlSettings(topology: Topology): Readonly<Record<string, string | number>> {
  if (topology.kind === "single") return {};
  return { distributed_ddl_task_timeout: 20, distributed_ddl_output_mode: "null_status_on_timeout" };
}
