/** Reports against a plain recomputation: 1,000 random questions, over HTTP's own words, on the real engine. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import type { CountRow } from "../../ports/count-sink.ts";
import { rawSince, readReportQuery, type ReportInput } from "../../reports/read-query.ts";
import { toCsv, toObjects } from "../../reports/render.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { createOracle, type Asked, type RawClick } from "./report-oracle.fixture.ts";
import { createReports, type Report, type Reports } from "./reports.ts";
import { makeHours } from "./rollups.ts";

const seed = Number(process.env["ADTALLY_SEED"] ?? Date.now() % 2 ** 31);
const questionCount = Number(process.env["ADTALLY_RUNS"] ?? 1_000);
const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;
/** Clocks are changed in these weeks: by an hour, by half of one, at midnight, forwards and back. */
const FIRST_MS = Date.UTC(2024, 2, 26);
const DAYS = 15;
const LAST_MS = FIRST_MS + DAYS * DAY_MS;
const NOW_MS = LAST_MS - 3 * 3_600_000;
const ZONES = [
  "UTC",
  "Europe/Berlin",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Asia/Beirut",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
  "America/Santiago",
  "America/St_Johns",
];
const ads = Array.from({ length: 8 }, (_, n) => ({
  adId: BigInt(n === 7 ? "18446744073709551615" : 995 + n),
  campaignId: BigInt(98 + (n >> 1)),
  advertiserId: BigInt(9 + (n >> 2)),
}));
const limits = DEFAULT_LIMITS;

const count = fc.record({
  ad: fc.nat(7),
  minute: fc.nat(DAYS * 1_440 - 1),
  shard: fc.nat(1),
  clicks: fc.nat(90),
  invalid: fc.nat(5),
  duplicates: fc.nat(5),
});
const REASONS = {
  ACCEPTED: ["NONE", "REPLAYED_DEAD_LETTER"],
  INVALID_TRAFFIC: ["NONE"],
  DUPLICATE: ["NONE"],
  LATE: ["CLICK_TIME_TOO_OLD"],
  EXPIRED: ["TOKEN_EXPIRED", "HELD_PAST_RETENTION"],
  REFUSED: ["RECEIVED_IN_FUTURE"],
} as const;
type Named = keyof typeof REASONS;
const click = fc.record({
  ad: fc.nat(7),
  clickMs: fc.integer({ min: FIRST_MS, max: LAST_MS - 1 }),
  verdict: fc.constantFrom<Named>(...(Object.keys(REASONS) as Named[])),
  which: fc.nat(1),
});

const many = (values: readonly unknown[], most = 3) =>
  fc.option(
    fc.subarray(values.map(String), { minLength: 1, maxLength: Math.min(most, values.length) }).map(String),
    {
      nil: undefined,
      freq: 2,
    },
  );
const unique = (name: "adId" | "campaignId" | "advertiserId") => [...new Set(ads.map((ad) => ad[name]))];
const rare = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 1 });
const question = fc.record({
  granularity: fc.constantFrom("1m", "5m", "1h", "1d", "1w", "total"),
  time_zone: fc.constantFrom(...ZONES),
  fromMs: fc.integer({ min: FIRST_MS - 2 * DAY_MS, max: LAST_MS - 1 }),
  lengthMs: fc.oneof(fc.integer({ min: 1, max: DAY_MS }), fc.integer({ min: 1, max: DAYS * DAY_MS })),
  advertiser_id: many(unique("advertiserId")),
  campaign_id: many(unique("campaignId")),
  ad_id: many(unique("adId")),
  group_by: many(["advertiser", "campaign", "ad", "verdict", "reason"], 2),
  verdict: rare(fc.subarray(Object.keys(REASONS), { minLength: 1 }).map(String)),
  include: rare(fc.constant("late")),
  top: rare(fc.constantFrom("1", "2", "3")),
  compare: rare(fc.constant("previous")),
  sorted: rare(fc.tuple(fc.nat(3), fc.boolean())),
  limit: rare(fc.constantFrom("1", "7", "50")),
});

let fixture: EngineFixture;
let clickhouse: ClickHouse;
let reports: Reports;
let oracle: ReturnType<typeof createOracle>;

const someOf = <T>(arbitrary: fc.Arbitrary<T>, numRuns: number, salt: number): T[] =>
  fc.sample(arbitrary, { seed: seed + salt, numRuns });

beforeAll(async () => {
  fixture = await openEngineFixture();
  clickhouse = connectClickHouse({ url: fixture.engine.url, deadlineMs: 60_000 });
  const sink = createClickHouseCountSink(clickhouse);
  const made = someOf(count, 4_000, 1).map((row, index): CountRow => ({
    ...row,
    ...ads[row.ad]!,
    minute: FIRST_MS / MINUTE_MS + row.minute,
    version: index,
  }));
  // The first half is rolled up, but for the last days; what comes later opens its hours again.
  await sink.writeCounts(encodeCountRows(made.slice(0, 3_700)));
  await clickhouse.command("TRUNCATE TABLE adtally.rollup_hours");
  for (let day = 0; day < DAYS - 3; day++)
    await makeHours(clickhouse, { fromMs: FIRST_MS + day * DAY_MS, toMs: FIRST_MS + (day + 1) * DAY_MS });
  await sink.writeCounts(encodeCountRows(made.slice(3_700)));
  const watermarkMs = NOW_MS - 7 * 3_600_000 - 12_345;
  await sink.writeCheckpoints([0, 1].map((shard) => ({ shard, epoch: 1, offset: 1, watermarkMs })));

  const clicks = someOf(click, 700, 2).map(({ ad, clickMs, verdict, which }): RawClick => ({
    ...ads[ad]!,
    clickMs,
    verdict,
    reason: REASONS[verdict][which % REASONS[verdict].length]!,
  }));
  await writeRaw(clicks);
  const newest = new Map(made.map((row) => [`${row.adId}/${row.minute}/${row.shard}`, row]));
  oracle = createOracle({
    counts: [...newest.values()],
    clicks: [
      ...clicks,
      ...clicks.filter(isRepeated).map((row): RawClick => ({ ...row, verdict: "DUPLICATE", reason: "NONE" })),
    ],
    fromMs: FIRST_MS - 45 * DAY_MS,
    toMs: LAST_MS + 15 * DAY_MS,
    rawSinceMs: rawSince(NOW_MS, 7),
    watermarkMs,
  });
  reports = createReports({ clickhouse, limits, shards: () => [0, 1] });
}, 60_000);
afterAll(async () => {
  await clickhouse.close();
  await fixture.close();
});

