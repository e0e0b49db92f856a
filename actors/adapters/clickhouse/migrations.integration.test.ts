import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Reason, Source, Verdict } from "../../core/verdict.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { migrate } from "./migrations.ts";
import { DEFAULT_RETENTION, schemaSteps } from "./schema.ts";

describe("migrations", () => {
  let fixture: EngineFixture;
  beforeAll(async () => {
    fixture = await openEngineFixture();
  });
  afterAll(() => fixture.close());
  const newest = schemaSteps("adtally", DEFAULT_RETENTION).length;
  const tableOf = async (name: string) => {
    const [table] = await fixture.clickhouse.rows<{ create_table_query: string }>(
      "SELECT create_table_query FROM system.tables WHERE database = 'adtally' AND name = {name:String}",
      { name },
    );
    return table!.create_table_query;
  };

  test("all tables of the design are there", async () => {
    const tables = await fixture.clickhouse.rows<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = 'adtally' ORDER BY name",
    );
    expect(tables.map(({ name }) => name)).toEqual([
      "ads",
      "ads_projection_progress",
      "advertiser_counts_hourly",
      "click_counts",
      "click_counts_daily_verified",
      "click_counts_hourly_verified",
      "clicks_raw",
      "raw_ingest_progress",
      "recount_differences",
      "rollup_hours",
      "schema_migrations",
      "shard_checkpoints",
    ]);
  });

  test("M1 a second run does nothing", async () => {
    expect(await migrate(fixture.clickhouse, DEFAULT_RETENTION)).toEqual({ from: newest, to: newest });
  });

  test("M2 every step may run again over what is there, and keeps it", async () => {
    await fixture.clickhouse.command("INSERT INTO adtally.ads (ad_id) SELECT 7");
    await fixture.clickhouse.command("TRUNCATE TABLE adtally.schema_migrations");
    expect(await migrate(fixture.clickhouse, DEFAULT_RETENTION)).toEqual({ from: 0, to: newest });
    expect(await fixture.clickhouse.rows("SELECT ad_id FROM adtally.ads")).toEqual([{ ad_id: "7" }]);
  });

  test("M8 a table that was dropped let programs start, and its counts never came back", async () => {
    await fixture.clickhouse.command("RENAME TABLE adtally.click_counts TO adtally.away");
    await expect(migrate(fixture.clickhouse, DEFAULT_RETENTION)).rejects.toMatchObject({
      code: "COUNT_SINK_REJECTED",
      message: expect.stringMatching(/lacks click_counts, which it had: restore/) as string,
    });
    await fixture.clickhouse.command("RENAME TABLE adtally.away TO adtally.click_counts");
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
  });

  test("M4 the raw table's enums are the codes of core/verdict.ts, also where it was made with fewer", async () => {
    await fixture.clickhouse.command(
      "ALTER TABLE adtally.clicks_raw MODIFY COLUMN reason Enum8('NONE' = 0, 'TOKEN_EXPIRED' = 20)",
    );
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
    for (const [column, codes] of Object.entries({ source: Source, verdict: Verdict, reason: Reason })) {
      const [described] = await fixture.clickhouse.rows<{ type: string }>(
        "SELECT type FROM system.columns WHERE database = 'adtally' AND table = 'clicks_raw' AND name = {column:String}",
        { column },
      );
      const names = [...described!.type.matchAll(/'(\w+)' = (-?\d+)/g)].map(([, name, code]) => [
        name,
        Number(code),
      ]);
      expect(Object.fromEntries(names)).toEqual(codes);
    }
  });

  test("M4 the retention that is configured holds for a table made with another", async () => {
    await migrate(fixture.clickhouse, { rawDays: 3, ipDays: 2 });
    await migrate(fixture.clickhouse, { rawDays: 3, ipDays: 2 });
    const query = await tableOf("clicks_raw");
    expect(query).toContain("TTL toDateTime(received_time) + toIntervalDay(3)");
    expect(query).toContain("`ip` IPv6 TTL toDateTime(received_time) + toIntervalDay(2)");
  });

  test("M4 counts are kept for ever, unless days are given; who gives none leaves them as they are", async () => {
    const kept = async () =>
      [await tableOf("click_counts"), await tableOf("advertiser_counts_hourly")].map(
        (query) => /TTL \w+ \+ toIntervalDay\((\d+)\)/.exec(query)?.[1],
      );
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
    expect(await kept()).toEqual([undefined, undefined]);
    await migrate(fixture.clickhouse, { ...DEFAULT_RETENTION, minuteDays: 90, hourDays: 800 });
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
    expect(await kept()).toEqual(["90", "800"]);
    await migrate(fixture.clickhouse, { ...DEFAULT_RETENTION, minuteDays: 0, hourDays: 0 });
    expect(await kept()).toEqual([undefined, undefined]);
    const tooShort = { ...DEFAULT_RETENTION, minuteDays: 34 };
    await expect(migrate(fixture.clickhouse, tooShort)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("raw rows expire, their IP before them", async () => {
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
    await fixture.clickhouse.command(
      `INSERT INTO adtally.clicks_raw (ad_id, ip, received_time)
       SELECT number, toIPv6('::ffff:10.1.2.3'), now64(3, 'UTC') - INTERVAL [0, 2, 8][number + 1] DAY FROM numbers(3)`,
    );
    await fixture.clickhouse.command("OPTIMIZE TABLE adtally.clicks_raw FINAL");
    expect(
      await fixture.clickhouse.rows(
        "SELECT ad_id, toString(ip) AS ip FROM adtally.clicks_raw ORDER BY ad_id",
      ),
    ).toEqual([
      { ad_id: "0", ip: "::ffff:10.1.2.3" },
      { ad_id: "1", ip: "::" },
    ]);
  });

  test("M3 a newer database is refused by name", async () => {
    await fixture.clickhouse.command(
      "INSERT INTO adtally.schema_migrations (version, name) SELECT 9999, 'from the future'",
    );
    await expect(migrate(fixture.clickhouse, DEFAULT_RETENTION)).rejects.toMatchObject({
      code: "SCHEMA_TOO_NEW",
      message: expect.stringContaining("9999"),
    });
  });
});
