import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { createReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { createReports } from "../../actors/adapters/clickhouse/reports.ts";
import { createApi } from "../../actors/adapters/http/api.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { encodeCountRows } from "../../actors/ports/count-rows.ts";
import { exampleCount } from "../../actors/ports/count-sink.conformance.ts";
import type { Access } from "../../actors/reports/query.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { registerReportRoutes } from "./routes.ts";

const NOW = Date.UTC(2026, 0, 31, 12, 0, 30);
const MINUTE = Math.floor(NOW / 60_000);
/** Of advertiser 1: ads 10 to 14 of campaigns 100 and 101; of advertiser 2: ad 20 of campaign 200. */
const ads = [
  ...[10n, 11n, 12n, 13n, 14n].map((adId) => ({ adId, campaignId: 100n + (adId & 1n), advertiserId: 1n })),
  { adId: 20n, campaignId: 200n, advertiserId: 2n },
];
let fixture: EngineFixture;
let app: FastifyInstance;
let access: Access = { advertisers: "all" };

beforeAll(async () => {
  fixture = await openEngineFixture();
  const { clickhouse } = fixture;
  const counts = { invalid: 2, duplicates: 1, shard: 0 };
  await createClickHouseCountSink(clickhouse).writeCounts(
    encodeCountRows(
      ads.flatMap((ad, n) => [
        exampleCount({ ...ad, ...counts, minute: MINUTE - 5, clicks: n }),
        exampleCount({ ...ad, ...counts, minute: MINUTE - 70, clicks: 7 }),
      ]),
    ),
  );
  const values = ads.map((ad) => `(${ad.adId}, ${ad.campaignId}, ${ad.advertiserId}, now64(3))`);
  await clickhouse.command(
    `INSERT INTO adtally.ads (ad_id, campaign_id, advertiser_id, updated_at) VALUES ${values.join(", ")}`,
  );
  const api = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    readiness: () => [],
    version: "0",
    authenticate: () => undefined,
  });
  app = api.app;
  const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => [0] });
  registerReportRoutes(app, {
    desk: createReportDesk({ reports, clickhouse }),
    authorise: async () => access,
    clock: { ...systemClock, now: () => NOW },
    limits: DEFAULT_LIMITS,
  });
}, 30_000);
afterAll(async () => {
  await app.close();
  await fixture.close();
});

const get = (url: string, headers: Record<string, string> = {}) =>
  app.inject({ method: "GET", url, headers });
const QUESTION = "/v1/reports?from=-2h&granularity=1h&group_by=ad&time_zone=Asia/Kolkata&compare=previous";

test("CSV and Parquet have the rows of JSON", async () => {
  access = { advertisers: "all" };
  const json = (await get(QUESTION)).json();
  expect(json.rows).toHaveLength(12);
  expect(json).toMatchObject({
    from: "2026-01-31T09:30:00.000Z",
    to: "2026-01-31T12:30:00.000Z",
    time_zone: "Asia/Kolkata",
    row_count: 12,
    total: { clicks: 15 + 42, invalid: 24, duplicates: 12 },
    previous_total: { clicks: 0 },
    next: null,
  });
  const csv = await get(`${QUESTION}&format=csv`);
  expect(csv.headers["content-type"]).toContain("text/csv");
  const [head, ...lines] = csv.body.trimEnd().split("\r\n");
  expect(head!.split(",")).toEqual(json.columns);
  expect(lines).toEqual(
    json.rows.map((row: Record<string, unknown>) =>
      Object.values(row)
        .map((cell) => String(cell ?? ""))
        .join(","),
    ),
  );

  const parquet = await get(QUESTION, { accept: "application/vnd.apache.parquet" });
  expect(parquet.headers["content-type"]).toBe("application/vnd.apache.parquet");
  const { clickhouse } = fixture;
  await clickhouse.command(
    "CREATE TABLE adtally.read_back (start DateTime64(3, 'UTC'), ad_id String, clicks UInt64, previous_clicks UInt64, share Float64, status String) ENGINE = Memory",
  );
  await clickhouse.insertBytes("INSERT INTO adtally.read_back FORMAT Parquet", [parquet.rawPayload]);
  const readBack = await clickhouse.rows<Record<string, unknown>>(
    "SELECT toUnixTimestamp64Milli(start) AS start, ad_id, clicks, previous_clicks, share, status FROM adtally.read_back",
  );
  expect(
    readBack.map((row) => ({
      ...row,
      start: new Date(Number(row["start"])).toISOString(),
      clicks: Number(row["clicks"]),
      previous_clicks: Number(row["previous_clicks"]),
    })),
  ).toEqual(
    json.rows.map(({ start, ad_id, clicks, previous_clicks, share, status }: Record<string, unknown>) => ({
      start,
      ad_id,
      clicks,
      previous_clicks,
      share,
      status,
    })),
  );
});

