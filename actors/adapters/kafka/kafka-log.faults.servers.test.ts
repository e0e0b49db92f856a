/** Faults 3, 5, 6, 7, 8 and 21 of the list, and the network's, against a real broker. */
import kafkajs from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AdtallyError } from "../../core/errors.ts";
import { isAdtallyError } from "../../core/errors.ts";
import { codeOf, expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { encodeHeader, HEADER_KEY } from "./header.ts";
import {
  appendThrough,
  brokerLacks,
  dropBefore,
  expectKept,
  flipBitOnDisk,
  isProduceRequest,
  openAgain,
  openTestLog,
  PARTITIONS,
  startBroker,
  type TestBroker,
  type TestLog,
} from "./kafka.fixture.ts";
import { topicName } from "./topics.ts";

const ALL = Number.MAX_SAFE_INTEGER;
const DEADLINE_MS = 1_500;
/** Other suites, and other machines' load, may be in the way for so long. */
const SLACK_MS = 5_000;
const lacks = await brokerLacks();

async function errorOf(work: Promise<unknown>): Promise<AdtallyError> {
  try {
    await work;
  } catch (error) {
    if (isAdtallyError(error)) return error;
    throw error;
  }
  throw new Error("it resolved");
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}

/** As a caller does that has nothing better to do: again, until it works. */
async function untilAppended(test: TestLog, partition: number, sequence: number): Promise<number> {
  for (;;) {
    try {
      return await test.log.topic("clicks").append(partition, sampleBlock(sequence));
    } catch (error) {
      if (!isAdtallyError(error) || error.after !== "retry") throw error;
      await sleep(systemClock, 50);
    }
  }
}

describe.skipIf(lacks !== undefined)("the log on Apache Kafka, under faults", () => {
  let broker: TestBroker;
  let test: TestLog;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.close());
  beforeEach(async () => {
    broker.proxy.heal();
    test = await openTestLog(broker.address, { limits: { appendDeadlineMs: DEADLINE_MS } });
  });
  afterEach(async () => {
    broker.proxy.heal();
    await test.close();
  });
  const append = (partition: number, sequence: number) =>
    test.log.topic("clicks").append(partition, sampleBlock(sequence));

  it("fault 3: two owners of one partition get offsets of their own, and each reads the other's", async () => {
    const theirs = test.log.topic("clicks");
    const second = openAgain(test);
    const offsets = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? theirs : second.topic("clicks")).append(0, sampleBlock(i + 1)),
      ),
    );
    expect(offsets.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(await readAll(second.topic("clicks"), 0)).toEqual(await readAll(theirs, 0));
    await second.close();
  });

  it("fault 5: of appends whose answers are lost, each is in the log, and none that was not sent", async () => {
    const lostBefore = broker.proxy.lostAnswers;
    for (let sequence = 1; sequence <= 10; sequence++) {
      if (sequence % 2 === 0) broker.proxy.loseAnswer(isProduceRequest);
      const code = await codeOf(append(3, sequence));
      expect(code).toBe(sequence % 2 === 0 ? "APPEND_UNKNOWN" : "resolved");
    }
    expect(broker.proxy.lostAnswers - lostBefore).toBe(5);
    const records = await readAll(test.log.topic("clicks"), 3);
    records.forEach((record, i) => expectRecord(record, i, sampleBlock(i + 1)));
    expect(records).toHaveLength(10);
  });

  it("fault 6: a broker killed again and again under appends keeps every acknowledged block", async () => {
    let isOn = true;
    const partitions = [0, 1, 2, 5, 11];
    const running = partitions.map((partition) => appendThrough(test, partition, () => isOn));
    for (let round = 0; round < 2; round++) {
      await sleep(systemClock, 700);
      await broker.server.kill();
      await sleep(systemClock, 200);
      await broker.server.restart();
    }
    await sleep(systemClock, 1_500);
    isOn = false;
    const tried = await Promise.all(running);
    const failed = tried.flat().filter(({ unknown, refused }) => unknown + refused > 0);
    expect(failed.length).toBeGreaterThanOrEqual(partitions.length);
    for (const [i, partition] of partitions.entries()) await expectKept(test, partition, tried[i]!);
  });

  it("fault 7: while no broker answers, appends and reads are refused at once, and work again after", async () => {
    expect(await append(1, 1)).toBe(0);
    await broker.server.kill();
    await codeOf(append(1, 2));
    for (let i = 0; i < 5; i++) {
      const { value: error, ms } = await timed(() => errorOf(append(1, 3)));
      expect(error.code).toBe("LOG_UNAVAILABLE");
      expect(ms).toBeLessThan(DEADLINE_MS + SLACK_MS);
      expect(await codeOf(test.log.topic("clicks").read(1, 0, ALL))).toBe("LOG_UNAVAILABLE");
      expect(await codeOf(test.log.topic("clicks").bounds(1))).toBe("LOG_UNAVAILABLE");
      expect(await codeOf(test.log.check())).toBe("LOG_UNAVAILABLE");
    }
    await broker.server.restart();
    const { ms } = await timed(() => untilAppended(test, 1, 4));
    expect(ms).toBeLessThan(30_000);
    const sequences = (await readAll(test.log.topic("clicks"), 1)).map(({ header }) => header.sequence);
    // What was refused is not there; what the kill made unknown may be.
    expect(sequences.filter((sequence) => sequence !== 2)).toEqual([1, 4]);
  });

  it("fault 8: what retention has dropped is named with what is left, and nothing is jumped over", async () => {
    for (let sequence = 1; sequence <= 10; sequence++) await append(4, sequence);
    await dropBefore(test, "clicks", 4, 7);
    const error = await errorOf(test.log.topic("clicks").read(4, 6, ALL));
    expect(error).toMatchObject({ code: "OFFSET_OUT_OF_RANGE", after: "halt" });
    expect(error.message).toContain("partition 4: there is no offset 6, it holds 7 to 10");
    expectRecord((await test.log.topic("clicks").read(4, 7, 1))[0], 7, sampleBlock(8));
  });

  it.each(["both", "to-server", "to-client"] as const)(
    "fault 19: cut off %s, an append is unknown at its deadline, and the log works once healed",
    async (direction) => {
      expect(await append(2, 1)).toBe(0);
      broker.proxy.hold(direction);
      const { value: error, ms } = await timed(() => errorOf(append(2, 2)));
      expect(error.code).toBe("APPEND_UNKNOWN");
      expect(ms).toBeLessThan(DEADLINE_MS + SLACK_MS);
      broker.proxy.heal();
      await untilAppended(test, 2, 3);
      const sequences = (await readAll(test.log.topic("clicks"), 2)).map(({ header }) => header.sequence);
      expect([...new Set(sequences.filter((sequence) => sequence !== 2))]).toEqual([1, 3]);
    },
  );

  it("fault 19: a half-open connection is given up after one deadline", async () => {
    expect(await append(2, 1)).toBe(0);
    broker.proxy.forget();
    expect((await errorOf(append(2, 2))).code).toBe("APPEND_UNKNOWN");
    const { ms } = await timed(() => untilAppended(test, 2, 3));
    expect(ms).toBeLessThan(DEADLINE_MS + SLACK_MS);
    expect(await readAll(test.log.topic("clicks"), 2)).toHaveLength(2);
  });

  it("what waits for a broker is bounded, and refused past the bound", async () => {
    const small = await openTestLog(broker.address, {
      limits: { appendDeadlineMs: DEADLINE_MS, logQueueMaxBytes: 10_000 },
    });
    const log = small.log.topic("clicks");
    await log.append(0, sampleBlock(1));
    broker.proxy.hold("to-client");
    const codes = await Promise.all(
      Array.from({ length: 40 }, (_, i) => codeOf(log.append(0, sampleBlock(i + 2, 1_000)))),
    );
    // One was sent, some waited behind it, the rest found no room.
    expect(codes.filter((code) => code === "APPEND_UNKNOWN")).toHaveLength(1);
    expect(codes.filter((code) => code === "LOG_UNAVAILABLE")).toHaveLength(7);
    expect(codes.filter((code) => code === "OVERLOADED")).toHaveLength(32);
    broker.proxy.heal();
    await untilAppended(small, 0, 100);
    await small.close();
  });

  it("K1: no timer of a negative delay is set", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.name);
    process.on("warning", onWarning);
    await append(0, 1);
    await test.log.topic("clicks").read(0, 0, ALL);
    await sleep(systemClock, 100);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("K2: all that begin at once share two connections, one of them for reads", async () => {
    const before = broker.proxy.connections;
    const second = openAgain(test);
    const log = second.topic("clicks");
    await Promise.all(
      Array.from({ length: PARTITIONS }, async (_, partition) => {
        await Promise.all([
          log.bounds(partition),
          log.read(partition, 0, ALL),
          log.append(partition, sampleBlock(1)),
        ]);
      }),
    );
    expect(broker.proxy.connections - before).toBe(2);
    await second.close();
    await expect.poll(() => broker.proxy.connections).toBe(before);
  });

  it("a partition that the topic has not is named", async () => {
    const error = await errorOf(append(4_000, 1));
    expect(error).toMatchObject({ code: "LOG_UNAVAILABLE" });
    expect(error.message).toContain("partition 4000");
    expect(error.message).toContain("does not exist");
  });

  describe("fault 21: a record that is no click block", () => {
    const topic = () => topicName(test.config.topicPrefix, "clicks");

    /** Sends a record as another program would. */
    async function sendForeign(
      value: Buffer | null,
      headers: Record<string, Buffer | Buffer[]>,
    ): Promise<void> {
      const kafka = new kafkajs.Kafka({
        brokers: [...test.config.brokers],
        logLevel: kafkajs.logLevel.NOTHING,
      });
      const producer = kafka.producer({ createPartitioner: () => () => 6 });
      await producer.connect();
      await producer.send({ topic: topic(), messages: [{ partition: 6, value, headers }] });
      await producer.disconnect();
    }

    const block = sampleBlock(77);
    const header = encodeHeader(block.header);
    const changed = (at: number) => {
      const bytes = Buffer.from(header);
      bytes[at] = bytes[at]! ^ 1;
      return bytes;
    };

    it.each([
      ["without a header", block.value, {}, "it has no header adtally-block"],
      [
        "with two headers",
        block.value,
        { [HEADER_KEY]: [header, header] },
        "it has no header adtally-block, or several",
      ],
      [
        "of an unknown version",
        block.value,
        { [HEADER_KEY]: changed(0) },
        "its format version is 0, this program knows 1",
      ],
      ["with a damaged header", block.value, { [HEADER_KEY]: changed(9) }, "its header's CRC is wrong"],
      [
        "with a short header",
        block.value,
        { [HEADER_KEY]: header.subarray(0, 20) },
        "its header has 20 bytes",
      ],
      ["with another value", Buffer.from("no clicks"), { [HEADER_KEY]: header }, "its value's CRC is wrong"],
      ["without a value", null, { [HEADER_KEY]: header }, "it has no value"],
    ])("%s is named with its offset, and the rest goes on", async (_, value, headers, why) => {
      await append(6, 1);
      await sendForeign(value, headers);
      await append(6, 2);
      const log = test.log.topic("clicks");
      const before = await log.read(6, 0, ALL);
      expect(before).toHaveLength(1);
      expectRecord(before[0], 0, sampleBlock(1));
      const error = await errorOf(log.read(6, 1, ALL));
      expect(error).toMatchObject({ code: "LOG_CORRUPT", offset: 1 });
      expect(error.message).toContain(`partition 6: the record at offset 1 is damaged: ${why}`);
      const after = await log.read(6, 2, ALL);
      expect(after).toHaveLength(1);
      expectRecord(after[0], 2, sampleBlock(2));
    });

    it("of a batch that cannot be decoded: as well, though the answer held more", async () => {
      for (let sequence = 1; sequence <= 3; sequence++) await append(6, sequence);
      // The compression's number in the batch's attributes: gzip, which the rest is not.
      await flipBitOnDisk(broker.server.dataDir, topic(), 6, 1, ({ batch }) => batch + 22);
      const log = test.log.topic("clicks");
      expect(await log.read(6, 0, 1)).toHaveLength(1);
      const error = await errorOf(log.read(6, 1, ALL));
      expect(error).toMatchObject({ code: "LOG_CORRUPT", offset: 1 });
      expectRecord((await log.read(6, 2, ALL))[0], 2, sampleBlock(3));
    });

    it("of a transaction: its marker is named, and the rest goes on", async () => {
      const kafka = new kafkajs.Kafka({
        brokers: [...test.config.brokers],
        logLevel: kafkajs.logLevel.NOTHING,
      });
      const transactionalId = `tx-${test.config.topicPrefix}`;
      const producer = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true });
      await producer.connect();
      const transaction = await producer.transaction();
      const messages = [{ partition: 6, value: block.value, headers: { [HEADER_KEY]: header } }];
      await transaction.send({ topic: topic(), messages });
      await transaction.commit();
      await producer.disconnect();
      // The coordinator writes the marker after it has answered.
      await expect.poll(async () => (await test.log.topic("clicks").bounds(6)).next).toBe(2);
      await append(6, 5);
      const log = test.log.topic("clicks");
      expectRecord((await log.read(6, 0, ALL))[0], 0, block);
      expect(await errorOf(log.read(6, 1, ALL))).toMatchObject({ code: "LOG_CORRUPT", offset: 1 });
      expectRecord((await log.read(6, 2, ALL))[0], 2, sampleBlock(5));
    });
  });
});
