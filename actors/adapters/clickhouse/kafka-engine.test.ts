import { expect, test } from "vitest";
import { kafkaEngineStatements, type KafkaEngineOptions } from "./kafka-engine.ts";
import { SINGLE_SERVER } from "./topology.ts";

const options: KafkaEngineOptions = { brokers: ["kafka-1:9092", "[::1]:9092"], topic: "adtally.clicks" };

test.each([
  [{ brokers: [] }, "no broker"],
  [{ brokers: ["kafka"] }, "is not host:port"],
  [{ brokers: ["a:1', x = '"] }, "is not host:port"],
  [{ topic: "it's" }, "is not the name"],
  [{ group: "a b" }, "is not the name"],
  [{ namedCollection: "a-b" }, "named collection"],
  [{ consumers: 0 }, "whole number"],
  [{ flushIntervalMs: 0.5 }, "whole number"],
] as const)("%j is refused", (change, why) => {
  expect(() => kafkaEngineStatements(SINGLE_SERVER, { ...options, ...change })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(why) }),
  );
});

test("Q3 the view that starts the reading is made last and dropped first", () => {
  const { create, drop } = kafkaEngineStatements(SINGLE_SERVER, options);
  expect(create.at(-1)).toContain("VIEW IF NOT EXISTS adtally.clicks_queue_feed");
  expect(drop[0]).toContain("clicks_queue_feed");
});

test("Q4 another setting is another fingerprint; the same are the same", () => {
  const fingerprint = (change: Partial<KafkaEngineOptions> = {}) =>
    kafkaEngineStatements(SINGLE_SERVER, { ...options, ...change }).fingerprint;
  expect(fingerprint()).toBe(fingerprint({ group: "adtally-raw" }));
  expect(new Set([fingerprint(), fingerprint({ consumers: 2 }), fingerprint({ topic: "other" })]).size).toBe(
    3,
  );
});

test("a named collection keeps what is secret out of the definition", () => {
  const { create } = kafkaEngineStatements(SINGLE_SERVER, {
    brokers: [],
    topic: "clicks",
    namedCollection: "adtally_kafka",
  });
  const queue = create.find((sql) => sql.includes("ENGINE = Kafka"));
  expect(queue).toContain("ENGINE = Kafka(adtally_kafka, kafka_topic_list = 'clicks'");
  expect(queue).not.toContain("kafka_broker_list");
});
