import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import type { CountRow, CountSink } from "../../ports/count-sink.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { createReports, GRANULARITY_MS, reportSpan, type Granularity, type Reports } from "./reports.ts";
import { HOUR_MS, readReportState } from "./rollup-hours.ts";
import { makeHours, nextToMake, startRollups, type Rollups } from "./rollups.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * HOUR_MS;
const BASE_MS = 20_700 * DAY_MS;
const ADVERTISER = 10n;
const RETENTION_MS = DEFAULT_LIMITS.windowRetentionMs;

let fixture: EngineFixture;
let sink: CountSink;
let reports: Reports;
let rollups: Rollups;
const started: Rollups[] = [];
const openRollups = () => {
  const opened = startRollups({
    clickhouse: fixture.clickhouse,
    shards: () => [0, 1],
    limits: { ...DEFAULT_LIMITS, rollupIntervalMs: 1e9 },
    clock: systemClock,
    logger: silentLogger,
  });
  started.push(opened);
  return opened;
};
beforeAll(async () => {
  fixture = await openEngineFixture();
  const { clickhouse } = fixture;
  reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => [0, 1] });
  rollups = openRollups();
});
afterAll(async () => {
  for (const opened of started) await opened.stop();
  await fixture.close();
});
beforeEach(async () => {
  for (const table of ["click_counts", "shard_checkpoints", "advertiser_counts_hourly", "rollup_hours"])
    await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
  sink = createClickHouseCountSink(fixture.clickhouse);
  await watermark(BASE_MS);
});

const count = (change: Partial<CountRow> & { readonly atMs?: number }): CountRow => {
  const { atMs = BASE_MS, ...row } = change;
  return {
    advertiserId: ADVERTISER,
    campaignId: 100n,
    adId: 1_000n,
    minute: Math.floor(atMs / MINUTE_MS),
    shard: 0,
    clicks: 5,
    invalid: 1,
    duplicates: 2,
    version: 1,
    ...row,
  };
};
const write = (...rows: CountRow[]) => sink.writeCounts(encodeCountRows(rows));
const watermark = (atMs: number) =>
  sink.writeCheckpoints([0, 1].map((shard) => ({ shard, epoch: 1, offset: 1, watermarkMs: atMs })));
/** Lets the server's skew pass, which a mark must be older than before its hour is made again. */
const ageMarks = () =>
  fixture.clickhouse.command(
    `INSERT INTO adtally.rollup_hours SELECT hour, max(sealed_at) - INTERVAL 1 HOUR, max(reopened_at) - INTERVAL 1 HOUR
     FROM adtally.rollup_hours GROUP BY hour`,
  );
const valid = async () => (await readReportState(fixture.clickhouse, [0, 1])).rolledUp;
const clicksOf = async (granularity: Granularity = "1h", fromMs = BASE_MS, toMs = BASE_MS + DAY_MS) =>
  (await reports.clicksReport({ subject: { advertiserId: ADVERTISER }, fromMs, toMs, granularity })).total
    .clicks;
/** Makes the rollup say what minutes do not, so that it shows where a report read. */
const mark777 = () =>
  fixture.clickhouse.command(
    `INSERT INTO adtally.advertiser_counts_hourly SELECT advertiser_id, hour, 777, 0, 0, version + 1000000000
     FROM adtally.advertiser_counts_hourly FINAL`,
  );

test("hours that no click can come for any more are rolled up, and reports read them there", async () => {
  await write(count({}), count({ atMs: BASE_MS + 10 * HOUR_MS }));
  await watermark(BASE_MS + 3 * HOUR_MS + RETENTION_MS);
  await rollups.pass();
  expect(await valid()).toEqual([{ fromMs: BASE_MS, toMs: BASE_MS + 3 * HOUR_MS }]);
  expect(await clicksOf()).toBe(10);
  await mark777();
  expect(await clicksOf("1h")).toBe(782);
  expect(await clicksOf("1d")).toBe(782);
  expect(await clicksOf("1m")).toBe(10);
});

