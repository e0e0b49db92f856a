import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { createReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { createReports } from "../../actors/adapters/clickhouse/reports.ts";
import { HttpProblem } from "../../actors/adapters/http/problem.ts";
import { createApi } from "../../actors/adapters/http/api.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { encodeCountRows } from "../../actors/ports/count-rows.ts";
import { exampleCount } from "../../actors/ports/count-sink.conformance.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { registerReportRoutes, seesAll } from "./routes.ts";

const NOW = Date.UTC(2026, 0, 31, 12, 0, 30);
let fixture: EngineFixture;
const apps: FastifyInstance[] = [];

function openApp(url: string): FastifyInstance {
  const { app } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    readiness: () => [],
    version: "0",
    authenticate: () => undefined,
  });
  const clickhouse = connectClickHouse({ url });
  app.addHook("onClose", () => clickhouse.close());
  registerReportRoutes(app, {
    desk: createReportDesk({
      clickhouse,
      reports: createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => [0] }),
    }),
    authorise: seesAll(async (request) => {
      if (request.headers.authorization !== "Bearer good")
        throw new HttpProblem(401, "UNAUTHENTICATED", "no key");
    }),
    clock: { ...systemClock, now: () => NOW },
    limits: DEFAULT_LIMITS,
  });
  apps.push(app);
  return app;
}

const get = (app: FastifyInstance, url: string) =>
  app.inject({ method: "GET", url, headers: { authorization: "Bearer good" } });

beforeAll(async () => {
  fixture = await openEngineFixture();
  openApp(fixture.engine.url);
  await createClickHouseCountSink(fixture.clickhouse).writeCounts(
    encodeCountRows([
      exampleCount({ adId: 18_446_744_073_709_551_615n, minute: NOW / 60_000 - 0.5, clicks: 3 }),
    ]),
  );
});
afterAll(async () => {
  for (const app of apps) await app.close();
  await fixture.close();
});

test("the defaults are the last hour, by minutes, the current one included", async () => {
  const response = await get(apps[0]!, "/v1/reports/clicks?ad_id=18446744073709551615");
  expect(response.statusCode).toBe(200);
  const report = response.json();
  expect(report.total).toEqual({ clicks: 3, invalid: 2, duplicates: 1 });
  expect(report.watermark).toBeNull();
  expect(report.rows).toHaveLength(61);
  expect(report.rows[0].start).toBe("2026-01-31T11:00:00.000Z");
  expect(report.rows[60]).toEqual({
    start: "2026-01-31T12:00:00.000Z",
    clicks: 3,
    invalid: 2,
    duplicates: 1,
    status: "live",
  });
});

test.each([
  ["", "exactly one of"],
  ["ad_id=1&campaign_id=2", "exactly one of"],
  ["ad_id=01", "ad_id must be"],
  ["ad_id=18446744073709551616", "ad_id must be"],
  ["ad_id=1%20OR%201=1", "ad_id must be"],
  ["ad_id=1&ad_id=2", "ad_id"],
  ["ad_id=1&granularity=1y", "must be one of 1m, 5m, 1h, 1d"],
  ["ad_id=1&from=yesterday", "from must be"],
  ["ad_id=1&from=2026-01-31%2012:00", "from must be"],
  ["ad_id=1&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from must lie before to"],
  ["ad_id=1&from=2025-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "coarser"],
  ["ad_id=1&nonsense=1", "nonsense"],
])("a malformed report request is refused by name: %s", async (query, detail) => {
  const response = await get(apps[0]!, `/v1/reports/clicks?${query}`);
  expect(response.statusCode).toBe(400);
  expect(response.headers["content-type"]).toContain("application/problem+json");
  expect(response.json()).toMatchObject({ status: 400, code: "INPUT_INVALID" });
  expect(response.json().detail).toContain(detail);
});

test.each(["+", "%2B", "%20"])(
  "from and to with an offset of +02:00 were refused where the URL had its plus as %s",
  async (plus) => {
    const [from, to] = [`2026-01-31T12:00:00${plus}02:00`, `2026-01-31T12:02:00${plus}02:00`];
    const response = await get(apps[0]!, `/v1/reports/clicks?ad_id=1&from=${from}&to=${to}`);
    expect(response.statusCode).toBe(200);
    expect(response.json<{ rows: { start: string }[] }>().rows.map(({ start }) => start)).toEqual([
      "2026-01-31T10:00:00.000Z",
      "2026-01-31T10:01:00.000Z",
    ]);
  },
);

test("the query service's OpenAPI document lacked its reports; log_offset is a string in it", async () => {
  await apps[0]!.ready();
  const document = JSON.stringify((await apps[0]!.inject("/openapi.json")).json());
  const offsets = [...document.matchAll(/"log_offset":\{"type":"(\w+)"/g)].map(([, type]) => type);
  expect(offsets).toEqual(["string"]);
});

test("an unknown click is 404, a malformed id 400", async () => {
  const unknown = await get(apps[0]!, "/v1/clicks/019bf000-0000-7000-8000-000000000001");
  expect([unknown.statusCode, unknown.json().code]).toEqual([404, "NOT_FOUND"]);
  const malformed = await get(apps[0]!, "/v1/clicks/019bf000");
  expect([malformed.statusCode, malformed.json().code]).toEqual([400, "INPUT_INVALID"]);
});

test("both routes ask for a key", async () => {
  for (const url of ["/v1/reports/clicks?ad_id=1", "/v1/clicks/x"])
    expect((await apps[0]!.inject({ method: "GET", url })).statusCode).toBe(401);
});

test("without ClickHouse the answer is 503 with a hint when to come back", async () => {
  const response = await get(openApp("http://127.0.0.1:9"), "/v1/reports/clicks?ad_id=1");
  expect(response.statusCode).toBe(503);
  expect(response.json().code).toBe("COUNT_SINK_UNAVAILABLE");
  expect(response.headers["retry-after"]).toBe("1");
});
