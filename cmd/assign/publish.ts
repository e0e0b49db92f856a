/** The one way by which an assignment and a routing table get published: as plan.ts says. */
import { decodeAssignment, encodeAssignment } from "../../actors/assignment/assignment.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { planPublication, type Plan, type Wanted } from "./plan.ts";

export interface PublishDeps {
  readonly routing: SharedState;
  readonly assignment: SharedState;
  readonly clock: Clock;
  readonly limits: Limits;
}

/**
 * The routing table first: an assignment of shards that no generation has does no harm, nor does
 * the reverse. Resolves with what was published.
 * @throws INPUT_INVALID, SHARED_STATE_UNAVAILABLE
 */
export async function publishWanted(deps: PublishDeps, wanted: Wanted): Promise<Plan> {
  const { assignment, clock, limits, routing } = deps;
  const [table, current] = await Promise.all([routing.read(), assignment.read()]);
  const nowMs = clock.now();
  const published = {
    routing: table === undefined ? undefined : decodeTable(table, nowMs, limits),
    assignment: current === undefined ? undefined : decodeAssignment(current),
  };
  const plan = planPublication(published, wanted, nowMs, limits);
  if (plan.routing !== undefined) await routing.publish(encodeTable(plan.routing));
  if (plan.assignment !== undefined) await assignment.publish(encodeAssignment(plan.assignment));
  return plan;
}
