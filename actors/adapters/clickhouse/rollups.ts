/**
 * Writes the rollup: clicks of each advertiser by hour, made of minutes once no click of the hour
 * is on its way any more. Runs beside the raw ingester; two at once cost time and nothing else.
 *
 *  U1 What is written of an hour is absolute: its minutes, read with FINAL, under a version that
 *     is the server's time before they were read. Of two that were made of one hour, the one that
 *     began later holds at least as much, and stands. No count is ever added to another.
 *  U2 An hour is made when every shard in use has passed its end by `windowRetentionMs`, and made
 *     again when a count of it came later. Until then reports read its minutes (H1 of rollup-hours.ts).
 *  U3 An hour is sealed only when all its rows are written: a crash leaves it to the next pass.
 *  U4 A statement makes the hours of one day at the most; one runs at a time.
 */
import { messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { HOUR_MS, SERVER_SKEW_S, gapsOf, readReportState, settledRanges } from "./rollup-hours.ts";
import type { TimeRange } from "./rollup-hours.ts";

export interface RollupsOptions {
  readonly clickhouse: ClickHouse;
  /** The shards that can still count. */
  readonly shards: () => readonly number[];
  readonly limits: Pick<Limits, "windowRetentionMs" | "rollupIntervalMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Rollups {
  /** Makes what is due now, newest hours first. @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
  pass(): Promise<void>;
  /** Ends the loop after the statement under way. */
  stop(): Promise<void>;
}

const DAY_MS = 24 * HOUR_MS;
const MAKE_HOURS = `INSERT INTO ${DATABASE}.advertiser_counts_hourly
    (advertiser_id, hour, clicks, invalid, duplicates, version)
  SELECT advertiser_id, toStartOfHour(minute) AS hour,
    sum(clicks) AS clicks, sum(invalid) AS invalid, sum(duplicates) AS duplicates, {version:UInt64} AS version
  FROM ${DATABASE}.click_counts FINAL
  WHERE minute >= toDateTime({from:UInt32}, 'UTC') AND minute < toDateTime({to:UInt32}, 'UTC')
  GROUP BY advertiser_id, hour`;
const SEAL_HOURS = `INSERT INTO ${DATABASE}.rollup_hours (hour, sealed_at)
  SELECT toDateTime({from:UInt32} + 3600 * number, 'UTC'),
    fromUnixTimestamp64Milli({version:Int64}, 'UTC') - INTERVAL ${SERVER_SKEW_S} SECOND
  FROM numbers({hours:UInt32})`;

const floorTo = (timeMs: number, stepMs: number): number => Math.floor(timeMs / stepMs) * stepMs;

/** The newest of the ranges, cut to its last day: what the next statement makes. */
export function nextToMake(due: readonly TimeRange[]): TimeRange | undefined {
  const newest = due.at(-1);
  if (newest === undefined) return undefined;
  return { fromMs: Math.max(newest.fromMs, floorTo(newest.toMs - 1, DAY_MS)), toMs: newest.toMs };
}

/** Writes the rows of those whole hours and seals them (U1, U3). */
export async function makeHours(clickhouse: ClickHouse, { fromMs, toMs }: TimeRange): Promise<void> {
  const [server] = await clickhouse.rows<{ now: string }>("SELECT toUnixTimestamp64Milli(now64(3)) AS now");
  const version = Number(server!.now);
  const from = fromMs / 1_000;
  await clickhouse.command(MAKE_HOURS, { version, from, to: toMs / 1_000 });
  await clickhouse.command(SEAL_HOURS, { version, from, hours: (toMs - fromMs) / HOUR_MS });
}

export function startRollups(options: RollupsOptions): Rollups {
  const { clickhouse, clock, limits, logger, shards } = options;
  let stopped = false;
  let underWay: Promise<void> | undefined;

  /** U2. */
  async function dueHours(): Promise<readonly TimeRange[]> {
    const { watermarkMs } = await readReportState(clickhouse, shards());
    if (watermarkMs === undefined) return [];
    const [oldest] = await clickhouse.rows<{ rows: string; first: number }>(
      `SELECT count() AS rows, toUInt32(min(minute)) AS first FROM ${DATABASE}.click_counts`,
    );
    if (oldest === undefined || oldest.rows === "0") return [];
    const within = {
      fromMs: floorTo(oldest.first * 1_000, HOUR_MS),
      toMs: floorTo(watermarkMs - limits.windowRetentionMs, HOUR_MS),
    };
    return within.toMs <= within.fromMs ? [] : gapsOf(within, await settledRanges(clickhouse));
  }

  async function makeAll(): Promise<void> {
    while (!stopped) {
      const next = nextToMake(await dueHours());
      if (next === undefined) return;
      const startedAt = clock.monotonic();
      await makeHours(clickhouse, next);
      const of = { from: new Date(next.fromMs), to: new Date(next.toMs) };
      logger.info({ ...of, tookMs: Math.round(clock.monotonic() - startedAt) }, "hours rolled up");
    }
  }

  const pass = (): Promise<void> => {
    underWay ??= makeAll().finally(() => (underWay = undefined));
    return underWay;
  };
  const passLater = () => {
    pass().catch((error: unknown) => {
      logger.warn({ error: messageOf(error) }, "hours could not be rolled up: their reports read minutes");
    });
  };
  const timer = clock.every(limits.rollupIntervalMs, passLater);
  return {
    pass,
    async stop() {
      stopped = true;
      timer.cancel();
      await underWay?.catch(() => undefined);
    },
  };
}
