import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { compareKeyedTopic } from "./ensure-keyed-topics.ts";

const RIGHT: Readonly<Record<string, string>> = {
  "cleanup.policy": "compact",
  "max.message.bytes": "1048588",
  "min.insync.replicas": "2",
  "unclean.leader.election.enable": "false",
};

const kinds = (settings: Readonly<Record<string, string>> = {}, replicas: readonly number[] = [3]) =>
  compareKeyedTopic(
    { topic: "ads", replicas, settings: new Map(Object.entries({ ...RIGHT, ...settings })) },
    { replication: 3, minInsyncReplicas: 2 },
    DEFAULT_LIMITS,
  ).map(({ setting, breaks }) => `${setting} ${breaks === undefined ? "differs" : "breaks"}`);

describe("a keyed topic that is there", () => {
  it("as wanted: nothing is said", () => expect(kinds()).toEqual([]));

  it.each<[string, readonly string[], string]>([
    ["two partitions", kinds({}, [3, 3]), "partitions breaks"],
    ["copies too few to acknowledge", kinds({}, [1]), "replication breaks"],
    ["one copy less", kinds({}, [2]), "replication differs"],
    ["expiry", kinds({ "cleanup.policy": "compact,delete" }), "cleanup.policy breaks"],
    ["records too small", kinds({ "max.message.bytes": "500000" }), "max.message.bytes breaks"],
    [
      "unclean elections",
      kinds({ "unclean.leader.election.enable": "true" }),
      "unclean.leader.election.enable breaks",
    ],
    ["one copy acknowledged", kinds({ "min.insync.replicas": "1" }), "min.insync.replicas differs"],
  ])("with %s: %s", (_, found, kind) => expect(found).toEqual([kind]));
});
