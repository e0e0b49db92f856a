/** The one way by which an assignment and a routing table get published: as plan.ts says. */
import { decodeAssignment, encodeAssignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
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

/** Others publish at the same time: then what is wanted is planned again, upon what they published. */
const ATTEMPTS = 10;

/**
 * The routing table first: an assignment of shards that no generation has does no harm, nor does
 * the reverse. Resolves with what was published.
 *
 * Of two who publish at once each builds upon the other's: two tables that give one number to two
 * generations would send copies of one click to two shards.
 * @throws INPUT_INVALID, SHARED_STATE_UNAVAILABLE
 */
export async function publishWanted(deps: PublishDeps, wanted: Wanted): Promise<Plan> {
  const { assignment, clock, limits, routing } = deps;
  let done: Plan = { routing: undefined, assignment: undefined };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const [table, current] = await Promise.all([routing.read(), assignment.read()]);
    const nowMs = clock.now();
    const published = {
      routing: table === undefined ? undefined : decodeTable(table, nowMs, limits),
      assignment: current === undefined ? undefined : decodeAssignment(current),
    };
    // A generation of ours that another's has followed is not published over again.
    const newest = done.routing && published.routing?.newestFirst[0];
    const still = newest === undefined ? wanted : { hosts: wanted.hosts, shards: newest.shardCount };
    const plan = planPublication(published, still, nowMs, limits);
    if (plan.routing !== undefined) {
      if (!(await routing.replace(table, encodeTable(plan.routing)))) continue;
      done = { ...done, routing: plan.routing };
    }
    if (plan.assignment === undefined) return done;
    if (await assignment.replace(current, encodeAssignment(plan.assignment)))
      return { ...done, assignment: plan.assignment };
  }
  throw new AdtallyError(
    "SHARED_STATE_UNAVAILABLE",
    "others publish the assignment or the routing table at the same time, again and again",
  );
}
