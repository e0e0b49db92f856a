import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COUNT_COLUMNS, type CountRow } from "../../ports/count-sink.ts";
import { countSinkConformance } from "../../ports/count-sink.conformance.ts";
import { connectClickHouse } from "./client.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { ERROR_CLASSES } from "./errors.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";

async function seenCounts({ clickhouse }: EngineFixture): Promise<readonly CountRow[]> {
  const rows = await clickhouse.rows<Record<string, string | number>>(
    `SELECT ${COUNT_COLUMNS.map(([name]) => (name === "minute" ? "intDiv(toUnixTimestamp(minute), 60) AS minute_number" : name)).join(", ")}
     FROM adtally.click_counts FINAL`,
  );
  const number = (row: Record<string, string | number>, name: string) => Number(row[name]);
  return rows.map((row) => ({
    advertiserId: BigInt(row["advertiser_id"]!),
    campaignId: BigInt(row["campaign_id"]!),
    adId: BigInt(row["ad_id"]!),
    minute: number(row, "minute_number"),
    shard: number(row, "shard"),
    clicks: number(row, "clicks"),
    invalid: number(row, "invalid"),
    duplicates: number(row, "duplicates"),
    version: number(row, "version"),
  }));
}

countSinkConformance("ClickHouse", async () => {
  const fixture = await openEngineFixture();
  return {
    sink: createClickHouseCountSink(fixture.clickhouse),
    counts: () => seenCounts(fixture),
    clear: async () => {
      await fixture.clickhouse.command("TRUNCATE TABLE adtally.click_counts");
      await fixture.clickhouse.command("TRUNCATE TABLE adtally.shard_checkpoints");
    },
    close: () => fixture.close(),
  };
});

describe("errors of the sink", () => {
  let fixture: EngineFixture;
  beforeAll(async () => {
    fixture = await openEngineFixture();
  });
  afterAll(() => fixture.close());

  test("the listed errors have the numbers and names of ClickHouse itself", async () => {
    const named = await fixture.clickhouse.rows<{ code: number; name: string }>(
      "SELECT code, errorCodeToName(code) AS name FROM (SELECT arrayJoin({codes:Array(UInt16)}) AS code)",
      { codes: ERROR_CLASSES.map(([code]) => code) },
    );
    expect(named).toEqual(ERROR_CLASSES.map(([code, name]) => ({ code, name })));
  });

  test("nobody at the port is COUNT_SINK_UNAVAILABLE", async () => {
    const nobody = connectClickHouse({ url: "http://127.0.0.1:9" });
    await expect(createClickHouseCountSink(nobody).readCheckpoints()).rejects.toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
    });
    await nobody.close();
  });

  test("a missing table is COUNT_SINK_REJECTED and says which", async () => {
    await fixture.clickhouse.command("DROP TABLE adtally.shard_checkpoints");
    const sink = createClickHouseCountSink(fixture.clickhouse);
    await expect(
      sink.writeCheckpoints([{ shard: 1, epoch: 1, offset: 1, watermarkMs: 1 }]),
    ).rejects.toMatchObject({
      code: "COUNT_SINK_REJECTED",
      message: expect.stringContaining("shard_checkpoints"),
    });
  });
});
