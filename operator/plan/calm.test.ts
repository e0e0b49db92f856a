/** What the planner does where nothing fails: how gently, and in what order. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../actors/sim/random.ts";
import type { Action } from "./actions.ts";
import { amiss, emptyWorld, specOf, splitOf } from "./histories.fixture.ts";
import { plan } from "./plan.ts";
import { settle } from "./settle.fixture.ts";
import { act, desiredOf, observe, pass, type World } from "./simulated-world.fixture.ts";
import { ordinalOf } from "./world.ts";

const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });
const actorsOf = (world: World) => world.cluster.spec.actors;

function settled(change: Record<string, unknown>, seed: number): World {
  const world = emptyWorld(specOf(change));
  settle(world, seededRandom(seed));
  expect(amiss(world)).toEqual([]);
  return world;
}

function change(world: World, spec: object): void {
  const { metadata } = world.cluster;
  world.cluster = {
    ...world.cluster,
    metadata: { ...metadata, generation: metadata.generation + 1 },
    spec: { ...world.cluster.spec, ...spec },
  };
}

/** As few as can be: of the shards that are kept, what is above an even share on each host. */
function fewestMoves(world: World, hosts: number): number {
  const owners = [...world.assignment!.shards.values()].map(({ host }) => host);
  const loads = Array.from(
    { length: hosts },
    (_, i) => owners.filter((host) => ordinalOf("c", host) === i).length,
  );
  const even = Math.floor(owners.length / hosts);
  const larger = owners.length % hosts;
  const kept = loads.sort((a, b) => b - a).map((load, i) => Math.min(load, even + (i < larger ? 1 : 0)));
  return owners.length - kept.reduce((all, each) => all + each, 0);
}

interface Watched {
  moves: number;
  readonly restarts: string[];
  readonly kinds: Set<Action["kind"]>;
}

/** Settles, and holds at every step that each shard which had an owner is served by somebody. */
function watched(world: World, seed: number): Watched {
  const seen: Watched = { moves: 0, restarts: [], kinds: new Set() };
  const served = () => new Set([...world.pods.values()].flatMap(({ held }) => [...held.keys()]));
  const before = served();
  settle(world, seededRandom(seed), {
    onAction(action) {
      seen.kinds.add(action.kind);
      if (action.kind === "restart-host") seen.restarts.push(action.host);
      if (action.kind !== "publish-assignment") return;
      const moved = [...action.assignment.shards].filter(
        ([shard, { host }]) => (world.assignment?.shards.get(shard)?.host ?? host) !== host,
      ).length;
      expect(moved).toBeLessThanOrEqual(actorsOf(world).movesAtOnce);
      seen.moves += moved;
    },
    onStep() {
      const now = served();
      for (const shard of before) expect(now.has(shard), `shard ${shard} has nobody`).toBe(true);
    },
  });
  expect(amiss(world)).toEqual([]);
  return seen;
}

const sizes = fc.integer({ min: 1, max: 4 });

