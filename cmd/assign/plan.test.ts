import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { shardsInUse } from "../../actors/routing/table.ts";
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

  test("with ads to split: a generation that splits just these; unsaid, they stay as they are", () => {
    const wanted = (splits?: ReadonlyMap<number, number>) => ({ hosts: hostsOf("a"), shards: 4, splits });
    const plan = (published: Published, splits?: ReadonlyMap<number, number>) =>
      planPublication(published, wanted(splits), START, limits);
    const before = publish(NOTHING, ["a"], 4).now;
    const split = plan(
      before,
      new Map([
        [1_001, 4],
        [1_002, 2],
      ]),
    ).routing;
    expect([...split!.newestFirst[0]!.splits]).toEqual([
      [1_001, 4],
      [1_002, 2],
    ]);
    const now = { ...before, routing: split };
    expect(plan(now)).toEqual(NOTHING);
    expect(
      plan(
        now,
        new Map([
          [1_002, 2],
          [1_001, 4],
        ]),
      ),
    ).toEqual(NOTHING);
    const other = plan(now, new Map([[1_001, 3]])).routing!.newestFirst[0]!;
    expect(other).toMatchObject({ number: 3, shardCount: 4 });
    expect([...other.splits]).toEqual([[1_001, 3]]);
    expect(plan(now, new Map()).routing!.newestFirst[0]!.splits.size).toBe(0);
  });

  describe("of shards that a smaller generation leaves behind", () => {
    const shrunk = publish(publish(NOTHING, ["a"], 4).now, ["a"], 2).now;
    const superseded = START + limits.routingLeadMs;
    const unroutedAt = superseded + limits.tokenLifeMs + limits.dedupRetentionMs + limits.clockSkewMs;
    const shardsOf = ({ assignment }: Published) => [...assignment!.shards.keys()];

    test("nothing changes while a token may still name them", () => {
      expect(publish(shrunk, ["a"], 2, unroutedAt - 1).plan).toEqual(NOTHING);
    });

    test("they are marked then, and given up only when nothing that was spilled can be left", () => {
      const marked = publish(shrunk, ["a"], 2, unroutedAt).now;
      expect(shardsOf(marked)).toEqual([0, 1, 2, 3]);
      expect([...marked.assignment!.shards.values()].map((owner) => owner.unroutedSinceMs)).toEqual([
        undefined,
        undefined,
        unroutedAt,
        unroutedAt,
      ]);
      const last = unroutedAt + limits.logRetentionMs;
      expect(publish(marked, ["a"], 2, last).plan).toEqual(NOTHING);
      const dropped = publish(marked, ["a"], 2, last + 1).now;
      expect(shardsOf(dropped)).toEqual([0, 1]);
      expect(publish(dropped, ["a"], 2, last + LONG_AFTER).plan).toEqual(NOTHING);
    });

    test("a mark survives a move, and goes where the shard is routed to again", () => {
      const marked = publish(shrunk, ["a"], 2, unroutedAt).now;
      const moved = publish(marked, ["b"], 2, unroutedAt + 1_000).now;
      expect(moved.assignment!.shards.get(3)).toEqual({
        host: "b",
        epoch: moved.assignment!.version,
        unroutedSinceMs: unroutedAt,
      });
      const grown = publish(moved, ["b"], 4, unroutedAt + 2_000).now;
      expect(grown.assignment!.shards.get(3)).toEqual({ host: "b", epoch: moved.assignment!.version });
    });
  });

  test("whatever was wanted and when: every shard that a click may come to is assigned", () => {
    const step = fc.record({
      shards: fc.integer({ min: 1, max: 8 }),
      hosts: fc.subarray(["a", "b", "c"], { minLength: 1 }),
      laterMs: fc.integer({ min: 1, max: 2 * limits.logRetentionMs }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        let now = NOTHING;
        let nowMs = START;
        for (const { shards, hosts, laterMs } of steps) {
          nowMs += laterMs;
          const before = now.assignment;
          now = publish(now, hosts, shards, nowMs).now;
          const assigned = now.assignment!.shards;
          for (const shard of shardsInUse(now.routing!, nowMs, limits))
            expect(assigned.has(shard)).toBe(true);
          for (const [shard, { unroutedSinceMs = Infinity }] of before?.shards ?? []) {
            if (!assigned.has(shard)) expect(nowMs - unroutedSinceMs).toBeGreaterThan(limits.logRetentionMs);
          }
        }
      }),
    );
  });
});
