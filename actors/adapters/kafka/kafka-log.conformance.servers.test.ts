import { afterAll, beforeAll, describe, it } from "vitest";
import { describeClickLog, type HarnessFactory, type LogHarness } from "../../ports/click-log.conformance.ts";
import {
  brokerLacks,
  dropBefore,
  flipBitOnDisk,
  isProduceRequest,
  openTestLog,
  PARTITIONS,
  startBroker,
  type TestBroker,
  type TestLog,
} from "./kafka.fixture.ts";
import { topicName } from "./topics.ts";

function harnessOf(test: TestLog): LogHarness {
  return {
    topic: (name) => test.log.topic(name),
    close: () => test.close(),
    reopen: () => test.reopen(),
    dropOldest: (topic, partition, offset) => dropBefore(test, topic, partition, offset),
  };
}

const common = { lastPartition: PARTITIONS - 1 };
const given = process.env["ADTALLY_TEST_KAFKA"];

if (given !== undefined) {
  describeClickLog(`the log on the broker at ${given}`, {
    ...common,
    hooks: ["reopen", "dropOldest"],
    make: async () => harnessOf(await openTestLog(given)),
  });
}

const lacks = await brokerLacks();
if (lacks !== undefined) {
  describe("the log on Apache Kafka", () => it.skip(`KAFKA: not available: ${lacks}`));
} else {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.close());

  const factory = (compression: "none" | "zstd"): HarnessFactory => ({
    ...common,
    hooks: ["reopen", "dropOldest", "loseAnswer", "flipBit"],
    async make() {
      const test = await openTestLog(broker.address, { compression });
      return {
        ...harnessOf(test),
        loseAnswer: () => broker.proxy.loseAnswer(isProduceRequest),
        flipBit: (topic, partition, offset) =>
          flipBitOnDisk(broker.server.dataDir, topicName(test.config.topicPrefix, topic), partition, offset),
      };
    },
  });
  describeClickLog("the log on Apache Kafka", factory("none"));
  describeClickLog("the log on Apache Kafka, compressed by zstd", factory("zstd"));
}
