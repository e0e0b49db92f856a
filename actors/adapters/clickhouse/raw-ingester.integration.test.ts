import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Block } from "../../block/block.ts";
import { formatUuid } from "../../core/ids.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMemoryLog, type MemoryLog } from "../memory/memory-log.ts";
import type { ClickHouse } from "./client.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { startRawIngester, type RawIngester } from "./raw-ingester.ts";
import { fakeBlock, fakeClick } from "./raw-rows.fixture.ts";

const limits = { rawIngestIntervalMs: 20, rawIngestMaxBytes: 1024 * 1024 };
const T = Math.floor(Date.now() / 1000) * 1000;

interface RawRow {
  readonly shard: number;
  readonly offset: string;
  readonly row_number: number;
  readonly impression_id: string;
}

describe("raw ingester", () => {
  let fixture: EngineFixture;
  let log: MemoryLog;
  let ingester: RawIngester | undefined;

  beforeAll(async () => {
    fixture = await openEngineFixture();
  });
  afterAll(() => fixture.close());
  beforeEach(() => {
    log = createMemoryLog();
  });
  afterEach(async () => {
    await ingester?.stop();
    for (const table of ["clicks_raw", "raw_ingest_progress"])
      await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
  });

  const start = async (shards = [0, 1], clickhouse: ClickHouse = fixture.clickhouse) =>
    (ingester = await startRawIngester({
      log,
      clickhouse,
      shards,
      limits,
      clock: systemClock,
      logger: silentLogger,
    }));
  const block = (shard: number, writer: number, sequence: number, clicks = 2): Block =>
    fakeBlock(
      shard,
      writer,
      sequence,
      Array.from({ length: clicks }, (_, n) => fakeClick(T, sequence * 100 + n)),
    );
  const rows = () =>
    fixture.clickhouse.rows<RawRow>(
      "SELECT shard, offset, row_number, impression_id FROM adtally.clicks_raw FINAL ORDER BY shard, offset, row_number",
    );
  const places = async () => (await rows()).map((row) => `${row.shard}:${row.offset}:${row.row_number}`);

  test("R1 rows stand at their log offset, whoever wrote them, with one insert a step", async () => {
    await log.append(0, block(0, 1, 7));
    await log.append(0, block(0, 1, 8));
    await log.append(0, block(0, 2, 1, 1)); // another owner
    await log.append(1, block(1, 3, 90, 1)); // a delta below zero
    await (await start()).drain();
    expect(await places()).toEqual(["0:0:0", "0:0:1", "0:1:0", "0:1:1", "0:2:0", "1:0:0"]);
    expect([...ingester!.progress()]).toEqual([
      [0, 3],
      [1, 1],
    ]);
  });

  test("values arrive unchanged: every column reads back", async () => {
    const click = fakeClick(T, 5, { userAgent: "x".repeat(200), verdict: 4, reason: 10 });
    await log.append(0, fakeBlock(0, 1, 1, [click]));
    await (await start()).drain();
    const [row] = await fixture.clickhouse.rows<object>(
      "SELECT * EXCEPT (ip), toString(ip) AS ip, toUnixTimestamp64Milli(click_time) AS click_ms, toUnixTimestamp64Milli(received_time) AS received_ms FROM adtally.clicks_raw",
    );
    expect(row).toMatchObject({
      impression_id: formatUuid(click.impressionId),
      ad_id: "1001",
      campaign_id: "101",
      advertiser_id: "11",
      click_ms: String(T),
      received_ms: String(T + 20),
      ip: "::",
      generation: 1,
      shard: 0,
      source: "HTTP",
      verdict: "LATE",
      reason: "CLICK_TIME_TOO_OLD",
      sequence: 1,
      row_number: 0,
      user_agent: click.userAgent,
      offset: "0",
    });
  });

  test("R2 after a restart it goes on where it was; rows sent again change nothing", async () => {
    await log.append(0, block(0, 1, 1));
    await (await start([0])).drain();
    await ingester!.stop();
    await log.append(0, block(0, 1, 2));
    expect([...(await start([0])).progress()]).toEqual([[0, 1]]);
    await ingester!.drain();
    await ingester!.stop();
    // The crash between the rows and the record of them:
    await fixture.clickhouse.command("TRUNCATE TABLE adtally.raw_ingest_progress");
    await (await start([0])).drain();
    expect(await places()).toEqual(["0:0:0", "0:0:1", "0:1:0", "0:1:1"]);
  });

  test("R3 damaged and unknown blocks are quarantined, the rest goes on", async () => {
    for (let sequence = 1; sequence <= 5; sequence++) await log.append(0, block(0, 1, sequence, 1));
    await log.append(0, { ...block(0, 1, 6), header: { ...block(0, 1, 6).header, formatVersion: 2 } });
    await log.append(0, block(0, 1, 7, 1));
    log.flipBit(0, 0);
    log.flipBit(0, 3);
    await (await start([0])).drain();
    expect(await places()).toEqual(["0:1:0", "0:2:0", "0:4:0", "0:6:0"]);
    expect(ingester!.quarantined()).toBe(3);
    expect(ingester!.progress().get(0)).toBe(7);
  });

  test("R4 what retention took halts that shard by name, the other goes on", async () => {
    await log.append(0, block(0, 1, 1, 1));
    await (await start()).drain();
    await ingester!.stop();
    await log.append(0, block(0, 1, 2, 1));
    await log.append(0, block(0, 1, 3, 1));
    log.dropBefore(0, 2);
    await log.append(1, block(1, 1, 1, 1));
    await (await start()).drain();
    expect([...ingester!.halted().keys()]).toEqual([0]);
    expect(ingester!.halted().get(0)).toContain("offset 1");
    expect(await places()).toEqual(["0:0:0", "1:0:0"]);
  });

  test("R6 tables dropped and made anew in mid-run lacked all rows from before", async () => {
    await log.append(0, block(0, 1, 1, 1));
    await (await start([0])).drain();
    const { clickhouse } = fixture;
    await clickhouse.command("RENAME TABLE adtally.clicks_raw TO adtally.away");
    await log.append(0, block(0, 1, 2, 1));
    await expect(ingester!.drain()).rejects.toMatchObject({ code: "COUNT_SINK_REJECTED" });
    for (const table of ["away", "raw_ingest_progress"])
      await clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
    await clickhouse.command("RENAME TABLE adtally.away TO adtally.clicks_raw");
    await ingester!.drain();
    expect(await places()).toEqual(["0:0:0", "0:1:0"]);
  });

  test("R5 the loop survives an engine that is killed, and loses nothing", async () => {
    await start([0]);
    for (let sequence = 1; sequence <= 30; sequence++) {
      await log.append(0, block(0, 1, sequence, 1));
      await sleep(systemClock, 20);
      if (sequence === 10) process.kill(fixture.engine.pid()!, "SIGKILL");
    }
    await expect.poll(() => ingester!.progress().get(0), { timeout: 15_000 }).toBe(30);
    expect((await places()).length).toBe(30);
    expect(fixture.engine.restarts()).toBe(1);
  }, 20_000);
});
