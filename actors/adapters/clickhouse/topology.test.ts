import { describe, expect, test } from "vitest";
import { DEFAULT_RETENTION, allTables, schemaSteps } from "./schema.ts";
import { SINGLE_SERVER, checkTopology, insertSettings, type Cluster } from "./topology.ts";

const cluster: Cluster = { kind: "cluster", name: "production" };

/** The statements are in golden/; `npx vitest run PATH -u` writes them anew after a change on purpose. */
describe("the statements", () => {
  test.each([
    ["single", SINGLE_SERVER],
    ["cluster", cluster],
  ] as const)("for %s are the golden ones", async (name, topology) => {
    const text = schemaSteps("adtally", DEFAULT_RETENTION, topology)
      .map((step, index) => `-- step ${index + 1}: ${step.name}\n${step.statements.join(";\n\n")};\n`)
      .join("\n")
      // The codes are core/verdict.ts's.
      .replaceAll(/Enum8\([^)]*\)/g, "Enum8(…)");
    await expect(text).toMatchFileSnapshot(`golden/${name}.sql`);
  });

  test("a Keeper's path of one's own is taken", () => {
    const [first] = schemaSteps("adtally", DEFAULT_RETENTION, { ...cluster, keeperPath: "/ads/{shard}" });
    expect(first!.statements[0]).toContain("('/ads/{shard}/{shard}/adtally/clicks_raw', '{replica}')");
  });
});

test("D1 each table's sharding key is a part of its order key", () => {
  for (const { clauses, shardBy, name } of allTables(DEFAULT_RETENTION)) {
    const order = /ORDER BY \(?([^)\n]+)/.exec(clauses)![1]!.split(", ");
    expect(order, name).toContain(shardBy);
  }
});

describe("an insert", () => {
  test("on a single server carries nothing", () => {
    expect(insertSettings(SINGLE_SERVER)).toEqual({});
  });
  test("D3 on a cluster waits for the shard's quorum", () => {
    expect(insertSettings(cluster)).toMatchObject({
      distributed_foreground_insert: 1,
      insert_quorum: "auto",
    });
    expect(insertSettings({ ...cluster, insertQuorum: 3 })).toMatchObject({ insert_quorum: 3 });
  });
});

test.each([
  [{ ...cluster, name: "a`; DROP DATABASE x" }, "is not a cluster's name"],
  [{ ...cluster, keeperPath: "no/slash" }, "is not of the form"],
  [{ ...cluster, keeperPath: "/it's" }, "is not of the form"],
  [{ ...cluster, insertQuorum: 0 }, "whole number from 1"],
] as const)("%j is refused", (topology, why) => {
  expect(() => {
    checkTopology(topology);
  }).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(why) }));
});
