/** A2: no action rests on what was not observed, or on what is older than it was. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../actors/sim/random.ts";
import type { Action } from "./actions.ts";
import { amiss, anyWorld, emptyWorld, specOf } from "./histories.fixture.ts";
import { plan } from "./plan.ts";
import { settle } from "./settle.fixture.ts";
import { act, desiredOf, observe, pass, type World } from "./simulated-world.fixture.ts";
import { UNKNOWN, type Observed } from "./world.ts";

const nothing: Observed = {
  routing: UNKNOWN,
  assignment: UNKNOWN,
  workloads: { actors: UNKNOWN, gateways: UNKNOWN, query: UNKNOWN, ingest: UNKNOWN },
  hosts: UNKNOWN,
  reports: new Map(),
  splits: UNKNOWN,
  waitingClicks: UNKNOWN,
  backends: { redpanda: UNKNOWN, clickhouse: UNKNOWN, redis: UNKNOWN },
  objects: UNKNOWN,
};

const isSaid = ({ kind }: Action): boolean => kind.startsWith("set-") || kind === "emit-event";
const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });

/** A world with something going on, and the finalizer in place. */
function someWorld(seed: number): World {
  const random = seededRandom(seed);
  const world = anyWorld(random);
  const { metadata } = world.cluster;
  world.cluster = { ...world.cluster, metadata: { ...metadata, finalizers: ["adtally.dev/drain"] } };
  return world;
}

describe("what was not observed", () => {
  it("is read as absent nowhere: of nothing known, nothing is done", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const world = someWorld(seed);
        expect(plan(desiredOf(world), nothing, world.nowMs).filter((each) => !isSaid(each))).toEqual([]);
      }),
    );
  });

  const splitting = ["apply-split", "delete-split", "set-split-status"] as const;
  it.each<[string, Partial<Observed>, readonly Action["kind"][]]>([
    ["the routing table", { routing: UNKNOWN }, ["publish-routing", "publish-assignment", ...splitting]],
    ["the assignment", { assignment: UNKNOWN }, ["publish-assignment"]],
    ["the hosts", { hosts: UNKNOWN }, ["publish-assignment", "restart-host"]],
    ["the splits", { splits: UNKNOWN }, splitting],
    ["the objects", { objects: UNKNOWN }, ["apply-object", "delete-object"]],
    [
      "the workloads",
      { workloads: nothing.workloads },
      ["apply-workload", "restart-host", "publish-assignment"],
    ],
  ])("%s: nothing that rests on them is done", (_, part, kinds) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const world = someWorld(seed);
        const actions = plan(desiredOf(world), { ...observe(world), ...part }, world.nowMs);
        expect(actions.filter(({ kind }) => kinds.includes(kind))).toEqual([]);
      }),
    );
  });

  it("the splits: what is split stays split, though shards are added", () => {
    const world = emptyWorld(specOf());
    world.adRates.set(3, 900);
    settle(world, seededRandom(1));
    const { spec } = world.cluster;
    world.cluster = { ...world.cluster, spec: { ...spec, shards: { ...spec.shards, min: 8 } } };
    const [published] = plan(desiredOf(world), { ...observe(world), splits: UNKNOWN }, world.nowMs);
    expect(published).toMatchObject({ kind: "publish-routing" });
    const newest = published?.kind === "publish-routing" ? published.table.newestFirst[0]! : undefined;
    expect([newest?.shardCount, newest?.splits.get(3)]).toEqual([8, 4]);
  });

  it("a host that says nothing: no host is removed, no ad is merged, no shard is moved on", () => {
    const world = emptyWorld(
      specOf({ autoscaling: { mode: "Auto", scaleDownAfterSeconds: 0 }, hotAds: { mergeAfterSeconds: 0 } }),
    );
    world.otherClicks = 3_000;
    world.adRates.set(3, 900);
    settle(world, seededRandom(1));
    expect(world.workloads.actors!.replicas).toBe(4);
    world.otherClicks = 0;
    world.adRates.clear();
    for (let i = 0; i < 50; i++) {
      const observed = observe(world);
      const reports = new Map([...observed.reports].slice(1));
      const actions = plan(desiredOf(world), { ...observed, reports }, world.nowMs);
      expect(actions.filter((each) => !isSaid(each))).toEqual([]);
      for (const action of actions) act(world, action);
      const { actors } = world.cluster.status!;
      expect([actors?.recommended, actors?.fewerSince]).toEqual([4, undefined]);
      pass(world, 10_000, seededRandom(i), 1);
    }
    settle(world, seededRandom(1));
    expect(amiss(world)).toEqual([]);
    expect(world.workloads.actors!.replicas).toBe(1);
    expect(world.splits).toEqual([]);
  });
});

