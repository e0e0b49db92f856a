/**
 * The planner against simulated worlds. `ADTALLY_PLANNER_HISTORIES=100000 npx vitest run operator/plan`
 * runs as many; a history that fails is printed with its seed.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom, type SeededRandom } from "../../actors/sim/random.ts";
import type { Action } from "./actions.ts";
import { amiss, anyWorld, disturb, heal } from "./histories.fixture.ts";
import { plan } from "./plan.ts";
import { settle } from "./settle.fixture.ts";
import { act, desiredOf, observe, observeBadly, pass, type World } from "./simulated-world.fixture.ts";
import { timeOf } from "./view.ts";
import type { Observed } from "./world.ts";

const histories = Number(process.env["ADTALLY_PLANNER_HISTORIES"] ?? 300);
const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });
const MINUTE_MS = 60_000;

/** What must never be done, whatever was observed. */
function assertHarmless(world: World, action: Action, isFresh: boolean): void {
  if (action.kind === "delete-split") {
    const split = world.splits.find(({ metadata }) => metadata.uid === action.uid);
    expect(split?.spec.origin, "a person's split is not removed").not.toBe("Hand");
  }
  if (action.kind === "publish-routing") {
    const before = world.routing?.newestFirst[0];
    if (before?.number === action.after)
      expect(action.table.newestFirst[0]!.shardCount).toBeGreaterThanOrEqual(before.shardCount);
  }
  if (action.kind === "publish-assignment") {
    for (const { host } of action.assignment.shards.values())
      expect(action.assignment.hosts.has(host)).toBe(true);
    if ((world.assignment?.version ?? 0) !== action.after) return;
    for (const [shard, owner] of world.assignment?.shards ?? [])
      if (owner.unroutedSinceMs === undefined)
        expect(action.assignment.shards.has(shard), `shard ${shard}`).toBe(true);
  }
  if (action.kind === "remove-finalizer" && action.isDrained)
    expect(world.waitingClicks, "spooled clicks are said to be counted").toBe(0);
  if (!isFresh || world.cluster.metadata.deletionTimestamp !== undefined) return;
  if (action.kind === "restart-host") {
    const pod = world.pods.get(action.host)!;
    const isAlone = world.workloads.actors!.replicas === 1;
    expect(!pod.isUp || pod.held.size === 0 || isAlone, `${action.host} is restarted with its shards`).toBe(
      true,
    );
    const others = [...world.pods].filter(
      ([name, each]) => each !== pod && Number(name.split("-").at(-1)) < world.workloads.actors!.replicas,
    );
    if (pod.isUp)
      expect(
        others.every(([, { isUp, isEnding }]) => isUp && !isEnding),
        "one at a time",
      ).toBe(true);
  }
  if (action.kind === "apply-workload" && action.component === "actors" && action.replicas !== undefined) {
    for (const [name, pod] of world.pods) {
      const ordinal = Number(name.split("-").at(-1));
      const isLeft = ordinal >= action.replicas && ordinal < (world.workloads.actors?.replicas ?? 0);
      expect(isLeft && pod.isUp && pod.held.size > 0, `${name} is removed with its shards`).toBe(false);
    }
  }
}

/** Actions fail, before or after they are done; the operator is restarted in mid-plan. */
function doBadly(world: World, actions: readonly Action[], random: SeededRandom, isFresh: boolean): void {
  for (const action of actions) {
    if (random.chance(0.06)) return;
    if (random.chance(0.12)) continue;
    assertHarmless(world, action, isFresh);
    act(world, action);
    isFresh &&= action.kind.startsWith("set-") || action.kind.endsWith("-object");
  }
}

function stormy(world: World, random: SeededRandom, steps: number, isStale: boolean): void {
  let last: Observed | undefined;
  for (let i = 0; i < steps; i++) {
    if (random.chance(0.25)) disturb(world, random);
    const observed = observeBadly(world, random, last, isStale);
    doBadly(world, plan(desiredOf(world), observed, world.nowMs), random, !isStale);
    pass(world, 1_000 + random.below(20_000), random, 0.6);
    last = observed;
  }
}

describe("the planner", () => {
  it(
    `A1 A2: ${histories} histories converge, from any state, through failures, and stay so`,
    { timeout: 3_600_000 },
    () => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = seededRandom(seed);
          const world = anyWorld(random);
          const onAction = (action: Action, isFirst: boolean) => assertHarmless(world, action, isFirst);
          stormy(world, random, random.below(24), random.chance(0.5));
          heal(world);
          settle(world, random, { onAction });
          expect(amiss(world)).toEqual([]);
          // Once more when all that can be retired is: other shards may be given up, nothing else is done.
          world.nowMs += 9 * 24 * 60 * MINUTE_MS;
          settle(world, random, { onAction });
          expect(amiss(world)).toEqual([]);
          expect(plan(desiredOf(world), observe(world), world.nowMs)).toEqual([]);
          if (random.chance(0.8)) return;
          const deletionTimestamp = timeOf(world.nowMs);
          world.cluster = { ...world.cluster, metadata: { ...world.cluster.metadata, deletionTimestamp } };
          world.waitingClicks = random.below(2) * 7;
          stormy(world, random, random.below(6), true);
          heal(world);
          settle(world, random, { onAction });
          // What somebody made anew after that is Kubernetes' to remove, with its owner.
          expect(world.cluster.metadata.finalizers).toEqual([]);
        }),
        { numRuns: histories },
      );
    },
  );
});
