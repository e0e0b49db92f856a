import { Client, Metadata, credentials, status as Status, type MethodDefinition } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import { exampleCount } from "../../ports/count-sink.conformance.ts";
import type { Access } from "../../reports/query.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createClickHouseCountSink } from "../clickhouse/count-sink.ts";
import { openEngineFixture, type EngineFixture } from "../clickhouse/engine.fixture.ts";
import { createReportDesk } from "../clickhouse/report-desk.ts";
import { createReports } from "../clickhouse/reports.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import { createReportsService } from "./reports-service.ts";
import { createGrpcServer, type GrpcServer } from "./server.ts";

const NOW = Date.UTC(2026, 0, 31, 12, 0, 30);
const AD = 18_446_744_073_709_551_615n;
let fixture: EngineFixture;
let server: GrpcServer;
let client: Client;
let access: Access = { advertisers: "all" };

beforeAll(async () => {
  fixture = await openEngineFixture();
  const { clickhouse } = fixture;
  const minute = Math.floor(NOW / 60_000);
  await createClickHouseCountSink(clickhouse).writeCounts(
    encodeCountRows([
      exampleCount({
        adId: AD,
        campaignId: 2n,
        advertiserId: 3n,
        minute,
        clicks: 4,
        invalid: 0,
        duplicates: 1,
      }),
      exampleCount({
        adId: 5n,
        campaignId: 6n,
        advertiserId: 7n,
        minute,
        clicks: 1,
        invalid: 0,
        duplicates: 0,
      }),
    ]),
  );
  await clickhouse.command(`INSERT INTO adtally.ads (ad_id, campaign_id, advertiser_id, updated_at)
    VALUES (${AD}, 2, 3, now64(3)), (5, 6, 7, now64(3))`);
  const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => [0] });
  server = createGrpcServer({
    services: [
      createReportsService({
        desk: createReportDesk({ reports, clickhouse }),
        authorise: async () => access,
        clock: { ...systemClock, now: () => NOW },
        limits: DEFAULT_LIMITS,
        logger: silentLogger,
      }),
    ],
    limits: DEFAULT_LIMITS,
    clock: systemClock,
  });
  client = new Client(`127.0.0.1:${await server.listen("127.0.0.1", 0)}`, credentials.createInsecure());
}, 30_000);
afterAll(async () => {
  client.close();
  await server.drain();
  await fixture.close();
});

interface Answer {
  readonly total: Record<string, string>;
  readonly rows: readonly { readonly adId?: string }[];
  readonly next: string;
}

function call(method: string, request: object): Promise<Answer> {
  const { path, requestSerialize, responseDeserialize } = serviceOf(loadProtos(), "ReportService")[
    method
  ] as MethodDefinition<object, Answer>;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      (error, answer) => (error === null ? resolve(answer!) : reject(error)),
    );
  });
}

test("a report over gRPC has the groups, ids of 64 bits, the rest and the period before", async () => {
  access = { advertisers: "all" };
  const report = await call("Report", {
    from: "-1h",
    granularity: "REPORT_GRANULARITY_TOTAL",
    groupBy: ["REPORT_GROUP_ADVERTISER", "REPORT_GROUP_AD"],
    top: 1,
    comparePrevious: true,
  });
  expect(report.total).toMatchObject({ clicks: "5", invalid: "0", duplicates: "1" });
  expect(report.total["late"]).toBeUndefined();
  expect(report.rows).toMatchObject([
    {
      adId: String(AD),
      advertiserId: "3",
      rest: false,
      counts: { clicks: "4" },
      previous: { clicks: "0" },
      share: 0.8,
    },
    { rest: true, counts: { clicks: "1" } },
  ]);
  expect(report.rows[1]!.adId).toBeUndefined();
  expect(report.next).toBe("");
});

test("a key of one advertiser is told of its own alone, and of another's ad as of one that there is not", async () => {
  access = { advertisers: new Set([7n]) };
  expect((await call("Report", { granularity: "REPORT_GRANULARITY_TOTAL" })).total["clicks"]).toBe("1");
  const refusal = async (request: object) => {
    const error = await call("Report", request).then(
      () => undefined,
      (thrown: unknown) => thrown as { code: number; details: string },
    );
    return [error?.code, error?.details];
  };
  expect(await refusal({ adIds: [String(AD)] })).toEqual([Status.NOT_FOUND, `no ad ${AD} is known`]);
  expect(await refusal({ adIds: ["99"] })).toEqual([Status.NOT_FOUND, "no ad 99 is known"]);
  expect(await refusal({ campaignIds: ["2"] })).toEqual([Status.NOT_FOUND, "no campaign 2 is known"]);
  expect(await refusal({ advertiserIds: ["3"] })).toEqual([Status.NOT_FOUND, "no advertiser 3 is known"]);
});

test("what is malformed is refused by name", async () => {
  access = { advertisers: "all" };
  await expect(call("Report", { timeZone: "Mars/Olympus" })).rejects.toMatchObject({
    code: Status.INVALID_ARGUMENT,
    details: expect.stringContaining("time_zone must be") as string,
  });
  await expect(call("Explain", { impressionId: Buffer.alloc(3) })).rejects.toMatchObject({
    code: Status.INVALID_ARGUMENT,
  });
  await expect(call("Explain", { impressionId: Buffer.alloc(16, 1) })).rejects.toMatchObject({
    code: Status.NOT_FOUND,
  });
});