test("pages go on by cursor, and by the header Link, and come to the whole", async () => {
  access = { advertisers: "all" };
  const whole = (await get(`${QUESTION}&sort=-clicks`)).json().rows;
  const rows: unknown[] = [];
  let url: string | undefined = `${QUESTION}&sort=-clicks&limit=5`;
  for (let pages = 0; url !== undefined && pages < 5; pages++) {
    const page = await get(url);
    expect(page.statusCode).toBe(200);
    rows.push(...page.json().rows);
    url = /^<(.+)>; rel="next"$/.exec(String(page.headers["link"] ?? ""))?.[1];
  }
  expect(rows).toEqual(whole);
});

test("the top groups have their share, the others are one row", async () => {
  access = { advertisers: "all" };
  const report = (
    await get("/v1/reports?from=-1h&granularity=total&group_by=ad&top=2&advertiser_id=1")
  ).json();
  expect(report.rows).toMatchObject([
    { ad_id: "14", clicks: 4, share: 0.4, rest: false },
    { ad_id: "13", clicks: 3, share: 0.3, rest: false },
    { ad_id: null, clicks: 3, share: 0.3, rest: true },
  ]);
});

test("another's ad, campaign and advertiser are as ones that there are not, by every route", async () => {
  access = { advertisers: new Set([1n]) };
  const plain = (url: string, id: string) =>
    get(url).then(({ statusCode, body }) => [statusCode, body.replaceAll(id, "ID")]);
  for (const [field, other] of [
    ["ad_id", "20"],
    ["campaign_id", "200"],
    ["advertiser_id", "2"],
  ] as const)
    for (const path of ["/v1/reports", "/v1/reports/clicks"]) {
      const answer = await plain(`${path}?${field}=${other}`, other);
      expect(answer[0]).toBe(404);
      expect(answer).toEqual(await plain(`${path}?${field}=987654`, "987654"));
      expect(
        (await get(`${path}?${field}=${{ ad_id: 10, campaign_id: 100, advertiser_id: 1 }[field]}`))
          .statusCode,
      ).toBe(200);
    }
  expect((await get("/v1/reports?granularity=total&group_by=advertiser")).json().rows).toMatchObject([
    { advertiser_id: "1", clicks: 10 + 35 },
  ]);
  access = { advertisers: new Set() };
  expect((await get("/v1/reports")).statusCode).toBe(403);
});

test.each([
  ["format=xml", "must be one of json, csv, parquet"],
  ["group_by=country", "country is not known of clicks yet"],
  ["group_by=reason&from=-30d", "reasons are known of raw clicks alone"],
  ["ad_id=1&ad_id=2", "ad_id stands in the URL more than once"],
  ["ad_id=1%27%20OR%201=1", "ad_id must be unsigned 64-bit"],
  ["order=clicks", "order is not a field of this request"],
])("a question that cannot be answered is refused by name: %s", async (query, detail) => {
  access = { advertisers: "all" };
  const response = await get(`/v1/reports?${query}`);
  expect(response.json()).toMatchObject({ status: 400, code: "INPUT_INVALID" });
  expect(response.json().detail).toContain(detail);
});

test("a report of too many rows is refused with what to do, never cut", async () => {
  access = { advertisers: "all" };
  const { clickhouse } = fixture;
  const limits = { ...DEFAULT_LIMITS, reportMaxRows: 11 };
  const reports = createReports({ clickhouse, limits, shards: () => [0] });
  const desk = createReportDesk({ reports, clickhouse });
  const { readReportQuery } = await import("../../actors/reports/read-query.ts");
  const { query } = readReportQuery({ from: "-2h", group_by: "ad" }, { nowMs: NOW, limits });
  await expect(desk.report(query!, access, NOW)).rejects.toMatchObject({
    code: "INPUT_INVALID",
    message: expect.stringContaining("more than 11 rows: ask for a coarser granularity") as string,
  });
});

test("the OpenAPI document has the report, its formats and its refusals, and is a page to read", async () => {
  const page = await get("/docs");
  expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
  expect(page.body).toContain("GET /v1/reports</h3>");
  expect(page.body).toContain("<code>rows[].previous_clicks</code>");
  const document = (await get("/openapi.json")).json();
  const { get: operation } = document.paths["/v1/reports"];
  expect(Object.keys(operation.responses["200"].content)).toEqual([
    "application/json",
    "text/csv",
    "application/vnd.apache.parquet",
  ]);
  expect(operation.parameters.map(({ name }: { name: string }) => name)).toContain("time_zone");
});
