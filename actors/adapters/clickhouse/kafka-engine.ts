/**
 * Raw rows by ClickHouse's own Kafka engine: it reads the topic `clicks` and fills clicks_raw,
 * with no program of adtally in between. A block's value is rows of RowBinary, one after the
 * other; the engine reads a message's value to its end, so a message is as many rows as it holds.
 *
 *   clicks_queue ──► clicks_queue_feed ──► clicks_queue_rows (Null) ─┬─► clicks_raw_feed ──► clicks_raw
 *   (Kafka)          (view)                                          └─► clicks_poison_feed ──► clicks_poison
 *
 *  Q1 A message is committed to the consumer group when its rows are in the tables; what was not
 *     committed comes again, and the tables' order keys make that nothing.
 *  Q2 What cannot be a row of clicks_raw goes to clicks_poison with its place, and the rest goes on:
 *     a value that is not whole rows (all of its message), a block of a format version, partition
 *     or sequence other than its header says, a code that the enums lack.
 *  Q3 Both feeds hang on one Null table, and the view that fills it is made last and dropped
 *     first: a message is never read while one of them is missing.
 *  Q4 The tables between hold nothing: they are made anew whenever their definition changes.
 *
 * What raw-ingester.ts does and this does not: it does not check a block's CRC (the broker checks
 * its own on every batch it is sent), and an offset that retention took is passed over in silence, as a
 * consumer group does: watch the group's lag, and the recount, which names what is missing.
 */
import { createHash } from "node:crypto";
import { BLOCK_FORMAT_VERSION } from "../../block/block.ts";
import { ROW_COLUMNS } from "../../block/row.ts";
import { AdtallyError } from "../../core/errors.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE, define } from "./migrations.ts";
import { ENUMS } from "./schema.ts";
import { onCluster, renderTable, type Topology } from "./topology.ts";

export interface KafkaEngineOptions {
  /** host:port of the brokers, as ClickHouse reaches them. */
  readonly brokers: readonly string[];
  /** The name of the topic of blocks, prefix included. */
  readonly topic: string;
  /** The consumer group of all servers of this ClickHouse. */
  readonly group?: string;
  /** Threads that read, on each server; more than partitions are of no use. */
  readonly consumers?: number;
  /** Rows are seen at the latest after this. */
  readonly flushIntervalMs?: number;
  /** A named collection of the server's with what must not stand in a table's definition: passwords. */
  readonly namedCollection?: string;
}

/** The header of a block, by adapters/kafka/header.ts. */
const HEADER_KEY = "adtally-block";
const SEQUENCE_AT = 8;

const PLAIN = /^[A-Za-z0-9._-]{1,249}$/;
const BROKER = /^[A-Za-z0-9._-]+:[0-9]{1,5}$|^\[[0-9a-fA-F:]+\]:[0-9]{1,5}$/;
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function check({
  brokers,
  topic,
  group,
  consumers,
  flushIntervalMs,
  namedCollection,
}: KafkaEngineOptions): void {
  const refuse = (what: string) => new AdtallyError("CONFIG_INVALID", `ClickHouse's Kafka engine: ${what}`);
  if (brokers.length === 0 && namedCollection === undefined) throw refuse("no broker is given");
  for (const broker of brokers) if (!BROKER.test(broker)) throw refuse(`'${broker}' is not host:port`);
  for (const name of [topic, group ?? topic])
    if (!PLAIN.test(name)) throw refuse(`'${name}' is not the name of a topic or a group`);
  if (namedCollection !== undefined && !IDENTIFIER.test(namedCollection))
    throw refuse(`'${namedCollection}' is not the name of a named collection`);
  for (const count of [consumers ?? 1, flushIntervalMs ?? 1])
    if (!Number.isInteger(count) || count < 1) throw refuse(`${count} is not a whole number from 1 on`);
}

const rowColumns = ROW_COLUMNS.map(([name]) => name);
/** What else of a message decides about it, or tells where it is. */
const META: readonly (readonly [name: string, type: string, from: string])[] = [
  ["partition", "UInt64", "_partition"],
  ["offset", "UInt64", "_offset"],
  ["header", "String", `_headers.value[indexOf(_headers.name, '${HEADER_KEY}')]`],
  ["error", "String", "_error"],
  ["message", "String", "_raw_message"],
];

/** True for a row that clicks_raw takes. */
const SOUND = [
  "error = ''",
  `reinterpretAsUInt16(substring(header, 1, 2)) = ${BLOCK_FORMAT_VERSION}`,
  `reinterpretAsUInt32(substring(header, ${SEQUENCE_AT + 1}, 4)) = sequence`,
  "partition = shard",
  ...Object.entries(ENUMS).map(([column, codes]) => `${column} IN (${Object.values(codes).join(", ")})`),
].join(" AND ");

export interface KafkaEngineStatements {
  readonly drop: readonly string[];
  readonly create: readonly string[];
  /** Stands at the queue's table: another one means that it is to be made anew. */
  readonly fingerprint: string;
}