test("a sink that has just been made marks what it writes: it cannot tell what was rolled up", async () => {
  await write(count({}));
  await watermark(BASE_MS + HOUR_MS + RETENTION_MS);
  await rollups.pass();
  await mark777();
  sink = createClickHouseCountSink(fixture.clickhouse);
  await write(count({ version: 2, clicks: 6 }));
  expect(await clicksOf()).toBe(6);
});

test("an hour is left to minutes until every shard has passed it by the life of a window", async () => {
  await write(count({}));
  await watermark(BASE_MS + HOUR_MS + RETENTION_MS - 1);
  await rollups.pass();
  expect(await valid()).toEqual([]);
  await sink.writeCheckpoints([{ shard: 0, epoch: 1, offset: 1, watermarkMs: BASE_MS + DAY_MS }]);
  await rollups.pass();
  expect(await valid()).toEqual([]);
});

test("a count that comes after its hour was rolled up is in the next report, and the hour is made again", async () => {
  await write(count({}));
  await watermark(BASE_MS + HOUR_MS + RETENTION_MS);
  await rollups.pass();
  await mark777();
  await write(count({ version: 2, clicks: 6 }));
  expect(await valid()).toEqual([]);
  expect(await clicksOf()).toBe(6);
  // Too soon to tell the mark from a seal of now.
  await rollups.pass();
  expect(await valid()).toEqual([]);
});

test("a reopened hour is made again with a higher version, and counted once", async () => {
  await write(count({}));
  await watermark(BASE_MS + HOUR_MS + RETENTION_MS);
  await rollups.pass();
  await write(count({ version: 2, clicks: 6 }), count({ shard: 1, clicks: 100 }));
  await fixture.clickhouse.command("TRUNCATE TABLE adtally.rollup_hours");
  await rollups.pass();
  expect(await valid()).toHaveLength(1);
  expect(await clicksOf()).toBe(106);
});

test("a crash before the seal, two writers at once and repeated passes change nothing", async () => {
  await write(...Array.from({ length: 30 }, (_, hour) => count({ atMs: BASE_MS + hour * HOUR_MS })));
  await watermark(BASE_MS + 30 * HOUR_MS + RETENTION_MS);
  const day = { fromMs: BASE_MS, toMs: BASE_MS + DAY_MS };
  await makeHours(fixture.clickhouse, day);
  await fixture.clickhouse.command("TRUNCATE TABLE adtally.rollup_hours");
  expect(await clicksOf()).toBe(120);
  await Promise.all([rollups.pass(), openRollups().pass(), makeHours(fixture.clickhouse, day)]);
  await rollups.pass();
  expect(await valid()).toEqual([{ fromMs: BASE_MS, toMs: BASE_MS + 30 * HOUR_MS }]);
  expect(await clicksOf()).toBe(120);
  expect(await clicksOf("1d", BASE_MS, BASE_MS + 2 * DAY_MS)).toBe(150);
});

test("with more gaps than a report can name, the rest is read from minutes", async () => {
  const hours = 100;
  await write(...Array.from({ length: hours }, (_, hour) => count({ atMs: BASE_MS + hour * HOUR_MS })));
  await watermark(BASE_MS + hours * HOUR_MS + RETENTION_MS);
  await rollups.pass();
  await write(
    ...Array.from({ length: hours / 2 }, (_, n) => count({ atMs: BASE_MS + 2 * n * HOUR_MS, version: 2 })),
  );
  expect((await valid()).length).toBeLessThan(hours / 2);
  await rollups.pass();
  expect(await clicksOf("1h", BASE_MS, BASE_MS + hours * HOUR_MS)).toBe(5 * hours);
});

test("one statement makes the hours of one day at the most, the newest first", () => {
  const range = (from: number, to: number) => ({
    fromMs: BASE_MS + from * HOUR_MS,
    toMs: BASE_MS + to * HOUR_MS,
  });
  expect(nextToMake([])).toBeUndefined();
  expect(nextToMake([range(0, 2), range(5, 60)])).toEqual(range(48, 60));
  expect(nextToMake([range(5, 48)])).toEqual(range(24, 48));
  expect(nextToMake([range(30, 33)])).toEqual(range(30, 33));
});