describe("scaling", () => {
  it("moves as few shards as can be, so many at a time, and each is served throughout", () => {
    fc.assert(
      fc.property(seeds, sizes, sizes, fc.integer({ min: 4, max: 16 }), (seed, from, to, shards) => {
        const { actors, shards: all } = specOf();
        const first = { actors: { ...actors, replicas: from }, shards: { ...all, min: shards } };
        const world = settled(first, seed);
        const fewest = fewestMoves(world, to);
        change(world, { actors: { ...actors, replicas: to } });
        const { moves, restarts } = watched(world, seed);
        expect(moves).toBe(fewest);
        expect(restarts).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});

describe("hosts that come up one after the other", () => {
  it("are waited for, so that no shard moves for the first that would move again for the second", () => {
    const { actors } = specOf();
    const world = settled({ actors: { ...actors, replicas: 1 } }, 1);
    const fewest = fewestMoves(world, 3);
    change(world, { actors: { ...actors, replicas: 3 } });
    world.workloads.actors = { ...world.workloads.actors!, replicas: 3 };
    pass(world, 1_000, seededRandom(1), 1);
    world.pods.get("c-actors-2")!.upAtMs = world.nowMs + 40_000;
    expect(watched(world, 1).moves).toBe(fewest);
  });

  it("are not waited for any longer than awaySeconds", () => {
    const { actors } = specOf();
    const world = settled({ actors: { ...actors, replicas: 1 } }, 1);
    change(world, { actors: { ...actors, replicas: 3 } });
    world.workloads.actors = { ...world.workloads.actors!, replicas: 3 };
    const random = seededRandom(1);
    for (let i = 0; i < 40; i++) {
      for (const action of plan(desiredOf(world), observe(world), world.nowMs)) act(world, action);
      pass(world, 5_000, random, 1);
      const never = world.pods.get("c-actors-2");
      if (never !== undefined) Object.assign(never, { isUp: false, upAtMs: Infinity });
    }
    const owners = new Set([...world.assignment!.shards.values()].map(({ host }) => host));
    expect(owners).toEqual(new Set(["c-actors-0", "c-actors-1"]));
  });
});

describe("another release", () => {
  it("restarts each host once, one at a time, and each shard is served throughout", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 4 }), (seed, replicas) => {
        const { actors } = specOf();
        const world = settled({ actors: { ...actors, replicas } }, seed);
        change(world, { image: "adtally:2" });
        const { restarts } = watched(world, seed);
        expect(restarts.sort()).toEqual(Array.from({ length: replicas }, (_, i) => `c-actors-${i}`));
      }),
      { numRuns: 40 },
    );
  });

  it("that does not come up stops at the first host", () => {
    const { actors } = specOf();
    const world = settled({ actors: { ...actors, replicas: 3 } }, 1);
    change(world, { image: "adtally:broken" });
    const random = seededRandom(1);
    const { release } = world.workloads.actors!;
    for (let i = 0; i < 300; i++) {
      for (const action of plan(desiredOf(world), observe(world), world.nowMs)) act(world, action);
      for (const pod of world.pods.values()) if (pod.release !== release) pod.upAtMs = Infinity;
      pass(world, 5_000, random, 0.9);
    }
    const broken = [...world.pods.values()].filter((pod) => pod.release !== release);
    expect(broken).toHaveLength(1);
    expect(broken[0]!.isUp).toBe(false);
    const degraded = world.cluster.status?.conditions?.find(({ type }) => type === "Degraded");
    expect(degraded).toMatchObject({ status: "True", reason: "HostsAway" });
    expect(world.events).toContain("HostsAway");
    const { shards } = world.assignment!;
    expect([...shards.values()].every(({ host }) => world.pods.get(host)!.isUp)).toBe(true);
    change(world, { image: "adtally:1" });
    settle(world, random);
    expect(amiss(world)).toEqual([]);
  });
});

describe("an operator of another version", () => {
  it("H3: renders Services otherwise, and restarts nothing", () => {
    const world = settled({}, 1);
    world.wantedObjects = new Map([
      ["Service/actors", "2"],
      ["PodDisruptionBudget/actors", "1"],
    ]);
    const { kinds, restarts } = watched(world, 1);
    expect(kinds).toEqual(new Set(["apply-object", "set-status"]));
    expect(restarts).toEqual([]);
  });

  it("away for ten minutes, finds nothing to do", () => {
    const world = settled({}, 1);
    pass(world, 600_000, seededRandom(1), 1);
    expect(plan(desiredOf(world), observe(world), world.nowMs)).toEqual([]);
  });
});

describe("a hot ad", () => {
  it("is split by its rate, and merged once it has been cold for as long as the policy says", () => {
    const world = settled({}, 1);
    world.adRates.set(3, 1_200);
    settle(world, seededRandom(1));
    expect(amiss(world)).toEqual([]);
    // 1,200 of the 1,000 that a shard carries: each way is to get at most a quarter of it.
    expect(world.routing!.newestFirst[0]!.splits).toEqual(new Map([[3, 4]]));
    expect(world.splits).toMatchObject([
      { spec: { origin: "Policy" }, status: { state: "Active", ways: 4, clicksPerSecond: 1_200 } },
    ]);
    world.adRates.set(3, 10);
    settle(world, seededRandom(1));
    expect(amiss(world)).toEqual([]);
    expect(world.splits).toEqual([]);
    expect(world.routing!.newestFirst[0]!.splits.size).toBe(0);
  });

  it.each([
    [500, undefined],
    [501, 3],
    [900, 4],
  ])("of %i clicks/s, of 1,000 that a shard carries, is split over %s shards", (clicks, ways) => {
    const world = settled({}, 1);
    world.adRates.set(3, clicks);
    settle(world, seededRandom(1));
    expect(world.routing!.newestFirst[0]!.splits.get(3)).toBe(ways);
  });

  it("that a person has split is left as that person wants it, and a second object is refused", () => {
    const world = settled({}, 1);
    world.adRates.set(3, 4_000);
    world.splits.push(
      splitOf("mine", 3, 2, "Hand", world.nowMs),
      splitOf("other", 3, 4, "Hand", world.nowMs + 1_000),
    );
    settle(world, seededRandom(1));
    expect(world.routing!.newestFirst[0]!.splits).toEqual(new Map([[3, 2]]));
    expect(world.splits.map(({ status }) => status?.state)).toEqual(["Active", "Refused"]);
  });
});
