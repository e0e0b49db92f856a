/**
 * What the tables look like, and why. Read by migrations.ts alone.
 *
 * Every table's order key names one fact, and its engine keeps the newest of each (by version,
 * or by the highest of each column), so that whatever is sent twice, late or out of order is
 * one row. Readers use FINAL or the same aggregate. Where they lie: topology.ts.
 */
import { ROW_COLUMNS } from "../../block/row.ts";
import { Reason, Source, Verdict } from "../../core/verdict.ts";
import { COUNT_COLUMNS } from "../../ports/count-sink.ts";
import { SINGLE_SERVER, renderTable, type TableSpec, type Topology } from "./topology.ts";

export interface Retention {
  /** Days that raw rows are kept. */
  readonly rawDays: number;
  /** Days after which a raw row forgets its IP address. */
  readonly ipDays: number;
  /** Days that counts by minute are kept; 0: for ever, and undefined: as the table has it. */
  readonly minuteDays?: number | undefined;
  /** The same of advertisers' counts by hour. */
  readonly hourDays?: number | undefined;
}

/**
 * Counts are kept so long at the least: a click that comes late from a gateway's disk or a spill
 * opens an hour again, which is then made of all its minutes or not at all.
 */
export const LEAST_COUNT_DAYS = 35;

export const DEFAULT_RETENTION: Retention = { rawDays: 7, ipDays: 1 };

export interface SchemaStep {
  readonly name: string;
  readonly statements: readonly string[];
}

/** One byte on the wire, as the Int8 of the block's row; a name in queries. */
export function enum8(codes: Readonly<Record<string, number>>): string {
  return `Enum8(${Object.entries(codes)
    .map(([name, code]) => `'${name}' = ${code}`)
    .join(", ")})`;
}

/** Columns of clicks_raw whose codes are core/verdict.ts's. */
export const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  source: Source,
  verdict: Verdict,
  reason: Reason,
};

function rawColumns(retention: Retention): string {
  const columns = ROW_COLUMNS.map(([name, type]) => {
    const codes = ENUMS[name];
    if (codes !== undefined) return `${name} ${enum8(codes)}`;
    if (name === "ip") return `ip IPv6 TTL toDateTime(received_time) + INTERVAL ${retention.ipDays} DAY`;
    return `${name} ${type}`;
  });
  return [...columns, "offset UInt64"].join(",\n  ");
}

const countColumns = COUNT_COLUMNS.map(([name, type]) => `${name} ${type}`).join(",\n  ");

function verifiedTable(name: string, start: string, partition: string): TableSpec {
  return {
    name,
    columns: `advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  ${start},
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64`,
    engine: "ReplacingMergeTree",
    version: "version",
    clauses: `PARTITION BY ${partition}
ORDER BY (advertiser_id, campaign_id, ad_id, start)`,
    shardBy: "advertiser_id",
  };
}

