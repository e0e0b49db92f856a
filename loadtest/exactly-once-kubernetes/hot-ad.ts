/**
 * One ad gets hot, the operator splits it by itself; it gets cold, and is merged. What is told of it
 * here comes from the raw table, where each click stands with its shard and the time of its receipt:
 * not from what the operator says of itself, but for when its HotAdSplit was Active.
 */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { until } from "../lib/wait.ts";
import type { Kube } from "./kube.ts";

const LOOK_MS = 1_000;
/** A generation takes force minutes after it is published (limits.routingLeadMs). */
const IN_FORCE_MS = 420_000;
const MADE_MS = 90_000;

/** All times from the first hot click on. */
export interface Made {
  readonly madeMs: number;
  readonly ways: number;
}

export interface Split extends Made {
  readonly activeMs: number;
  /** The first of its clicks that another shard counted. */
  readonly clicksMs: number;
}

interface ShardClicks {
  readonly shard: number;
  readonly clicks: string;
  readonly first: string;
}

export interface HotAd {
  /** Resolves when there is a HotAdSplit of it. */
  untilMade(hotAtMs: number): Promise<Made>;
  /** Resolves when its clicks come to several shards. */
  untilSplit(hotAtMs: number, made: Made): Promise<Split>;
  /** Resolves when no HotAdSplit is left, and its new clicks come to one shard alone; ms. */
  untilMerged(coldAtMs: number): Promise<number>;
  /** Clicks a second by shard, between two times: of this ad, and of all. */
  load(fromMs: number, untilMs: number): Promise<Load>;
}

export interface Load {
  readonly ofAd: ReadonlyMap<number, number>;
  readonly ofAll: ReadonlyMap<number, number>;
}

export function createHotAd(clickhouse: ClickHouse, kube: Kube, adId: bigint): HotAd {
  const clicksByShard = (fromMs: number, untilMs: number, where = "") =>
    clickhouse.rows<ShardClicks>(
      `SELECT shard, count() AS clicks, min(toUnixTimestamp64Milli(received_time)) AS first
       FROM adtally.clicks_raw
       WHERE received_time >= fromUnixTimestamp64Milli(${fromMs})
         AND received_time < fromUnixTimestamp64Milli(${untilMs}) ${where}
       GROUP BY shard ORDER BY shard`,
    );
  const ofAd = `AND ad_id = ${adId}`;
  /** Impressions of this moment: their shards are those of the newest generation in force. */
  const shardsNow = async (sinceMs: number) =>
    clickhouse.rows<ShardClicks>(
      `SELECT shard, count() AS clicks, min(toUnixTimestamp64Milli(received_time)) AS first
       FROM adtally.clicks_raw
       WHERE ad_id = ${adId} AND UUIDv7ToDateTime(impression_id) >= toDateTime(${Math.ceil(sinceMs / 1_000)})
         AND verdict = 'ACCEPTED'
       GROUP BY shard ORDER BY first`,
    );
  const splitOf = async () => (await kube.splits()).find(({ spec }) => spec.adId === String(adId));

  return {
    async untilMade(hotAtMs) {
      const { spec } = await until("a HotAdSplit", MADE_MS, splitOf, LOOK_MS);
      return { madeMs: Date.now() - hotAtMs, ways: spec.ways };
    },
    async untilSplit(hotAtMs, made) {
      const rows = await until(
        "clicks on sub-shards",
        IN_FORCE_MS,
        async () => {
          const found = await shardsNow(hotAtMs);
          return found.length >= made.ways ? found : undefined;
        },
        LOOK_MS,
      );
      await until(
        "an active HotAdSplit",
        MADE_MS,
        async () => ((await splitOf())?.status?.state === "Active" ? true : undefined),
        LOOK_MS,
      );
      const activeMs = Date.now() - hotAtMs;
      return { ...made, activeMs, clicksMs: Number(rows[1]!.first) - hotAtMs };
    },
    async untilMerged(coldAtMs) {
      await until(
        "no HotAdSplit",
        IN_FORCE_MS,
        async () => ((await splitOf()) === undefined ? true : undefined),
        LOOK_MS,
      );
      const MOMENT_MS = 10_000;
      await until(
        "its clicks on one shard",
        IN_FORCE_MS,
        async () => {
          const now = Date.now();
          const found = await shardsNow(now - MOMENT_MS);
          return found.length === 1 && Number(found[0]!.clicks) > 10 ? true : undefined;
        },
        LOOK_MS,
      );
      return Date.now() - coldAtMs;
    },
    async load(fromMs, untilMs) {
      const rates = (rows: readonly ShardClicks[]) =>
        new Map(rows.map(({ shard, clicks }) => [shard, Number(clicks) / ((untilMs - fromMs) / 1_000)]));
      const [own, all] = await Promise.all([
        clicksByShard(fromMs, untilMs, ofAd),
        clicksByShard(fromMs, untilMs),
      ]);
      return { ofAd: rates(own), ofAll: rates(all) };
    },
  };
}
