import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { formatUuid } from "../../core/ids.ts";
import { Reason, Verdict } from "../../core/verdict.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import { exampleCount } from "../../ports/count-sink.conformance.ts";
import type { ClickLog } from "../../ports/click-log.ts";
import type { CountRow } from "../../ports/count-sink.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMemoryLog } from "../memory/memory-log.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { createReplayRecord } from "./replays.ts";
import { startRawIngester } from "./raw-ingester.ts";
import { fakeBlock, fakeClick, type FakeClick } from "./raw-rows.fixture.ts";
import {
  GRANULARITY_MS,
  createReports,
  type Granularity,
  type ReportSubject,
  type Reports,
} from "./reports.ts";

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;
const FIRST_MINUTE = 20_700 * DAY_MINUTES;

let fixture: EngineFixture;
let reports: Reports;
let shardsInUse: readonly number[] = [0];
beforeAll(async () => {
  fixture = await openEngineFixture();
  reports = createReports({
    clickhouse: fixture.clickhouse,
    limits: DEFAULT_LIMITS,
    shards: () => shardsInUse,
  });
});
afterAll(() => fixture.close());
beforeEach(async () => {
  for (const table of ["click_counts", "shard_checkpoints", "clicks_raw", "raw_ingest_progress"])
    await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
});

const writeCounts = (rows: readonly CountRow[]) =>
  createClickHouseCountSink(fixture.clickhouse).writeCounts(encodeCountRows(rows));
const writeWatermarks = (watermarks: readonly number[]) =>
  createClickHouseCountSink(fixture.clickhouse).writeCheckpoints(
    watermarks.map((watermarkMs, shard) => ({ shard, epoch: 1, offset: 1, watermarkMs })),
  );

describe("clicksReport", () => {
  const ads = [1, 2, 3, 4, 5].map((n) => ({
    adId: BigInt(1000 + n),
    campaignId: BigInt(100 + (n >> 1)),
    advertiserId: BigInt(10 + (n >> 2)),
  }));
  const count = fc.record({
    ad: fc.nat(4),
    // Few minutes, so that versions of one count meet; at the edges of every granularity.
    minute: fc.constantFrom(0, 1, 4, 5, 59, 60, 1_439, 1_440, 2_879),
    shard: fc.nat(2),
    version: fc.nat(5),
    clicks: fc.nat(4_000_000_000),
    invalid: fc.nat(9),
    duplicates: fc.nat(9),
  });
  const question = fc.record({
    subject: fc.oneof(
      ...ads.flatMap((ad): fc.Arbitrary<ReportSubject>[] => [
        fc.constant({ adId: ad.adId }),
        fc.constant(ad),
        fc.constant({ campaignId: ad.campaignId }),
        fc.constant({ advertiserId: ad.advertiserId }),
      ]),
    ),
    granularity: fc.constantFrom<Granularity>("1m", "5m", "1h", "1d"),
    fromMs: fc.oneof(fc.constant(0), fc.nat(2 * DAY_MINUTES * MINUTE_MS)),
    lengthMs: fc.integer({ min: 1, max: 2 * DAY_MINUTES * MINUTE_MS }),
    watermarks: fc.array(fc.nat(2 * DAY_MINUTES * MINUTE_MS), { maxLength: 3 }),
  });

  test("equals a plain recomputation, on random counts and questions", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(count, { maxLength: 80, size: "max" }),
        question,
        async (generated, asked) => {
          for (const table of ["click_counts", "shard_checkpoints"])
            await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
          const unique = new Map<string, CountRow>();
          for (const { ad, minute, ...rest } of generated) {
            const row = exampleCount({ ...ads[ad]!, minute: FIRST_MINUTE + minute, ...rest });
            unique.set(`${ad}/${minute}/${row.shard}/${row.version}`, row);
          }
          const rows = [...unique.values()];
          await writeCounts(rows.slice(0, rows.length >> 1));
          await writeCounts(rows.slice(rows.length >> 1));
          const base = FIRST_MINUTE * MINUTE_MS;
          await writeWatermarks(asked.watermarks.map((offset) => base + offset));
          shardsInUse = asked.watermarks.map((_, shard) => shard);

          const newest = new Map<string, CountRow>();
          for (const row of rows) {
            const key = `${row.adId}/${row.minute}/${row.shard}`;
            if ((newest.get(key)?.version ?? -1) < row.version) newest.set(key, row);
          }
          const step = GRANULARITY_MS[asked.granularity];
          const watermark = asked.watermarks.length === 0 ? undefined : base + Math.min(...asked.watermarks);
          const expected = [];
          const total = { clicks: 0, invalid: 0, duplicates: 0 };
          const toMs = base + asked.fromMs + asked.lengthMs;
          let start = base + asked.fromMs;
          for (start -= start % step; start < toMs; start += step) {
            const own = [...newest.values()].filter(
              (row) =>
                row.minute * MINUTE_MS >= start &&
                row.minute * MINUTE_MS < start + step &&
                Object.entries(asked.subject).every(([name, id]) => row[name as "adId"] === id),
            );
            const sum = (name: "clicks" | "invalid" | "duplicates") =>
              own.reduce((all, row) => all + row[name], 0);
            const counts = { clicks: sum("clicks"), invalid: sum("invalid"), duplicates: sum("duplicates") };
            total.clicks += counts.clicks;
            total.invalid += counts.invalid;
            total.duplicates += counts.duplicates;
            const status = watermark !== undefined && start + step <= watermark ? "final" : "live";
            expected.push({ start: new Date(start).toISOString(), ...counts, status });
          }

          const report = await reports.clicksReport({
            subject: asked.subject,
            granularity: asked.granularity,
            fromMs: base + asked.fromMs,
            toMs,
          });
          expect(report).toEqual({
            rows: expected,
            total,
            watermark: watermark === undefined ? null : new Date(watermark).toISOString(),
          });
        },
      ),
      // Shrinking would ask the engine hundreds of times; the seed is printed.
      { numRuns: 40, endOnFailure: true },
    );
  }, 30_000);

  test("a window is final from the moment the watermark reaches its end", async () => {
    const startMs = FIRST_MINUTE * MINUTE_MS;
    const status = async () =>
      (
        await reports.clicksReport({
          subject: { adId: 1n },
          fromMs: startMs,
          toMs: startMs + 1,
          granularity: "1m",
        })
      ).rows[0]?.status;
    shardsInUse = [0];
    await writeWatermarks([startMs + MINUTE_MS - 1]);
    expect(await status()).toBe("live");
    await writeWatermarks([startMs + MINUTE_MS]);
    expect(await status()).toBe("final");
  });

  test("a shard that has told nothing yet keeps windows live; a retired one does not hold them back", async () => {
    const startMs = FIRST_MINUTE * MINUTE_MS;
    const ask = () =>
      reports.clicksReport({ subject: { adId: 1n }, fromMs: startMs, toMs: startMs + 1, granularity: "1m" });
    await writeWatermarks([startMs + MINUTE_MS, 1]);
    shardsInUse = [0, 2];
    expect(await ask()).toMatchObject({ watermark: null, rows: [{ status: "live" }] });
    shardsInUse = [0];
    expect(await ask()).toMatchObject({ rows: [{ status: "final" }] });
    shardsInUse = [0, 1];
    expect(await ask()).toMatchObject({ rows: [{ status: "live" }] });
  });
});

