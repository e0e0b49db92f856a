/**
 * Makes the data set in ClickHouse itself, piece by piece: each piece is noted when it is whole,
 * so a folder that was kept goes on where an earlier run left off.
 */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { sleep, systemClock } from "../../actors/runtime/clock.ts";
import { MINUTES, MINUTE_DAYS, advertiserRanges, minuteRows, timeSlices, type Shape } from "./shape.ts";

const YEAR_DAYS = 365;
const DAY_S = 86_400;

/** A statement has 30 s: so many rows are made in a few, with the machine busy. */
const PIECE_ROWS = 4_000_000;
const INSERT_SETTINGS = {
  // One part a piece.
  min_insert_block_size_rows: PIECE_ROWS * 2,
  min_insert_block_size_bytes: 2_000_000_000,
  max_insert_threads: 1,
  optimize_on_insert: 0,
} as const;
const COLUMNS = "advertiser_id, campaign_id, ad_id, minute, shard, clicks, invalid, duplicates, version";

interface Piece {
  readonly name: string;
  readonly sql: string;
}

/** The shape of what the folder holds; the given one, noted, where it holds nothing. */
export async function keptShape(clickhouse: ClickHouse, wanted: Shape): Promise<Shape> {
  await clickhouse.command("CREATE DATABASE IF NOT EXISTS bench");
  await clickhouse.command(
    "CREATE TABLE IF NOT EXISTS bench.shape (shape String) ENGINE = MergeTree ORDER BY tuple()",
  );
  await clickhouse.command(
    "CREATE TABLE IF NOT EXISTS bench.pieces (name String) ENGINE = MergeTree ORDER BY name",
  );
  const [kept] = await clickhouse.rows<{ shape: string }>("SELECT shape FROM bench.shape");
  if (kept !== undefined) {
    const shape = JSON.parse(kept.shape) as Shape;
    if (shape.rows !== wanted.rows || shape.ads !== wanted.ads)
      throw new Error(
        `the folder holds ${shape.rows} rows of ${shape.ads} ads: give the same, or another folder`,
      );
    return shape;
  }
  await clickhouse.command("INSERT INTO bench.shape SELECT {shape:String}", {
    shape: JSON.stringify(wanted),
  });
  return wanted;
}

function minutePieces(shape: Shape): readonly Piece[] {
  const insert = `INSERT INTO adtally.click_counts (${COLUMNS})`;
  const made: Piece[] = [];
  const slices = timeSlices(shape);
  for (const { fromS, toS } of slices) {
    const share = (toS - fromS) / 60 / MINUTES;
    const count = Math.ceil(Math.min(shape.ads, shape.ads / Math.max(1, (shape.rows * share) / PIECE_ROWS)));
    for (let first = 0; first < shape.ads; first += count) {
      const ads = { first, count: Math.min(count, shape.ads - first) };
      const name = `minutes from ${new Date(fromS * 1_000).toISOString().slice(0, 10)}, ads from ${first}`;
      made.push({ name, sql: `${insert} ${minuteRows(shape, ads, { fromS, toS })}` });
    }
  }
  // What a running cluster has besides: versions that wait for their merge, most of the last hours.
  const toS = slices.at(-1)!.toS;
  const newer = (version: number, where: string, fromS: number) =>
    `${insert} SELECT * REPLACE (version + ${version} AS version, clicks + ${version} AS clicks)
     FROM (${minuteRows(shape, { first: 0, count: shape.ads }, { fromS, toS })}) WHERE ${where}`;
  const weekS = slices.find(({ merged }) => !merged)?.fromS ?? shape.startS;
  made.push({ name: "late versions", sql: newer(1, "cityHash64(ad_id, minute) % 200 = 0", weekS) });
  for (let version = 2; version < 8; version++)
    made.push({
      name: `the last hour again, ${version}`,
      sql: newer(version, `cityHash64(ad_id, minute, ${version}) % 3 = 0`, toS - 3_600),
    });
  return made;
}

/** Both @returns false where the time ran out first. */
export const generateMinutes = (
  clickhouse: ClickHouse,
  shape: Shape,
  untilMs: number,
  say: (line: string) => void,
): Promise<boolean> => runPieces(clickhouse, minutePieces(shape), untilMs, say);

export const generateHours = (
  clickhouse: ClickHouse,
  shape: Shape,
  untilMs: number,
  say: (line: string) => void,
): Promise<boolean> => runPieces(clickhouse, [...hourPieces(shape), ...olderHourPieces(shape)], untilMs, say);

