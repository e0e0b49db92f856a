import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { assertKafkaConfig } from "./config.ts";
import { compareTopic, type FoundTopic } from "./ensure-topics.ts";

const WEEK_MS = DEFAULT_LIMITS.logRetentionMs;
const RIGHT: Readonly<Record<string, string>> = {
  "cleanup.policy": "delete",
  "retention.ms": String(WEEK_MS),
  "retention.bytes": "-1",
  "max.message.bytes": "1048588",
  "min.insync.replicas": "2",
  "unclean.leader.election.enable": "false",
  "message.timestamp.type": "LogAppendTime",
};

function found(settings: Readonly<Record<string, string>> = {}, more: Partial<FoundTopic> = {}): FoundTopic {
  return {
    topic: "clicks",
    replicas: [3, 3, 3, 3],
    settings: new Map(Object.entries({ ...RIGHT, ...settings })),
    wants: { partitions: 4, replication: 3, minInsyncReplicas: 2, retentionMs: WEEK_MS },
    limits: DEFAULT_LIMITS,
    ...more,
  };
}

const kinds = (topic: FoundTopic) =>
  compareTopic(topic).map(
    ({ setting, breaks }) => `${setting} ${breaks === undefined ? "differs" : "breaks"}`,
  );

describe("a topic that is there", () => {
  it("as wanted, or with what a broker does not tell: nothing is said", () => {
    expect(kinds(found())).toEqual([]);
    expect(kinds(found({}, { settings: new Map() }))).toEqual([]);
  });

  it.each<[string, FoundTopic, string]>([
    ["a partition too few", found({}, { replicas: [3, 3, 3] }), "partitions breaks"],
    ["a partition more", found({}, { replicas: [3, 3, 3, 3, 3] }), "partitions differs"],
    ["a partition with two copies", found({}, { replicas: [3, 3, 3, 2] }), "replication differs"],
    ["copies too few to acknowledge", found({}, { replicas: [3, 3, 3, 1] }), "replication breaks"],
    ["retention a millisecond short", found({ "retention.ms": String(WEEK_MS - 1) }), "retention.ms breaks"],
    ["retention longer", found({ "retention.ms": String(WEEK_MS + 1) }), "retention.ms differs"],
    ["retention for ever", found({ "retention.ms": "-1" }), "retention.ms differs"],
    ["retention by size", found({ "retention.bytes": "1000000000" }), "retention.bytes breaks"],
    ["compaction", found({ "cleanup.policy": "compact,delete" }), "cleanup.policy breaks"],
    ["records too small", found({ "max.message.bytes": "500000" }), "max.message.bytes breaks"],
    [
      "unclean elections",
      found({ "unclean.leader.election.enable": "true" }),
      "unclean.leader.election.enable breaks",
    ],
    ["one copy acknowledged", found({ "min.insync.replicas": "1" }), "min.insync.replicas differs"],
    [
      "times of the client",
      found({ "message.timestamp.type": "CreateTime" }),
      "message.timestamp.type differs",
    ],
  ])("with %s: %s is named", (_, topic, kind) => expect(kinds(topic)).toEqual([kind]));
});

describe("the configuration", () => {
  const config = { brokers: ["kafka-0:9092"], clientId: "adtally" };
  it.each([
    ["no broker", { ...config, brokers: [] }, "no broker is given"],
    ["a broker without a port", { ...config, brokers: ["kafka-0"] }, "kafka-0"],
    ["an IPv6 address", { ...config, brokers: ["[::1]:9092"] }, "IPv6"],
    ["a prefix that no topic can have", { ...config, topicPrefix: "eu/" }, "topic prefix"],
    ["no client id", { ...config, clientId: "" }, "client id"],
  ])("with %s is refused by name", (_, bad, words) => {
    expect(() => assertKafkaConfig(bad)).toThrowError(words);
    expect(() => assertKafkaConfig(config)).not.toThrow();
  });
});
