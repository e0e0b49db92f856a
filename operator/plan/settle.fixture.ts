/** A world without faults, left to the planner until it does nothing more. */
import type { SeededRandom } from "../../actors/sim/random.ts";
import type { Action } from "./actions.ts";
import { plan } from "./plan.ts";
import { act, desiredOf, observe, pass, type World } from "./simulated-world.fixture.ts";

const MINUTE_MS = 60_000;
const QUIET_MS = 30 * MINUTE_MS;

export interface Hooks {
  /** Before it is done. `isFirst`: what it was planned on is still so. */
  onAction?(action: Action, isFirst: boolean): void;
  onStep?(): void;
}

export function settle(
  world: World,
  random: SeededRandom,
  { onAction, onStep }: Hooks = {},
  most = 600,
): void {
  let quietSinceMs = world.nowMs;
  for (let i = 0; i < most; i++) {
    const actions = plan(desiredOf(world), observe(world), world.nowMs);
    for (const action of actions) {
      onAction?.(action, action === actions[0]);
      act(world, action);
    }
    if (actions.length > 0) quietSinceMs = world.nowMs;
    else if (world.nowMs - quietSinceMs > QUIET_MS) return;
    const isStill = world.nowMs - quietSinceMs > MINUTE_MS / 2;
    pass(world, isStill ? 5 * MINUTE_MS : 6_000, random, 0.9);
    onStep?.();
  }
  const next = plan(desiredOf(world), observe(world), world.nowMs);
  const what = next.map((each) => ("because" in each ? each.because : each));
  throw new Error(`not settled: ${JSON.stringify(what).slice(0, 2_000)}`);
}
