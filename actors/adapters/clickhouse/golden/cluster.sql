-- step 1: first tables
CREATE TABLE IF NOT EXISTS adtally.clicks_raw_local ON CLUSTER `production` (
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
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/clicks_raw', '{replica}')
PARTITION BY toDate(received_time, 'UTC')
ORDER BY (advertiser_id, campaign_id, ad_id, impression_id, shard, offset, row_number)
TTL toDateTime(received_time) + INTERVAL 7 DAY;

CREATE TABLE IF NOT EXISTS adtally.clicks_raw ON CLUSTER `production` AS adtally.clicks_raw_local
ENGINE = Distributed(`production`, adtally, clicks_raw_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.click_counts_local ON CLUSTER `production` (
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
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/click_counts', '{replica}', version)
PARTITION BY toMonday(minute)
ORDER BY (advertiser_id, campaign_id, ad_id, minute, shard)
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE IF NOT EXISTS adtally.click_counts ON CLUSTER `production` AS adtally.click_counts_local
ENGINE = Distributed(`production`, adtally, click_counts_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.shard_checkpoints_local ON CLUSTER `production` (
  shard UInt16,
  epoch SimpleAggregateFunction(max, UInt64),
  offset SimpleAggregateFunction(max, Int64),
  watermark SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/adtally/shard_checkpoints', '{replica}')
ORDER BY shard;

CREATE TABLE IF NOT EXISTS adtally.shard_checkpoints ON CLUSTER `production` AS adtally.shard_checkpoints_local
ENGINE = Distributed(`production`, adtally, shard_checkpoints_local, cityHash64(shard));

CREATE TABLE IF NOT EXISTS adtally.raw_ingest_progress_local ON CLUSTER `production` (
  shard UInt16, next_offset UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/raw_ingest_progress', '{replica}', next_offset)
ORDER BY shard;

CREATE TABLE IF NOT EXISTS adtally.raw_ingest_progress ON CLUSTER `production` AS adtally.raw_ingest_progress_local
ENGINE = Distributed(`production`, adtally, raw_ingest_progress_local, cityHash64(shard));

CREATE TABLE IF NOT EXISTS adtally.click_counts_hourly_verified_local ON CLUSTER `production` (
  advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  start DateTime('UTC'),
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/click_counts_hourly_verified', '{replica}', version)
PARTITION BY toYYYYMM(start)
ORDER BY (advertiser_id, campaign_id, ad_id, start);

CREATE TABLE IF NOT EXISTS adtally.click_counts_hourly_verified ON CLUSTER `production` AS adtally.click_counts_hourly_verified_local
ENGINE = Distributed(`production`, adtally, click_counts_hourly_verified_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.click_counts_daily_verified_local ON CLUSTER `production` (
  advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  start Date,
  clicks UInt64, invalid UInt64, duplicates UInt64,
  verified_at DateTime64(3, 'UTC'),
  version UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/click_counts_daily_verified', '{replica}', version)
PARTITION BY toYear(start)
ORDER BY (advertiser_id, campaign_id, ad_id, start);

CREATE TABLE IF NOT EXISTS adtally.click_counts_daily_verified ON CLUSTER `production` AS adtally.click_counts_daily_verified_local
ENGINE = Distributed(`production`, adtally, click_counts_daily_verified_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.recount_differences_local ON CLUSTER `production` (
  hour DateTime('UTC'), advertiser_id UInt64, campaign_id UInt64, ad_id UInt64,
  counted_clicks UInt64, recounted_clicks UInt64,
  counted_invalid UInt64, recounted_invalid UInt64,
  counted_duplicates UInt64, recounted_duplicates UInt64,
  found_at DateTime64(3, 'UTC'), version UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/recount_differences', '{replica}', version)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, advertiser_id, campaign_id, ad_id);

CREATE TABLE IF NOT EXISTS adtally.recount_differences ON CLUSTER `production` AS adtally.recount_differences_local
ENGINE = Distributed(`production`, adtally, recount_differences_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.ads_local ON CLUSTER `production` (
  ad_id UInt64, campaign_id UInt64, advertiser_id UInt64,
  title String, destination_url String,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/ads', '{replica}', updated_at)
ORDER BY ad_id;

CREATE TABLE IF NOT EXISTS adtally.ads ON CLUSTER `production` AS adtally.ads_local
ENGINE = Distributed(`production`, adtally, ads_local, cityHash64(ad_id));

-- step 2: how far each catalogue is copied into ads
CREATE TABLE IF NOT EXISTS adtally.ads_projection_progress_local ON CLUSTER `production` (
  catalogue String, sequence UInt64,
  updated_at DateTime64(3, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/ads_projection_progress', '{replica}', updated_at)
ORDER BY catalogue;

CREATE TABLE IF NOT EXISTS adtally.ads_projection_progress ON CLUSTER `production` AS adtally.ads_projection_progress_local
ENGINE = Distributed(`production`, adtally, ads_projection_progress_local, cityHash64(catalogue));

-- step 3: clicks of each advertiser by hour
CREATE TABLE IF NOT EXISTS adtally.advertiser_counts_hourly_local ON CLUSTER `production` (
  advertiser_id UInt64, hour DateTime('UTC'),
  clicks UInt64, invalid UInt64, duplicates UInt64,
  version UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/adtally/advertiser_counts_hourly', '{replica}', version)
PARTITION BY toYYYYMM(hour)
ORDER BY (advertiser_id, hour)
SETTINGS index_granularity = 1024, do_not_merge_across_partitions_select_final = 1;

CREATE TABLE IF NOT EXISTS adtally.advertiser_counts_hourly ON CLUSTER `production` AS adtally.advertiser_counts_hourly_local
ENGINE = Distributed(`production`, adtally, advertiser_counts_hourly_local, cityHash64(advertiser_id));

CREATE TABLE IF NOT EXISTS adtally.rollup_hours_local ON CLUSTER `production` (
  hour DateTime('UTC'),
  sealed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
  reopened_at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/adtally/rollup_hours', '{replica}')
ORDER BY hour;

CREATE TABLE IF NOT EXISTS adtally.rollup_hours ON CLUSTER `production` AS adtally.rollup_hours_local
ENGINE = Distributed(`production`, adtally, rollup_hours_local, cityHash64(hour));