/** Step 1's tables. */
function firstTables(retention: Retention): readonly TableSpec[] {
  return [
    // The order key names one row of one block, so a batch sent again changes nothing.
    // A day is dropped whole when it expires: hence the partition, and ttl_only_drop_parts
    // is off only because the IP's own, shorter expiry must rewrite parts.
    {
      name: "clicks_raw",
      columns: `${rawColumns(retention)},
  INDEX impression_id_bloom impression_id TYPE bloom_filter(0.01) GRANULARITY 1`,
      engine: "ReplacingMergeTree",
      clauses: `PARTITION BY toDate(received_time, 'UTC')
ORDER BY (advertiser_id, campaign_id, ad_id, impression_id, shard, offset, row_number)
TTL toDateTime(received_time) + INTERVAL ${retention.rawDays} DAY`,
      shardBy: "advertiser_id",
    },

    // Partitioned by week: what reads the last hours alone (the rest of a report whose older hours
    // are rolled up, a shard's recovery, the rollup itself) reads one week's rows of its advertiser,
    // for the key has the minute last; with days, FINAL's own cost of a partition would more than
    // double that of a month's report. A minute never changes its week, so FINAL need not merge
    // across partitions. The Bloom indexes serve reports by campaign or ad alone; their columns
    // are of the key, so FINAL stays right with them.
    {
      name: "click_counts",
      columns: `${countColumns},
  INDEX campaign_bloom campaign_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX ad_bloom ad_id TYPE bloom_filter(0.01) GRANULARITY 1`,
      engine: "ReplacingMergeTree",
      version: "version",
      clauses: `PARTITION BY toMonday(minute)
ORDER BY (advertiser_id, campaign_id, ad_id, minute, shard)
SETTINGS do_not_merge_across_partitions_select_final = 1`,
      shardBy: "advertiser_id",
    },

    // Each column of a checkpoint only rises, so the highest of each is the newest state,
    // in whatever order checkpoints arrive (an idle shard's watermark rises at one offset).
    {
      name: "shard_checkpoints",
      columns: `shard UInt16,
  epoch SimpleAggregateFunction(max, UInt64),
  offset SimpleAggregateFunction(max, Int64),
  watermark SimpleAggregateFunction(max, DateTime64(3, 'UTC'))`,
      engine: "AggregatingMergeTree",
      clauses: "ORDER BY shard",
      shardBy: "shard",
    },

    {
      name: "raw_ingest_progress",
      columns: "shard UInt16, next_offset UInt64",
      engine: "ReplacingMergeTree",
      version: "next_offset",
      clauses: "ORDER BY shard",
      shardBy: "shard",
    },

    verifiedTable("click_counts_hourly_verified", "start DateTime('UTC')", "toYYYYMM(start)"),
    verifiedTable("click_counts_daily_verified", "start Date", "toYear(start)"),

    {
      name: "recount_differences",
      columns: `hour DateTime('UTC'), advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  counted_clicks UInt64, recounted_clicks UInt64,
  counted_invalid UInt64, recounted_invalid UInt64,
  counted_duplicates UInt64, recounted_duplicates UInt64,
  found_at DateTime64(3, 'UTC'), version UInt64`,
      engine: "ReplacingMergeTree",
      version: "version",
      clauses: `PARTITION BY toYYYYMM(hour)
ORDER BY (hour, advertiser_id, campaign_id, ad_id)`,
      shardBy: "advertiser_id",
    },

    // By its ad, not its advertiser: the order key, so that an ad has one row wherever it is read.
    {
      name: "ads",
      columns: `ad_id UInt64, campaign_id UInt64, advertiser_id UInt64,
  title String, destination_url String,
  updated_at DateTime64(3, 'UTC')`,
      engine: "ReplacingMergeTree",
      version: "updated_at",
      clauses: "ORDER BY ad_id",
      shardBy: "ad_id",
    },
  ];
}

/** The newest row stands, not the highest: a catalogue put back from a copy goes back. */
const adsProgress: TableSpec = {
  name: "ads_projection_progress",
  columns: `catalogue String, sequence UInt64,
  updated_at DateTime64(3, 'UTC')`,
  engine: "ReplacingMergeTree",
  version: "updated_at",
  clauses: "ORDER BY catalogue",
  shardBy: "catalogue",
};

/** Sums of a month are one part and few rows an advertiser: granules as small as that. */
const rollupTables: readonly TableSpec[] = [
  {
    name: "advertiser_counts_hourly",
    columns: `advertiser_id UInt64, hour DateTime('UTC'),
  clicks UInt64, invalid UInt64, duplicates UInt64,
  version UInt64`,
    engine: "ReplacingMergeTree",
    version: "version",
    clauses: `PARTITION BY toYYYYMM(hour)
ORDER BY (advertiser_id, hour)
SETTINGS index_granularity = 1024, do_not_merge_across_partitions_select_final = 1`,
    shardBy: "advertiser_id",
  },

  // The newest of each time: whichever is later says whether the hour's sums are whole.
  {
    name: "rollup_hours",
    columns: `hour DateTime('UTC'),
  sealed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
  reopened_at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))`,
    engine: "AggregatingMergeTree",
    clauses: "ORDER BY hour",
    shardBy: "hour",
  },
];

/** All tables that hold what adtally knows, as the newest step leaves them. */
export function allTables(retention: Retention): readonly TableSpec[] {
  return [...firstTables(retention), adsProgress, ...rollupTables];
}

export function schemaSteps(
  database: string,
  retention: Retention,
  topology: Topology = SINGLE_SERVER,
): readonly SchemaStep[] {
  return [
    {
      name: "first tables",
      statements: firstTables(retention).flatMap((table) => renderTable(database, topology, table)),
    },
    {
      name: "how far each catalogue is copied into ads",
      statements: renderTable(database, topology, adsProgress),
    },
    {
      name: "clicks of each advertiser by hour",
      statements: rollupTables.flatMap((table) => renderTable(database, topology, table)),
    },
  ];
}
