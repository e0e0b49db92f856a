/** Publishes which actor host owns which shard, as cmd/assign does, into the cluster's own folder. */
import path from "node:path";
import { decodeAssignment, encodeAssignment } from "../../actors/assignment/assignment.ts";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { planPublication, type Wanted } from "../assign/plan.ts";

const DEADLINE_MS = 5_000;

const fileState = (folder: string, name: string) =>
  createFileSharedState({
    path: path.join(folder, `${name}.json`),
    pollMs: DEADLINE_MS,
    deadlineMs: DEADLINE_MS,
    clock: systemClock,
    logger: silentLogger,
  });

/** The table first: a shard that nobody routes to does no harm. */
export async function publish(folder: string, wanted: Wanted): Promise<void> {
  const [routing, assignment] = [fileState(folder, "routing"), fileState(folder, "assignment")];
  const [table, current] = await Promise.all([routing.read(), assignment.read()]);
  const nowMs = systemClock.now();
  const published = {
    routing: table === undefined ? undefined : decodeTable(table, nowMs, DEFAULT_LIMITS),
    assignment: current === undefined ? undefined : decodeAssignment(current),
  };
  const plan = planPublication(published, wanted, nowMs, DEFAULT_LIMITS);
  if (plan.routing !== undefined) await routing.publish(encodeTable(plan.routing));
  if (plan.assignment !== undefined) await assignment.publish(encodeAssignment(plan.assignment));
}
