/**
 * The planner: what to do next, from what is wanted, what was observed, and the time. Pure. Called by
 * the controller's loop, over and over; what it returns is done in its order, and may be done in part,
 * twice, or not at all.
 *
 *  A1 Applied over and over, its actions end in what is wanted, from any state, whatever of them got
 *     lost; there, it returns nothing.
 *  A2 No action rests on what was not observed (world.ts), or on what is older than it was (view.ts).
 *  A3 It remembers nothing: an operator that was restarted goes on as if it had not been.
 *  A4 Routing comes before the assignment of its shards, and what is wanted before what is said of it.
 */
import { FINALIZER } from "../api/meta.ts";
import type { Action } from "./actions.ts";
import { planDrain } from "./drain.ts";
import { planRouting } from "./generations.ts";
import { hostCount } from "./hosts.ts";
import { planRollout } from "./rollout.ts";
import { planAssignment } from "./shards.ts";
import { planSplits } from "./splits.ts";
import { planSplitStatus, planStatus } from "./status.ts";
import { viewOf } from "./view.ts";
import type { Desired, Observed } from "./world.ts";
import { planDeployments, planObjects } from "./workloads.ts";

export function plan(desired: Desired, observed: Observed, nowMs: number): readonly Action[] {
  const view = viewOf(desired, observed, nowMs);
  const { deletionTimestamp, finalizers = [] } = desired.cluster.metadata;
  const count = hostCount(view);
  const routing = planRouting(view);
  if (deletionTimestamp !== undefined) {
    if (!finalizers.includes(FINALIZER)) return [];
    const { actions, waitsFor } = planDrain(view);
    const isOver = actions.some(({ kind }) => kind === "remove-finalizer");
    return isOver
      ? actions
      : [...actions, ...planStatus(view, { actions, count, routing, draining: waitsFor })];
  }
  if (view.spec.paused) return planStatus(view, { actions: [], count, routing, draining: undefined });
  // Before anything is made that would have to be drained.
  if (!finalizers.includes(FINALIZER)) {
    const message = "what the cluster takes in is counted before it goes";
    return [{ kind: "add-finalizer", because: { reason: "FinalizerAdded", message } }];
  }
  const splits = planSplits(view);
  const { actions: rollout, parts } = planRollout(view, count);
  const actions: readonly Action[] = [
    ...planObjects(view),
    ...splits,
    ...routing.actions,
    ...rollout,
    ...planAssignment(view, parts),
    ...planDeployments(view),
  ];
  return [
    ...actions,
    ...planSplitStatus(view, splits),
    ...planStatus(view, { actions, count, routing, draining: undefined }),
  ];
}
