import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { COUNT_COLUMNS } from "../../ports/count-sink.ts";
import { decodeCountRows } from "../../ports/count-rows.ts";
import { countSinkConformance } from "../../ports/count-sink.conformance.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMemoryLog } from "../memory/memory-log.ts";
import { connectClickHouse } from "./client.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { kafkaEngineStatements } from "./kafka-engine.ts";
import { DATABASE, migrate } from "./migrations.ts";
import { readRawProgress, startRawIngester } from "./raw-ingester.ts";
import { fakeBlock, fakeClick, fakeImpressionId } from "./raw-rows.fixture.ts";
import { createReports } from "./reports.ts";
import { DEFAULT_RETENTION, schemaSteps } from "./schema.ts";
import { TEST_CLUSTER, openClusterFixture, type ServerFixture } from "./topology.fixture.ts";

let fixture: ServerFixture;
beforeAll(async () => {
  fixture = await openClusterFixture();
  await migrate(fixture.clickhouse, DEFAULT_RETENTION);
});
afterAll(() => fixture.close());

countSinkConformance(
  "ClickHouse through Distributed tables",
  () => {
    const { clickhouse } = fixture;
    const columns = COUNT_COLUMNS.map(([name]) => name).join(", ");
    return Promise.resolve({
      sink: createClickHouseCountSink(clickhouse),
      counts: async () => {
        const bytes = await clickhouse.bytes(
          `SELECT ${columns} FROM ${DATABASE}.click_counts FINAL FORMAT RowBinary`,
        );
        return decodeCountRows({ rowCount: bytes.length / 50, bytes });
      },
      clear: async () => {
        await clickhouse.command(`TRUNCATE TABLE ${DATABASE}.click_counts_local`);
        await clickhouse.command(`TRUNCATE TABLE ${DATABASE}.shard_checkpoints_local`);
      },
      close: () => Promise.resolve(),
    });
  },
  8,
);

describe("a cluster's tables", () => {
  test("raw rows and their progress go through, and explain a click", async () => {
    const { clickhouse } = fixture;
    const nowMs = systemClock.now();
    const log = createMemoryLog();
    await log.append(1, fakeBlock(1, 7, 1, [fakeClick(nowMs, 1), fakeClick(nowMs, 2, { advertiserId: 12 })]));
    const ingester = await startRawIngester({
      log,
      clickhouse,
      shards: [1],
      limits: DEFAULT_LIMITS,
      clock: systemClock,
      logger: silentLogger,
    });
    await ingester.drain();
    await ingester.stop();
    expect(await readRawProgress(clickhouse)).toEqual(new Map([[1, 1]]));
    const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => [1] });
    expect(await reports.explainClick(fakeImpressionId(nowMs - 5_000, 2))).toMatchObject({ counted: true });
  });

  test("M1, M7 a second run changes nothing and sends no statement", async () => {
    const sent: string[] = [];
    const newest = schemaSteps(DATABASE, DEFAULT_RETENTION, TEST_CLUSTER).length;
    const watched = {
      ...fixture.clickhouse,
      command: (sql: string) => {
        sent.push(sql);
        return Promise.resolve();
      },
    };
    expect(await migrate(watched, DEFAULT_RETENTION)).toEqual({ from: newest, to: newest });
    expect(sent).toEqual([]);
  });

  test("M4 another retention reaches the local table", async () => {
    await migrate(fixture.clickhouse, { rawDays: 3, ipDays: 2 });
    const [table] = await fixture.clickhouse.rows<{ query: string }>(
      `SELECT create_table_query AS query FROM system.tables WHERE database = '${DATABASE}' AND name = 'clicks_raw_local'`,
    );
    expect(table!.query).toContain("TTL toDateTime(received_time) + toIntervalDay(3)");
    expect(table!.query).toContain("`ip` IPv6 TTL toDateTime(received_time) + toIntervalDay(2)");
  });

  test("M6 a database of a cluster is refused to who takes it for a single server", async () => {
    const single = connectClickHouse({ url: fixture.url });
    await expect(migrate(single, DEFAULT_RETENTION)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("was made for a cluster"),
    });
    await single.close();
  });

  test("M6 a cluster that the server does not know is refused, and the known ones are named", async () => {
    const wrong = connectClickHouse({ url: fixture.url, topology: { kind: "cluster", name: "elsewhere" } });
    await expect(migrate(wrong, DEFAULT_RETENTION)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("it knows adtally_test"),
    });
    await wrong.close();
  });
});

/** The engine parses all of it, and runs it up to where it asks for a Keeper. */
describe("the statements as they go to a real cluster", () => {
  test("those of the Kafka engine too", async () => {
    const { create, drop } = kafkaEngineStatements(TEST_CLUSTER, {
      brokers: ["kafka:9092"],
      topic: "clicks",
    });
    for (const sql of [...create, ...drop]) {
      const [parsed] = await fixture.clickhouse.rows<{ sql: string }>(
        "SELECT formatQuery({sql:String}) AS sql",
        { sql },
      );
      expect(parsed!.sql).toContain("ON CLUSTER adtally_test");
    }
  });

  const statements = schemaSteps("elsewhere", DEFAULT_RETENTION, TEST_CLUSTER).flatMap(
    (step) => step.statements,
  );

  test("each is read by ClickHouse's own parser as what it is meant to be", async () => {
    for (const sql of statements) {
      const [parsed] = await fixture.clickhouse.rows<{ sql: string }>(
        "SELECT formatQuery({sql:String}) AS sql",
        {
          sql,
        },
      );
      expect(parsed!.sql).toMatch(/^CREATE TABLE IF NOT EXISTS elsewhere\.\w+ ON CLUSTER adtally_test/);
    }
  });

  test("each replicated table is complete but for the Keeper", async () => {
    const plain = connectClickHouse({ url: fixture.url });
    await plain.command("CREATE DATABASE elsewhere");
    const replicated = statements.filter((sql) => sql.includes("ENGINE = Replicated"));
    expect(replicated.length).toBeGreaterThan(5);
    for (const sql of replicated)
      await expect(plain.command(sql.replace(" ON CLUSTER `adtally_test`", ""))).rejects.toThrow(
        "NO_ZOOKEEPER",
      );
    await plain.close();
  });
});