/** Of these an owner wrote once more that did not know that they were counted. */
const isRepeated = ({ verdict }: RawClick, index: number): boolean =>
  index % 3 === 0 && (verdict === "ACCEPTED" || verdict === "INVALID_TRAFFIC");

/** Each row twice, as a block that the log holds twice. */
async function writeRaw(clicks: readonly RawClick[]): Promise<void> {
  const received = Date.now();
  const text = (ms: number) => new Date(ms).toISOString().replace("T", " ").replace("Z", "");
  const lines = clicks.flatMap((row, index) => {
    const line = {
      advertiser_id: String(row.advertiserId),
      campaign_id: String(row.campaignId),
      ad_id: String(row.adId),
      impression_id: `019bf000-0000-7000-8000-${String(index).padStart(12, "0")}`,
      click_time: text(row.clickMs),
      received_time: text(received),
      verdict: row.verdict,
      reason: row.reason,
      source: "HTTP",
      shard: 0,
      sequence: index + 1,
      row_number: 0,
    };
    const twice = [
      { ...line, offset: 3 * index },
      { ...line, offset: 3 * index + 1 },
    ];
    return isRepeated(row, index)
      ? [...twice, { ...line, offset: 3 * index + 2, sequence: 1_000_000 + index }]
      : twice;
  });
  await clickhouse.insertBytes("INSERT INTO adtally.clicks_raw FORMAT JSONEachRow", [
    Buffer.from(lines.map((line) => JSON.stringify(line)).join("\n")),
  ]);
}

type Question = typeof question extends fc.Arbitrary<infer Q> ? Q : never;

const MOST_MS: Readonly<Record<string, number>> = { "1m": DAY_MS, "5m": 4 * DAY_MS };

function asked({ fromMs, lengthMs, sorted, ...words }: Question): Asked {
  // Of fine ones no more than some thousand rows: they are all alike.
  const mostMs = MOST_MS[words.granularity] ?? Infinity;
  const toMs = Math.min(LAST_MS + DAY_MS, fromMs + Math.min(lengthMs, mostMs));
  const byReason = words.group_by?.includes("reason") ?? false;
  const from = byReason ? Math.max(fromMs, rawSince(NOW_MS, 7)) : fromMs;
  const input: Record<string, string> = {
    from: new Date(from).toISOString(),
    to: new Date(Math.max(toMs, from + 1)).toISOString(),
  };
  for (const [name, value] of Object.entries(words)) if (value !== undefined) input[name] = value;
  if (input["group_by"] === undefined) delete input["top"];
  if (sorted !== undefined) {
    const isOne = /verdict|reason/.test(words.group_by ?? "");
    const by = isOne
      ? ["time", "count"]
      : words.verdict === undefined
        ? ["time", "clicks", "invalid"]
        : ["time"];
    input["sort"] = `${sorted[1] ? "-" : ""}${by[sorted[0] % by.length]!}`;
  }
  return { input, fromMs: from, toMs: Math.max(toMs, from + 1) };
}

async function page(input: ReportInput): Promise<Report> {
  const { faults, query } = readReportQuery(input, { nowMs: NOW_MS, limits });
  if (query === undefined) throw new Error(`${JSON.stringify(input)}: ${JSON.stringify(faults)}`);
  return reports.report(query, NOW_MS);
}

const MAX_PAGES = 4;

test(`1,000 random questions equal a plain recomputation (seed ${seed})`, async () => {
  const questions = someOf(question, questionCount, 3).map(asked);
  let next = 0;
  const one = async ({ input, ...times }: Asked): Promise<void> => {
    const expected = oracle.report({ input, ...times });
    const rows: unknown[] = [];
    const whole = input.limit === undefined;
    let cursor: string | null | undefined;
    let csv = "";
    for (let pages = 0; cursor !== null && (whole || pages < MAX_PAGES); pages++) {
      const report = await page({ ...input, ...(cursor && { cursor }) });
      const context = `ADTALLY_SEED=${seed} ${JSON.stringify(input)}`;
      expect({ total: report.total, previousTotal: report.previousTotal }, context).toEqual({
        total: expected.total,
        previousTotal: expected.previousTotal,
      });
      expect(report.rowCount, context).toBe(expected.rows.length);
      const objects = toObjects(report);
      rows.push(...objects);
      csv = toCsv(report);
      const cells = csv
        .trimEnd()
        .split("\r\n")
        .slice(1)
        .map((line) => line.split(","));
      expect(cells, context).toEqual(
        objects.map((row) => Object.values(row).map((cell) => String(cell ?? ""))),
      );
      cursor = report.next;
    }
    expect(rows, `ADTALLY_SEED=${seed} ${JSON.stringify(input)}`).toEqual(
      whole || cursor === null ? expected.rows : expected.rows.slice(0, rows.length),
    );
  };
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (let at = next++; at < questions.length; at = next++) await one(questions[at]!);
    }),
  );
}, 300_000);
