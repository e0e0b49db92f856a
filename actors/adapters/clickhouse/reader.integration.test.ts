import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import { exampleCount } from "../../ports/count-sink.conformance.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMemoryLog } from "../memory/memory-log.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { startEngine } from "./engine-process.ts";
import { startEngineServer, type EngineServer } from "./engine/engine.ts";
import { defaultEngineLimits } from "./engine/limits.ts";
import { migrate } from "./migrations.ts";
import { startRawIngester } from "./raw-ingester.ts";
import { fakeBlock, fakeClick, fakeImpressionId } from "./raw-rows.fixture.ts";
import { readerGrants, readerSettings, readerStatements } from "./reader.ts";
import { createReports } from "./reports.ts";
import { DEFAULT_RETENTION } from "./schema.ts";
import { SINGLE_SERVER } from "./topology.ts";

/**
 * The engine cannot make users by statements (it keeps none), but takes them from a file: its one
 * user gets the very grants and settings that readerStatements names.
 */
const T = Math.floor(Date.now() / 60_000) * 60_000 - 600_000;
const settings = readerSettings({});
const bounds = settings.map(
  ([name, value, bound]) =>
    `<${name}>${bound === "const" ? "<const/>" : `<min>1</min><max>${value}</max>`}</${name}>`,
);
const usersFile = `<clickhouse>
  <profiles><default>
    ${settings.map(([name, value]) => `<${name}>${value}</${name}>`).join("")}
    <constraints>${bounds.join("")}</constraints>
  </default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <grants>${readerGrants(SINGLE_SERVER)
      .map((grant) => `<query>GRANT ${grant}</query>`)
      .join("")}</grants>
  </default></users>
</clickhouse>`;

let dataDir: string;
let server: EngineServer;
let reader: ClickHouse;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "adtally-reader-"));
  const engine = await startEngine({ dataDir, port: 0, clock: systemClock, logger: silentLogger });
  const writer = connectClickHouse({ url: engine.url });
  await migrate(writer, DEFAULT_RETENTION);
  const sink = createClickHouseCountSink(writer);
  await sink.writeCounts(encodeCountRows([exampleCount({ minute: T / 60_000, clicks: 9 })]));
  await sink.writeCheckpoints([{ shard: 1, epoch: 1, offset: 1, watermarkMs: T + 60_000 }]);
  const log = createMemoryLog();
  await log.append(1, fakeBlock(1, 7, 1, [fakeClick(T, 5)]));
  const ingester = await startRawIngester({
    log,
    clickhouse: writer,
    shards: [1],
    limits: DEFAULT_LIMITS,
    clock: systemClock,
    logger: silentLogger,
  });
  await ingester.drain();
  await ingester.stop();
  await writer.close();
  await engine.close();

  const configFile = join(dataDir, "config.xml");
  const usersPath = join(dataDir, "users.xml");
  await writeFile(usersPath, usersFile);
  await writeFile(configFile, `<clickhouse><users_config>${usersPath}</users_config></clickhouse>`);
  server = await startEngineServer({
    dataDir,
    port: 0,
    limits: defaultEngineLimits,
    clock: systemClock,
    configFile,
    onFatal: () => undefined,
  });
  reader = connectClickHouse({ url: `http://127.0.0.1:${server.port}`, readOnly: true });
});
afterAll(async () => {
  await reader?.close();
  await server?.drain();
  await rm(dataDir, { recursive: true, force: true });
});

describe("the reading user", () => {
  test("A1 has what every report needs", async () => {
    const reports = createReports({ clickhouse: reader, limits: DEFAULT_LIMITS, shards: () => [1] });
    const report = await reports.clicksReport({
      subject: { advertiserId: 7n, campaignId: 70n, adId: 700n },
      fromMs: T,
      toMs: T + 60_000,
      granularity: "1m",
    });
    expect(report.total.clicks).toBe(9);
    expect(report.watermark).not.toBeNull();
    const explained = await reports.explainClick(fakeImpressionId(T - 5_000, 5));
    expect(explained).toMatchObject({ verdict: "ACCEPTED", counted: true });
  });

  test.each([
    ["reads no address", "SELECT ip FROM adtally.clicks_raw", "ACCESS_DENIED"],
    ["reads no whole raw row", "SELECT * FROM adtally.clicks_raw", "ACCESS_DENIED"],
    ["reads nothing beside adtally's tables", "SELECT * FROM system.users", "ACCESS_DENIED"],
    ["reads no file", "SELECT * FROM file('a.txt', 'LineAsString')", "READONLY|ACCESS_DENIED"],
    [
      "reaches no other server",
      "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
      "READONLY|ACCESS",
    ],
    ["cannot read for ever", "SELECT 1 SETTINGS max_execution_time = 3600", "SETTING_CONSTRAINT_VIOLATION"],
    ["cannot lift its bounds", "SELECT 1 SETTINGS max_execution_time = 0", "SETTING_CONSTRAINT_VIOLATION"],
    ["cannot end being read-only", "SELECT 1 SETTINGS readonly = 0", "SETTING_CONSTRAINT_VIOLATION|READONLY"],
  ])("A1, A2 %s", async (_, sql, why) => {
    await expect(reader.rows(sql)).rejects.toMatchObject({
      code: "COUNT_SINK_REJECTED",
      message: expect.stringMatching(why),
    });
  });

  test.each([
    "DROP TABLE adtally.click_counts",
    "TRUNCATE TABLE adtally.click_counts",
    "INSERT INTO adtally.ads (ad_id) SELECT 1",
    "CREATE TABLE adtally.mine (a UInt8) ENGINE = Memory",
    "ALTER TABLE adtally.click_counts DELETE WHERE 1",
  ])("A2 cannot: %s", async (sql) => {
    await expect(reader.command(sql)).rejects.toMatchObject({
      code: "COUNT_SINK_REJECTED",
      message: expect.stringMatching(/READONLY|ACCESS_DENIED/),
    });
  });

  test("its statements are read by ClickHouse's own parser", async () => {
    for (const topology of [SINGLE_SERVER, { kind: "cluster", name: "production" }] as const)
      for (const sql of readerStatements(topology, { username: "adtally_reader", password: "secret" })) {
        const [parsed] = await reader.rows<{ sql: string }>("SELECT formatQuery({sql:String}) AS sql", {
          sql,
        });
        expect(parsed!.sql.includes("ON CLUSTER production")).toBe(topology.kind === "cluster");
      }
  });

  test("A3 no statement holds its password", () => {
    const options = { username: "adtally_reader", password: "hunter2" };
    const all = readerStatements(SINGLE_SERVER, options).join("\n");
    expect(all).not.toContain("hunter2");
    expect(all).toMatch(/sha256_hash BY '[0-9a-f]{64}' SALT '[0-9a-f]{32}'/);
  });

  test.each([
    [{ username: "x; DROP", password: "p" }, "is not a user's name"],
    [{ username: "reader", password: "" }, "has no password"],
    [{ username: "reader", password: "p", maxExecutionS: 0.5 }, "whole number"],
  ])("%j is refused", (options, why) => {
    expect(() => readerStatements(SINGLE_SERVER, options)).toThrow(why);
  });
});