describe("explainClick", () => {
  const T = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS + 1_234;
  const ingest = async (blocks: readonly (readonly FakeClick[])[], repeat?: number) => {
    const log = createMemoryLog();
    for (const [index, clicks] of blocks.entries()) {
      if (index === repeat) log.failNext(2, "applied-twice");
      await log.append(2, fakeBlock(2, 9, index + 1, clicks));
    }
    await ingestLog(log);
  };
  const ingestLog = async (log: ClickLog) => {
    const ingester = await startRawIngester({
      log,
      clickhouse: fixture.clickhouse,
      shards: [2],
      limits: DEFAULT_LIMITS,
      clock: systemClock,
      logger: silentLogger,
    });
    await ingester.drain();
    await ingester.stop();
  };

  test("an unknown id has no explanation", async () => {
    expect(await reports.explainClick(fakeClick(T, 1).impressionId)).toBeUndefined();
  });

  test("the first row that counts decides; later ones are duplicates whatever they say", async () => {
    const click = fakeClick(T, 1, { userAgent: "a\u0000\n\u{1f600}" });
    const late = { ...click, verdict: Verdict.LATE, reason: Reason.CLICK_TIME_TOO_OLD };
    await ingest([[late, fakeClick(T, 2)], [fakeClick(T, 3), click], [click]]);
    const explanation = await reports.explainClick(click.impressionId);
    expect(explanation).toMatchObject({
      impression_id: formatUuid(click.impressionId),
      verdict: "ACCEPTED",
      counted: true,
      has_more: false,
    });
    expect(explanation!.rows.map((row) => [row.log_offset, row.row_number, row.verdict, row.reason])).toEqual(
      [
        ["0", 0, "LATE", "CLICK_TIME_TOO_OLD"],
        ["1", 1, "ACCEPTED", "NONE"],
        ["2", 0, "DUPLICATE", "NONE"],
      ],
    );
    expect(explanation!.rows[1]).toEqual({
      verdict: "ACCEPTED",
      recorded_verdict: "ACCEPTED",
      reason: "NONE",
      source: "HTTP",
      shard: 2,
      log_offset: "1",
      row_number: 1,
      ad_id: "1001",
      campaign_id: "101",
      advertiser_id: "11",
      window: new Date(T - 1_234).toISOString(),
      click_time: new Date(T).toISOString(),
      received_time: new Date(T + 20).toISOString(),
      generation: 1,
      user_agent: click.userAgent,
    });
  });

  test("a block that the log holds twice is one click", async () => {
    const click = fakeClick(T, 1);
    await ingest([[fakeClick(T, 7)], [click], [fakeClick(T, 8)]], 1);
    expect((await reports.explainClick(click.impressionId))!.rows.map((row) => row.log_offset)).toEqual([
      "1",
    ]);
    const after = await reports.explainClick(fakeClick(T, 8).impressionId);
    expect(after!.rows[0]!.log_offset).toBe("3");
  });

  test("a dead letter replayed after a restart was hidden behind its letter of the same sequence and row", async () => {
    const click = fakeClick(T, 1, { verdict: Verdict.LATE, reason: Reason.CLICK_TIME_TOO_OLD });
    const replayed = { ...click, verdict: Verdict.ACCEPTED, reason: Reason.REPLAYED_DEAD_LETTER };
    const log = createMemoryLog();
    await log.append(2, fakeBlock(2, 9, 1, [click]));
    await log.append(2, fakeBlock(2, 10, 1, [replayed]));
    await ingestLog(log);
    const explanation = await reports.explainClick(click.impressionId);
    expect(explanation).toMatchObject({ verdict: "ACCEPTED", counted: true });
    expect(explanation!.rows.map((row) => row.verdict)).toEqual(["LATE", "ACCEPTED"]);
  });

  test("a replayed dead letter looked in listings like one that waits", async () => {
    const letterOf = (n: number) =>
      fakeClick(T, n, { verdict: Verdict.LATE, reason: Reason.CLICK_TIME_TOO_OLD });
    const replayOf = (n: number, verdict: number) => ({
      ...letterOf(n),
      verdict,
      reason: Reason.REPLAYED_DEAD_LETTER,
    });
    await ingest([
      [letterOf(1), letterOf(2), letterOf(3), fakeClick(T, 3)],
      [replayOf(1, Verdict.ACCEPTED), replayOf(3, Verdict.DUPLICATE)],
    ]);
    const keyOf = (n: number) => {
      const { impressionId, adId, campaignId, advertiserId } = letterOf(n);
      const ids = { adId: BigInt(adId), campaignId: BigInt(campaignId), advertiserId: BigInt(advertiserId) };
      return { impressionId: formatUuid(impressionId), ...ids };
    };
    const fates = await createReplayRecord(fixture.clickhouse).fatesOf([1, 2, 3, 4].map(keyOf));
    expect([1, 2, 3, 4].map((n) => fates.get(keyOf(n).impressionId))).toEqual([
      { replayed: true, counted: true },
      { replayed: false, counted: false },
      { replayed: true, counted: true },
      undefined,
    ]);
  });

  test("more rows than explainMaxRows are cut by name", async () => {
    const click = fakeClick(T, 1);
    await ingest([Array.from({ length: 5 }, () => click)]);
    const limits = { ...DEFAULT_LIMITS, explainMaxRows: 3 };
    const few = createReports({ clickhouse: fixture.clickhouse, limits, shards: () => [] });
    const explanation = await few.explainClick(click.impressionId);
    expect(explanation).toMatchObject({ has_more: true });
    expect(explanation!.rows.map((row) => row.verdict)).toEqual(["ACCEPTED", "DUPLICATE", "DUPLICATE"]);
  });

  test("rows of others, before one's own, left nothing to a caller who sees one advertiser", async () => {
    const own = fakeClick(T, 1);
    const others = fakeClick(T, 1, { advertiserId: 12 });
    await ingest([Array.from({ length: 5 }, () => others), [own]]);
    const limits = { ...DEFAULT_LIMITS, explainMaxRows: 3 };
    const few = createReports({ clickhouse: fixture.clickhouse, limits, shards: () => [] });
    const seenBy = (...ids: bigint[]) => few.explainClick(own.impressionId, { advertisers: new Set(ids) });
    const explanation = await seenBy(11n, 13n);
    expect(explanation).toMatchObject({ verdict: "ACCEPTED", has_more: false });
    expect(explanation!.rows.map((row) => row.advertiser_id)).toEqual(["11"]);
    expect(await seenBy(13n)).toBeUndefined();
    expect(await seenBy()).toBeUndefined();
  });
});