describe("what was lost", () => {
  const settledWorld = (): World => {
    const world = emptyWorld(specOf());
    settle(world, seededRandom(1));
    return world;
  };
  const conditionOf = (actions: readonly Action[], wanted: string) => {
    const status = actions.find((each) => each.kind === "set-status");
    return status?.kind === "set-status"
      ? status.status.conditions?.find(({ type }) => type === wanted)
      : undefined;
  };

  it("the routing table: no first generation is made anew, and the loss is named", () => {
    const world = settledWorld();
    world.routing = undefined;
    const actions = plan(desiredOf(world), observe(world), world.nowMs);
    expect(actions.filter((each) => !isSaid(each))).toEqual([]);
    expect(conditionOf(actions, "Degraded")).toMatchObject({ status: "True", reason: "StateLost" });
    expect(conditionOf(actions, "Ready")).toMatchObject({ status: "False", reason: "StateLost" });
  });

  it("an older routing table: nothing is built upon it", () => {
    const world = settledWorld();
    const older = world.routing;
    world.adRates.set(3, 900);
    settle(world, seededRandom(1));
    world.routing = older;
    world.adRates.clear();
    expect(plan(desiredOf(world), observe(world), world.nowMs).filter((each) => !isSaid(each))).toEqual([]);
  });

  it("the assignment: it is made again from what the hosts hold, and no shard moves", () => {
    const world = settledWorld();
    const before = world.assignment!;
    world.assignment = undefined;
    settle(world, seededRandom(1));
    const hostsOf = ({ shards }: typeof before) => [...shards].map(([shard, { host }]) => [shard, host]);
    expect(hostsOf(world.assignment!)).toEqual(hostsOf(before));
    expect(world.assignment!.version).toBeGreaterThan(before.version);
    expect(amiss(world)).toEqual([]);
  });

  it("M5: the assignment, and its version was given to another: of two who hold a shard by it one lets go", () => {
    const world = settledWorld();
    const [[shard, owner]] = [...world.assignment!.shards] as [[number, { host: string; epoch: number }]];
    const [other] = [...world.pods].find(([name]) => name !== owner.host)!;
    world.pods.get(other)!.held.set(shard, owner.epoch);
    settle(world, seededRandom(1));
    expect(amiss(world)).toEqual([]);
    expect(world.assignment!.shards.get(shard)!.host).toBe(owner.host);
  });

  it("the assignment, while a host says nothing: it waits for that host", () => {
    const world = settledWorld();
    world.assignment = undefined;
    const observed = observe(world);
    const reports = new Map([...observed.reports].slice(1));
    const actions = plan(desiredOf(world), { ...observed, reports }, world.nowMs);
    expect(actions.filter((each) => !isSaid(each))).toEqual([]);
  });
});

describe("a paused cluster", () => {
  it("is looked at, and not touched", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const world = someWorld(seed);
        world.cluster = { ...world.cluster, spec: { ...world.cluster.spec, paused: true } };
        expect(plan(desiredOf(world), observe(world), world.nowMs).filter((each) => !isSaid(each))).toEqual(
          [],
        );
      }),
    );
  });
});