const SCENES = 25;
const QUESTIONS = 40;
const hourOfScene = fc.nat(4 * 24 - 1);
const written = fc.record({
  hour: hourOfScene,
  minute: fc.constantFrom(0, 1, 30, 59),
  ad: fc.nat(3),
  shard: fc.nat(1),
  clicks: fc.nat(1_000_000),
});
const question = fc.record({
  granularity: fc.constantFrom<Granularity>("1m", "5m", "1h", "1h", "1d", "1d"),
  fromMs: fc.nat(4 * 24 * 60).map((minutes) => minutes * MINUTE_MS),
  lengthMs: fc.integer({ min: 1, max: 4 * 24 * 60 }).map((minutes) => minutes * MINUTE_MS),
  advertiser: fc.nat(2),
});
const scene = fc.record({
  early: fc.array(written, { minLength: 5, maxLength: 60, size: "max" }),
  late: fc.array(written, { maxLength: 12, size: "max" }),
  sealedHours: fc.integer({ min: 1, max: 4 * 24 }),
  aged: fc.boolean(),
  questions: fc.array(question, { minLength: QUESTIONS, maxLength: QUESTIONS }),
});

test(`${SCENES * QUESTIONS} random reports with rolled up, reopened and live hours equal the recomputation from minutes`, async () => {
  let questions = 0;
  let rolledUpQuestions = 0;
  await fc.assert(
    fc.asyncProperty(scene, async ({ aged, early, late, questions: asked, sealedHours }) => {
      for (const table of ["click_counts", "shard_checkpoints", "advertiser_counts_hourly", "rollup_hours"])
        await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
      sink = createClickHouseCountSink(fixture.clickhouse);
      await watermark(BASE_MS);
      const newest = new Map<string, CountRow>();
      let version = 0;
      const writeAll = async (all: readonly (typeof early)[number][]) => {
        const rows = all.map(({ ad, hour, minute, shard, clicks }) => {
          const row = count({
            advertiserId: ADVERTISER + BigInt(ad >> 1),
            campaignId: 100n + BigInt(ad >> 1),
            adId: 1_000n + BigInt(ad),
            atMs: BASE_MS + hour * HOUR_MS + minute * MINUTE_MS,
            shard,
            clicks,
            version: ++version,
          });
          newest.set(`${ad}/${row.minute}/${shard}`, row);
          return row;
        });
        if (rows.length > 0) await write(...rows);
      };
      await writeAll(early);
      await watermark(BASE_MS + sealedHours * HOUR_MS + RETENTION_MS);
      await rollups.pass();
      await writeAll(late);
      if (aged) {
        await ageMarks();
        await rollups.pass();
      }
      const ranges = await valid();
      await Promise.all(
        asked.map(async ({ advertiser, fromMs, granularity, lengthMs }) => {
          const query = {
            subject: { advertiserId: ADVERTISER + BigInt(advertiser) },
            fromMs: BASE_MS + fromMs,
            toMs: BASE_MS + fromMs + lengthMs,
            granularity,
          };
          const span = reportSpan(query);
          const report = await reports.clicksReport(query);
          questions += 1;
          const spanEndMs = span.fromMs + span.points * span.stepMs;
          if (
            span.stepMs >= HOUR_MS &&
            ranges.some((range) => range.fromMs < spanEndMs && range.toMs > span.fromMs)
          )
            rolledUpQuestions += 1;
          const expected = Array.from({ length: span.points }, () => 0);
          for (const row of newest.values()) {
            const index = Math.floor((row.minute * MINUTE_MS - span.fromMs) / GRANULARITY_MS[granularity]);
            if (row.advertiserId === query.subject.advertiserId && index >= 0 && index < span.points)
              expected[index]! += row.clicks;
          }
          expect(report.rows.map(({ clicks }) => clicks)).toEqual(expected);
        }),
      );
    }),
    { numRuns: SCENES, endOnFailure: true },
  );
  expect(questions).toBeGreaterThanOrEqual(SCENES * QUESTIONS);
  expect(rolledUpQuestions).toBeGreaterThan(questions / 10);
}, 120_000);
