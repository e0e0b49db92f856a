import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BLOCK_FORMAT_VERSION, makeBlock, type Block } from "../../block/block.ts";
import { RowAt } from "../../block/row.ts";
import { Verdict } from "../../core/verdict.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import {
  brokerLacks,
  openTestLog,
  startBroker,
  type TestBroker,
  type TestLog,
} from "../kafka/kafka.fixture.ts";
import { HEADER_KEY, encodeHeader } from "../kafka/header.ts";
import { topicName } from "../kafka/topics.ts";
import { openServerFixture, type ServerFixture } from "./topology.fixture.ts";
import { applyKafkaEngine, kafkaEngineStatus, type KafkaEngineOptions } from "./kafka-engine.ts";
import { migrate } from "./migrations.ts";
import { fakeBlock, fakeClick } from "./raw-rows.fixture.ts";
import { startRawIngester } from "./raw-ingester.ts";
import { DEFAULT_RETENTION } from "./schema.ts";

const lacks = await brokerLacks();
const T = Math.floor(Date.now() / 1000) * 1000;
const PARTITIONS = 4;

describe.skipIf(lacks !== undefined)("ClickHouse's Kafka engine", () => {
  let broker: TestBroker;
  let test4: TestLog;
  let fixture: ServerFixture;
  let options: KafkaEngineOptions;
  const sequences = new Map<number, number>();

  beforeAll(async () => {
    broker = await startBroker();
    test4 = await openTestLog(broker.address, { partitions: PARTITIONS });
    fixture = await openServerFixture({ config: "<clickhouse/>" });
    await migrate(fixture.clickhouse, DEFAULT_RETENTION);
    options = {
      brokers: [broker.address],
      topic: topicName(test4.config.topicPrefix, "clicks"),
      flushIntervalMs: 300,
    };
  });
  afterAll(async () => {
    await fixture?.close();
    await test4?.close();
    await broker?.close();
  });

  function nextBlock(shard: number, clicks: number): Block {
    const sequence = (sequences.get(shard) ?? 0) + 1;
    sequences.set(shard, sequence);
    return fakeBlock(
      shard,
      7,
      sequence,
      Array.from({ length: clicks }, (_, n) =>
        fakeClick(T + n, shard * 1_000_000 + sequence * 10_000 + n, {
          advertiserId: 11 + (n % 3),
          verdict: n % 5 === 4 ? Verdict.DUPLICATE : Verdict.ACCEPTED,
          userAgent: `agent ${"x".repeat(n % 200)} £`,
        }),
      ),
    );
  }
  const append = (shard: number, block: Block) => test4.log.topic("clicks").append(shard, block);
  const rows = () =>
    fixture.clickhouse.rows<{ shard: number; offset: string }>(
      "SELECT * FROM adtally.clicks_raw FINAL ORDER BY shard, offset, row_number",
    );
  const count = async () =>
    Number(
      (await fixture.clickhouse.rows<{ n: string }>("SELECT count() AS n FROM adtally.clicks_raw FINAL"))[0]!
        .n,
    );
  const within = { timeout: 30_000, interval: 200 };

  test("makes the rows that the ingester makes, of blocks of many rows and of one", async () => {
    for (let round = 0; round < 5; round++)
      for (const shard of [0, 2, 3]) await append(shard, nextBlock(shard, round === 2 ? 2_000 : 1 + round));
    const ingester = await startRawIngester({
      log: test4.log.topic("clicks"),
      clickhouse: fixture.clickhouse,
      shards: [0, 1, 2, 3],
      limits: { rawIngestIntervalMs: 60_000, rawIngestMaxBytes: 1024 * 1024 },
      clock: systemClock,
      logger: silentLogger,
    });
    await ingester.drain();
    await ingester.stop();
    const ingested = await rows();
    expect(ingested).toHaveLength(3 * (1 + 2 + 2_000 + 4 + 5));
    await fixture.clickhouse.command("TRUNCATE TABLE adtally.clicks_raw");

    await applyKafkaEngine(fixture.clickhouse, options);
    await expect.poll(count, within).toBe(ingested.length);
    expect(await rows()).toEqual(ingested);
  });

  test("what it is configured again with as before is left alone", async () => {
    const made = () =>
      fixture.clickhouse.rows(
        "SELECT name, uuid, metadata_modification_time FROM system.tables WHERE database = 'adtally' AND name LIKE 'clicks_queue%' ORDER BY name",
      );
    const before = await made();
    expect(before).toHaveLength(3);
    await applyKafkaEngine(fixture.clickhouse, options);
    expect(await made()).toEqual(before);
  });

  test("goes on where it was when it is configured otherwise", async () => {
    const before = await count();
    await applyKafkaEngine(fixture.clickhouse, { ...options, flushIntervalMs: 400 });
    await append(1, nextBlock(1, 3));
    // The consumer of the old table holds its partitions until its session ends.
    await expect.poll(count, { ...within, timeout: 75_000 }).toBe(before + 3);
    await expect
      .poll(async () => (await kafkaEngineStatus(fixture.clickhouse)).committed.get(1), within)
      .toBe(1);
  });

  test("fault 21: poison goes to a table of its own with its offset, and the rest goes on", async () => {
    const before = await count();
    const kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING });
    const producer = kafka.producer();
    await producer.connect();
    const sent: number[] = [];
    const send = async (value: Buffer, header: Buffer) => {
      const [answer] = await producer.send({
        topic: options.topic,
        acks: -1,
        messages: [{ partition: 1, value, headers: { [HEADER_KEY]: header } }],
      });
      sent.push(Number(answer!.baseOffset));
    };
    const cut = nextBlock(1, 3);
    await send(cut.value.subarray(0, cut.value.length - 2), encodeHeader(cut.header));
    const unknownVersion = nextBlock(1, 2);
    await send(
      unknownVersion.value,
      encodeHeader({ ...unknownVersion.header, formatVersion: BLOCK_FORMAT_VERSION + 1 }),
    );
    const unknownVerdict = nextBlock(1, 1);
    unknownVerdict.value[RowAt.verdict] = 99;
    await send(unknownVerdict.value, encodeHeader(unknownVerdict.header));
    const elsewhere = fakeBlock(2, 7, 900, [fakeClick(T, 900)]);
    await send(elsewhere.value, encodeHeader(elsewhere.header));
    const otherSequence = nextBlock(1, 1);
    await send(
      otherSequence.value,
      encodeHeader(makeBlock({ ...otherSequence.header, sequence: 77 }, otherSequence.value).header),
    );
    await send(Buffer.from("not a block at all"), Buffer.alloc(0));
    await producer.disconnect();
    await append(1, nextBlock(1, 5));

    await expect.poll(count, within).toBe(before + 5);
    const poison = await fixture.clickhouse.rows<{
      shard: string;
      offset: string;
      error: string;
      message: string;
    }>(
      "SELECT shard, offset, error, hex(message) AS message FROM adtally.clicks_poison FINAL ORDER BY offset, row_number",
    );
    expect(new Set(poison.map(({ offset }) => Number(offset)))).toEqual(new Set(sent));
    expect(poison[0]).toMatchObject({
      shard: "1",
      error: expect.stringContaining("read all data"),
      message: cut.value
        .subarray(0, cut.value.length - 2)
        .toString("hex")
        .toUpperCase(),
    });
  });

  test("is gone when it is configured no more", async () => {
    await applyKafkaEngine(fixture.clickhouse, undefined);
    const left = await fixture.clickhouse.rows(
      "SELECT name FROM system.tables WHERE database = 'adtally' AND (name LIKE 'clicks_queue%' OR name LIKE '%_feed')",
    );
    expect(left).toEqual([]);
  });
});