const MERGES_LOOK_MS = 1_000;
const MERGES_DEADLINE_MS = 180_000;

/** Waits until the engine has merged what it wants to: that is work of the making, not of the questions. */
export async function untilMerged(clickhouse: ClickHouse): Promise<void> {
  const giveUpAt = performance.now() + MERGES_DEADLINE_MS;
  while (performance.now() < giveUpAt) {
    const [merges] = await clickhouse.rows<{ running: string }>(
      "SELECT count() AS running FROM system.merges",
    );
    if (merges!.running === "0") return;
    await sleep(systemClock, MERGES_LOOK_MS);
  }
}

const HOUR_PARTS = 24;
/** So many of the newest days are left to the rollup itself. */
const LEFT_DAYS = 3;

const sealed = (fromS: number, days: number): string =>
  `INSERT INTO adtally.rollup_hours (hour, sealed_at)
   SELECT toStartOfHour(toDateTime(${fromS}, 'UTC')) + INTERVAL number HOUR, now64(3) FROM numbers(${days * 24})`;

/** The rollup's own sums, of many days at once. */
function hourPieces(shape: Shape): readonly Piece[] {
  const days = MINUTE_DAYS - LEFT_DAYS;
  const toS = shape.startS + days * DAY_S;
  return [
    ...advertiserRanges(shape, HOUR_PARTS).map(([from, to]) => ({
      name: `hours of minutes, advertisers from ${from}`,
      sql: `INSERT INTO adtally.advertiser_counts_hourly
        SELECT advertiser_id, toStartOfHour(minute) AS hour,
          sum(clicks) AS clicks, sum(invalid) AS invalid, sum(duplicates) AS duplicates, 1 AS version
        FROM adtally.click_counts FINAL
        WHERE advertiser_id >= ${from} AND advertiser_id < ${to} AND minute < toStartOfHour(toDateTime(${toS}, 'UTC'))
        GROUP BY advertiser_id, hour ORDER BY advertiser_id, hour
        SETTINGS optimize_aggregation_in_order = 1`,
    })),
    { name: "the seals of hours of minutes", sql: sealed(shape.startS, days) },
  ];
}

/** The year's hours before the first minute: those that were made of minutes, put back in time again and again. */
function olderHourPieces(shape: Shape): readonly Piece[] {
  const { startS } = shape;
  const made: Piece[] = [];
  const firstS = startS - (YEAR_DAYS - MINUTE_DAYS) * DAY_S;
  const hour = (atS: number) => `toStartOfHour(toDateTime(${atS}, 'UTC'))`;
  for (let back = 1; back * MINUTE_DAYS < YEAR_DAYS; back++)
    for (const [from, to] of advertiserRanges(shape, HOUR_PARTS / 2))
      made.push({
        name: `hours, put back ${back} times, advertisers from ${from}`,
        sql: `INSERT INTO adtally.advertiser_counts_hourly
          SELECT advertiser_id, hour - INTERVAL ${back * MINUTE_DAYS} DAY AS earlier, clicks, invalid, duplicates, version
          FROM adtally.advertiser_counts_hourly FINAL
          WHERE advertiser_id >= ${from} AND advertiser_id < ${to}
            AND hour >= ${hour(startS)} AND earlier >= ${hour(firstS)} AND earlier < ${hour(startS)}
          ORDER BY advertiser_id, hour`,
      });
  made.push({ name: "the seals of the year's older hours", sql: sealed(firstS, YEAR_DAYS - MINUTE_DAYS) });
  return made;
}

async function runPieces(
  clickhouse: ClickHouse,
  all: readonly Piece[],
  untilMs: number,
  say: (line: string) => void,
): Promise<boolean> {
  const noted = await clickhouse.rows<{ name: string }>("SELECT name FROM bench.pieces");
  const done = new Set(noted.map(({ name }) => name));
  for (const [index, { name, sql }] of all.entries()) {
    if (done.has(name)) continue;
    if (performance.now() > untilMs) return false;
    const startedAt = performance.now();
    await clickhouse.command(sql, undefined, INSERT_SETTINGS);
    await clickhouse.command("INSERT INTO bench.pieces SELECT {name:String}", { name });
    say(`${index + 1}/${all.length} ${name}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  }
  return true;
}
