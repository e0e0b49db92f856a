/** The end of a ClickCluster, in a world without faults. */
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../actors/sim/random.ts";
import type { Action } from "./actions.ts";
import { amiss, emptyWorld, specOf } from "./histories.fixture.ts";
import { plan } from "./plan.ts";
import { settle } from "./settle.fixture.ts";
import { desiredOf, observe, type World } from "./simulated-world.fixture.ts";
import { UNKNOWN } from "./world.ts";

function settled(change: Record<string, unknown>, seed: number): World {
  const world = emptyWorld(specOf(change));
  settle(world, seededRandom(seed));
  expect(amiss(world)).toEqual([]);
  return world;
}

describe("a deleted cluster", () => {
  const delete_ = (world: World): void => {
    const { metadata } = world.cluster;
    const deletionTimestamp = new Date(world.nowMs).toISOString();
    world.cluster = { ...world.cluster, metadata: { ...metadata, deletionTimestamp } };
  };

  it("E1: ends in order: gateways, what waits, actor hosts, finalizer", () => {
    const world = settled({}, 1);
    world.waitingClicks = 7;
    delete_(world);
    const order: string[] = [];
    settle(world, seededRandom(1), {
      onAction(action) {
        if (action.kind === "apply-workload") order.push(action.component);
        else if (action.kind === "remove-finalizer") order.push(action.kind);
        if (action.kind === "apply-workload") expect(world.waitingClicks).toBe(0);
        if (action.kind === "apply-workload" && action.component !== "gateways")
          expect(world.workloads.gateways!.pods).toBe(0);
      },
    });
    expect(order).toEqual(["gateways", "query", "ingest", "actors", "remove-finalizer"]);
    expect(world.pods.size).toBe(0);
    expect(plan(desiredOf(world), observe(world), world.nowMs)).toEqual([]);
  });

  it.each([
    ["clicks are spooled", { waitingClicks: 7 }],
    ["a gateway does not answer", { waitingClicks: UNKNOWN }],
  ] as const)("E1: leaves gateways where they are while %s", (_, part) => {
    const world = settled({}, 1);
    delete_(world);
    const actions = plan(desiredOf(world), { ...observe(world), ...part }, world.nowMs);
    expect(actions.map(({ kind }) => kind)).not.toContain("apply-workload");
    const message =
      "waitingClicks" in part && part.waitingClicks === 7 ? /7 clicks/ : /what the gateways say/;
    expect(JSON.stringify(actions)).toMatch(message);
  });

  it("E1: leaves gateways where they are while one of them is away", () => {
    const world = settled({}, 1);
    delete_(world);
    world.workloads.gateways = { ...world.workloads.gateways!, pods: 0, ready: 0 };
    const actions = plan(desiredOf(world), observe(world), world.nowMs);
    expect(actions.map(({ kind }) => kind)).not.toContain("apply-workload");
  });

  it.each(["gateways", "actors"] as const)(
    "E3: does not say that all is counted where somebody deleted its %s",
    (component) => {
      const world = settled({}, 1);
      delete_(world);
      world.workloads[component] = undefined;
      const ends: Action[] = [];
      settle(world, seededRandom(1), {
        onAction: (action) => void (action.kind === "remove-finalizer" && ends.push(action)),
      });
      expect(ends).toMatchObject([{ isDrained: false, because: { reason: "WorkloadsGone" } }]);
    },
  );

  it("made again over the state of its former life, goes on from the generation that stands", () => {
    const world = settled({}, 1);
    world.adRates.set(3, 1_200);
    settle(world, seededRandom(1));
    const last = world.routing!.newestFirst[0]!;
    delete_(world);
    settle(world, seededRandom(1));
    const again = emptyWorld(world.cluster.spec);
    Object.assign(again, {
      nowMs: world.nowMs + 60_000,
      routing: world.routing,
      assignment: world.assignment,
    });
    settle(again, seededRandom(1));
    expect(amiss(again)).toEqual([]);
    expect(again.routing!.newestFirst[0]!.number).toBeGreaterThan(last.number);
    expect(again.routing!.newestFirst.map(({ number }) => number)).toContain(last.number);
    expect(again.assignment!.version).toBeGreaterThanOrEqual(world.assignment!.version);
  });

  it("E2: goes after drainSeconds though clicks still wait, and says so", () => {
    const world = settled({ drainSeconds: 60 }, 1);
    delete_(world);
    const waits = () => ({ ...observe(world), waitingClicks: 7 });
    world.workloads.gateways = { ...world.workloads.gateways!, replicas: 0, pods: 0 };
    const early = plan(desiredOf(world), waits(), world.nowMs + 59_000);
    expect(early.every(({ kind }) => kind === "set-status" || kind === "emit-event")).toBe(true);
    const late = plan(desiredOf(world), waits(), world.nowMs + 60_000);
    expect(late).toMatchObject([
      { kind: "remove-finalizer", isDrained: false, because: { reason: "DrainGivenUp" } },
    ]);
  });
});
