-- step 1: first tables
CREATE TABLE IF NOT EXISTS adtally.clicks_raw (
  impression_id UUID,
  ad_id UInt64,
  campaign_id UInt64,
  advertiser_id UInt64,
  click_time DateTime64(3, 'UTC'),
  received_time DateTime64(3, 'UTC'),
  ip IPv6 TTL toDateTime(received_time) + INTERVAL 1 DAY,
  generation UInt16,
  shard UInt16,
  source Enum8(…),
  verdict Enum8(…),
  reason Enum8(…),
  sequence UInt32,
  row_number UInt32,
  user_agent String,
  offset UInt64,
  INDEX impression_id_bloom impression_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toDate(received_time, 'UTC')
ORDER BY (advertiser_id, campaign_id, ad_id, impression_id, shard, offset, row_number)
TTL toDateTime(received_time) + INTERVAL 7 DAY;

CREATE TABLE IF NOT EXISTS adtally.click_counts (
  advertiser_id UInt64,
  campaign_id UInt64,
  ad_id UInt64,
  minute DateTime('UTC'),
  shard UInt16,
  clicks UInt32,
  invalid UInt32,
  duplicates UInt32,
  version UInt64,
  INDEX campaign_bloom campaign_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX ad_bloom ad_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(minute)
ORDER BY (advertiser_id, campaign_id, ad_id, minute, shard)
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE IF NOT EXISTS adtally.shard_checkpoints (
  shard UInt16,
  epoch SimpleAggregateFunction(max, UInt64),
  offset SimpleAggregateFunction(max, Int64),
  watermark SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree
ORDER BY shard;

CREATE TABLE IF NOT EXISTS adtally.raw_ingest_progress (
  shard UInt16, next_offset UInt64
) ENGINE = ReplacingMergeTree(next_offset)
ORDER BY shard;

CREATE TABLE IF NOT EXISTS adtally.click_counts_hourly_verified (
  advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  start DateTime('UTC'),
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(start)
ORDER BY (advertiser_id, campaign_id, ad_id, start);

CREATE TABLE IF NOT EXISTS adtally.click_counts_daily_verified (
  advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  start Date,
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(start)
ORDER BY (advertiser_id, campaign_id, ad_id, start);

CREATE TABLE IF NOT EXISTS adtally.recount_differences (
  hour DateTime('UTC'), advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  counted_clicks UInt64, recounted_clicks UInt64,
  counted_invalid UInt64, recounted_invalid UInt64,
  counted_duplicates UInt64, recounted_duplicates UInt64,
  found_at DateTime64(3, 'UTC'), version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, advertiser_id, campaign_id, ad_id);

CREATE TABLE IF NOT EXISTS adtally.ads (
  ad_id UInt64, campaign_id UInt64, advertiser_id UInt64,
  title String, destination_url String,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY ad_id;

-- step 2: how far each catalogue is copied into ads
CREATE TABLE IF NOT EXISTS adtally.ads_projection_progress (
  catalogue String, sequence UInt64,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY catalogue;

-- step 3: clicks of each advertiser by hour
CREATE TABLE IF NOT EXISTS adtally.advertiser_counts_hourly (
  advertiser_id UInt64, hour DateTime('UTC'),
  clicks UInt64, invalid UInt64, duplicates UInt64,
  version UInt64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (advertiser_id, hour)
SETTINGS index_granularity = 1024, do_not_merge_across_partitions_select_final = 1;

CREATE TABLE IF NOT EXISTS adtally.rollup_hours (
  hour DateTime('UTC'),
  sealed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
  reopened_at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree
ORDER BY hour;
