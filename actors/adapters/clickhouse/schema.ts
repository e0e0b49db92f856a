/**
 * What the tables look like, and why. Read by migrations.ts alone.
 *
 * Every table's order key names one fact, and its engine keeps the newest of each (by version,
 * or by the highest of each column), so that whatever is sent twice, late or out of order is
 * one row. Readers use FINAL or the same aggregate.
 */
import { ROW_COLUMNS } from "../../block/row.ts";
import { Reason, Source, Verdict } from "../../core/verdict.ts";
import { COUNT_COLUMNS } from "../../ports/count-sink.ts";

export interface Retention {
  /** Days that raw rows are kept. */
  readonly rawDays: number;
  /** Days after which a raw row forgets its IP address. */
  readonly ipDays: number;
}

export const DEFAULT_RETENTION: Retention = { rawDays: 7, ipDays: 1 };

export interface SchemaStep {
  readonly name: string;
  readonly statements: readonly string[];
}

/** One byte on the wire, as the Int8 of the block's row; a name in queries. */
function enum8(codes: Readonly<Record<string, number>>): string {
  return `Enum8(${Object.entries(codes)
    .map(([name, code]) => `'${name}' = ${code}`)
    .join(", ")})`;
}

/**
 * A code that core/verdict.ts gains needs a new step that runs
 * `ALTER TABLE clicks_raw MODIFY COLUMN reason Enum8(…)` with the full list (schema.test.ts
 * fails until there is one); adding names changes metadata alone, no row is rewritten.
 */
const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
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

function verifiedTable(database: string, name: string, start: string, partition: string): string {
  return `CREATE TABLE IF NOT EXISTS ${database}.${name} (
  advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  ${start},
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY ${partition}
ORDER BY (advertiser_id, campaign_id, ad_id, start)`;
}

export function schemaSteps(database: string, retention: Retention): readonly SchemaStep[] {
  return [
    {
      name: "first tables",
      statements: [
        // The order key names one row of one block, so a batch sent again changes nothing.
        // A day is dropped whole when it expires: hence the partition, and ttl_only_drop_parts
        // is off only because the IP's own, shorter expiry must rewrite parts.
        `CREATE TABLE IF NOT EXISTS ${database}.clicks_raw (
  ${rawColumns(retention)},
  INDEX impression_id_bloom impression_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toDate(received_time, 'UTC')
ORDER BY (advertiser_id, campaign_id, ad_id, impression_id, shard, offset, row_number)
TTL toDateTime(received_time) + INTERVAL ${retention.rawDays} DAY`,

        // Partitioned by month: a report reads by (advertiser, campaign, ad) over up to 90 days,
        // and FINAL costs by the parts it must merge; days would make 90 partitions of it, and
        // one flush across midnight or a late window would touch many. A minute never changes
        // its month, so FINAL need not merge across partitions. The Bloom indexes serve reports
        // by campaign or ad alone; their columns are of the key, so FINAL stays right with them.
        `CREATE TABLE IF NOT EXISTS ${database}.click_counts (
  ${countColumns},
  INDEX campaign_bloom campaign_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX ad_bloom ad_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (advertiser_id, campaign_id, ad_id, minute, shard)
SETTINGS do_not_merge_across_partitions_select_final = 1`,

        // Each column of a checkpoint only rises, so the highest of each is the newest state,
        // in whatever order checkpoints arrive (an idle shard's watermark rises at one offset).
        `CREATE TABLE IF NOT EXISTS ${database}.shard_checkpoints (
  shard UInt16,
  epoch SimpleAggregateFunction(max, UInt64),
  offset SimpleAggregateFunction(max, Int64),
  watermark SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree
ORDER BY shard`,

        `CREATE TABLE IF NOT EXISTS ${database}.raw_ingest_progress (
  shard UInt16, next_offset UInt64
) ENGINE = ReplacingMergeTree(next_offset)
ORDER BY shard`,

        verifiedTable(database, "click_counts_hourly_verified", "start DateTime('UTC')", "toYYYYMM(start)"),
        verifiedTable(database, "click_counts_daily_verified", "start Date", "toYear(start)"),

        `CREATE TABLE IF NOT EXISTS ${database}.recount_differences (
  hour DateTime('UTC'), advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  counted_clicks UInt64, recounted_clicks UInt64,
  counted_invalid UInt64, recounted_invalid UInt64,
  counted_duplicates UInt64, recounted_duplicates UInt64,
  found_at DateTime64(3, 'UTC'), version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, advertiser_id, campaign_id, ad_id)`,

        `CREATE TABLE IF NOT EXISTS ${database}.ads (
  ad_id UInt64, campaign_id UInt64, advertiser_id UInt64,
  title String, destination_url String,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY ad_id`,
      ],
    },
    {
      name: "how far each catalogue is copied into ads",
      statements: [
        // The newest row stands, not the highest: a catalogue put back from a copy goes back.
        `CREATE TABLE IF NOT EXISTS ${database}.ads_projection_progress (
  catalogue String, sequence UInt64,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY catalogue`,
      ],
    },
  ];
}
