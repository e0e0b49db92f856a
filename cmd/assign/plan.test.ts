import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { planPublication, type Published } from "./plan.ts";

const START = 1_760_000_000_000;
const LONG_AFTER = START + 24 * 3_600_000;
const hostsOf = (...names: string[]) =>
  new Map(names.map((name) => [name, `127.0.0.1:${7_000 + name.charCodeAt(0)}`]));
const NOTHING: Published = { routing: undefined, assignment: undefined };

function publish(published: Published, hosts: readonly string[], shards: number, nowMs = START) {
  const plan = planPublication(published, { hosts: hostsOf(...hosts), shards }, nowMs, limits);
  const now: Published = {
    routing: plan.routing ?? published.routing,
    assignment: plan.assignment ?? published.assignment,
  };
  return { plan, now };
}

describe("what is published", () => {
  test("at first: a generation for all time before it, all shards given out evenly", () => {
    const { plan } = publish(NOTHING, ["a", "b"], 4);
    expect(plan.routing?.newestFirst).toMatchObject([{ number: 1, inForceFromMs: 0, shardCount: 4 }]);
    expect(plan.assignment?.version).toBe(1);
    expect([...plan.assignment!.shards.values()].map(({ host }) => host).sort()).toEqual([
      "a",
      "a",
      "b",
      "b",
    ]);
  });

  test("nothing, where all is as wanted, however long after", () => {
    const { now } = publish(NOTHING, ["a", "b"], 4);
    expect(publish(now, ["b", "a"], 4, LONG_AFTER).plan).toEqual(NOTHING);
  });

  test("no routing where only hosts change; a host's new address alone is a change, too", () => {
    const { now } = publish(NOTHING, ["a", "b"], 4);
    const moved = publish(now, ["b"], 4).plan;
    expect(moved.routing).toBeUndefined();
    expect([...moved.assignment!.shards.values()].every(({ host }) => host === "b")).toBe(true);
    expect(publish(now, ["x", "a", "b"], 4).plan.assignment?.version).toBe(2);
    const addressed = planPublication(
      now,
      {
        hosts: new Map([
          ["a", "127.0.0.1:9"],
          ["b", "127.0.0.1:7098"],
        ]),
        shards: 4,
      },
      START,
      limits,
    );
    expect(addressed.assignment?.hosts.get("a")).toBe("127.0.0.1:9");
    expect(addressed.assignment?.shards.get(0)).toEqual(now.assignment?.shards.get(0));
  });

  test("with another count of shards: a generation more, after the lead; old shards stay served", () => {
    const { now } = publish(NOTHING, ["a"], 4);
    const { plan } = publish(now, ["a"], 2, START + 1_000);
    expect(plan.routing?.newestFirst[0]).toMatchObject({
      number: 2,
      inForceFromMs: START + 1_000 + limits.routingLeadMs,
      shardCount: 2,
    });
    expect(plan.assignment).toBeUndefined();
    expect([...now.assignment!.shards.keys()]).toEqual([0, 1, 2, 3]);
    const grown = publish(now, ["a"], 6).plan;
    expect([...grown.assignment!.shards.keys()]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