export function kafkaEngineStatements(
  topology: Topology,
  options: KafkaEngineOptions,
): KafkaEngineStatements {
  check(options);
  const {
    brokers,
    topic,
    group = "adtally-raw",
    consumers = 1,
    flushIntervalMs = 700,
    namedCollection,
  } = options;
  const on = onCluster(topology);
  const settings = [
    ...(brokers.length === 0 ? [] : [`kafka_broker_list = '${brokers.join(",")}'`]),
    `kafka_topic_list = '${topic}'`,
    `kafka_group_name = '${group}'`,
    "kafka_format = 'RowBinary'",
    `kafka_num_consumers = ${consumers}`,
    "kafka_thread_per_consumer = 1",
    "kafka_handle_error_mode = 'stream'",
    `kafka_flush_interval_ms = ${flushIntervalMs}`,
    `kafka_poll_timeout_ms = ${Math.min(flushIntervalMs, 500)}`,
  ];
  const engine =
    namedCollection === undefined
      ? `Kafka\nSETTINGS ${settings.join(", ")}`
      : `Kafka(${namedCollection}${settings.map((setting) => `, ${setting}`).join("")})`;
  const types = ROW_COLUMNS.map(([name, type]) => `${name} ${type}`).join(", ");
  const metaTypes = META.map(([name, type]) => `${name} ${type}`).join(", ");
  const own = rowColumns.join(", ");
  const name = (table: string) => `${DATABASE}.${table}${on}`;

  const feeds = [
    `CREATE TABLE IF NOT EXISTS ${name("clicks_queue_rows")} (${types}, ${metaTypes}) ENGINE = Null`,
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${name("clicks_poison_feed")} TO ${DATABASE}.clicks_poison AS
SELECT partition AS shard, offset, row_number, error, header, message, now64(3) AS found_at
FROM (SELECT * FROM ${DATABASE}.clicks_queue_rows WHERE NOT (${SOUND}))`,
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${name("clicks_raw_feed")} TO ${DATABASE}.clicks_raw AS
SELECT ${own}, offset FROM ${DATABASE}.clicks_queue_rows WHERE ${SOUND}`,
  ];
  const queue = `CREATE TABLE IF NOT EXISTS ${name("clicks_queue")} (${types}) ENGINE = ${engine}`;
  const feed = `CREATE MATERIALIZED VIEW IF NOT EXISTS ${name("clicks_queue_feed")} TO ${DATABASE}.clicks_queue_rows AS
SELECT ${own}, ${META.map(([column, , from]) => `${from} AS ${column}`).join(", ")} FROM ${DATABASE}.clicks_queue`;
  const fingerprint = createHash("sha256")
    .update([...feeds, queue, feed].join("\n"))
    .digest("hex")
    .slice(0, 16);
  return {
    drop: [
      "clicks_queue_feed",
      "clicks_queue",
      "clicks_raw_feed",
      "clicks_poison_feed",
      "clicks_queue_rows",
    ].map((table) => `DROP TABLE IF EXISTS ${name(table)} SYNC`),
    create: [
      // The message's own bytes are kept as long as raw rows are, to be looked at.
      ...renderTable(DATABASE, topology, {
        name: "clicks_poison",
        columns: `shard UInt64, offset UInt64, row_number UInt32,
  error String, header String, message String,
  found_at DateTime64(3, 'UTC')`,
        engine: "ReplacingMergeTree",
        clauses: "ORDER BY (shard, offset, row_number)\nTTL toDateTime(found_at) + INTERVAL 7 DAY",
        shardBy: "shard",
      }),
      ...feeds,
      `${queue} COMMENT '${fingerprint}'`,
      feed,
    ],
    fingerprint,
  };
}

/**
 * Makes ClickHouse read the topic as configured, or, without options, no longer. Offsets stay with
 * the consumer group: what is made anew goes on where the old one was.
 * @throws CONFIG_INVALID, COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED
 */
export async function applyKafkaEngine(
  clickhouse: ClickHouse,
  options: KafkaEngineOptions | undefined,
): Promise<{ readonly changed: boolean }> {
  const found = await clickhouse.rows<{ name: string; comment: string }>(
    `SELECT name, comment FROM system.tables
     WHERE database = '${DATABASE}' AND name IN ('clicks_queue', 'clicks_queue_feed')`,
  );
  const nothing: KafkaEngineOptions = { brokers: ["none:1"], topic: "none" };
  const { drop, create, fingerprint } = kafkaEngineStatements(clickhouse.topology, options ?? nothing);
  const isAsWanted =
    options === undefined
      ? found.length === 0
      : found.some(({ name, comment }) => name === "clicks_queue" && comment === fingerprint) &&
        found.some(({ name }) => name === "clicks_queue_feed");
  if (isAsWanted) return { changed: false };
  for (const statement of drop) await define(clickhouse, statement);
  if (options !== undefined) for (const statement of create) await define(clickhouse, statement);
  return { changed: true };
}

/** Offset behind the last one that each partition has committed, and the last failure, of every consumer. */
export interface KafkaEngineStatus {
  readonly committed: ReadonlyMap<number, number>;
  readonly lastError: string | undefined;
}

export async function kafkaEngineStatus(clickhouse: ClickHouse): Promise<KafkaEngineStatus> {
  const rows = await clickhouse.rows<{ partition: number; offset: string }>(
    `SELECT tupleElement(each, 1) AS partition, max(tupleElement(each, 2)) AS offset FROM (
       SELECT arrayJoin(arrayZip(\`assignments.partition_id\`, \`assignments.current_offset\`)) AS each
       FROM system.kafka_consumers WHERE database = '${DATABASE}' AND table = 'clicks_queue')
     WHERE tupleElement(each, 2) >= 0 GROUP BY partition`,
  );
  const [error] = await clickhouse.rows<{ text: string }>(
    `SELECT argMax(text, time) AS text FROM (
       SELECT arrayJoin(\`exceptions.text\`) AS text, arrayJoin(\`exceptions.time\`) AS time
       FROM system.kafka_consumers WHERE database = '${DATABASE}' AND table = 'clicks_queue')
     HAVING text != ''`,
  );
  return {
    committed: new Map(rows.map(({ partition, offset }) => [partition, Number(offset)])),
    lastError: error?.text,
  };
}
