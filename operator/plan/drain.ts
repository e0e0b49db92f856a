/**
 * The end of a ClickCluster that was deleted. Its finalizer holds it until what it took in is counted:
 *
 *   gateways ──────none left──────► actor hosts and all others ──none left──► finalizer
 *      └ once nothing is spooled       └ once nothing waits behind the log
 *
 *  E1 A step is taken when the one before it was seen to be done. Gateways end when they have said that
 *     nothing waits in their spools: of one that is gone nobody can ask it.
 *  E2 After drainSeconds the finalizer goes all the same, with a warning: the log and the gateways'
 *     volumes keep what was not counted, and a cluster of the same name and topics goes on from there.
 *  E3 That all is counted is said only of workloads that are there to the end: where the status knows of
 *     some that somebody else deleted (the garbage collector, in the foreground) it is not known.
 */
import { releaseOf } from "../api/release.ts";
import { FINALIZER } from "../api/meta.ts";
import type { Action } from "./actions.ts";
import type { View } from "./view.ts";
import { UNKNOWN } from "./world.ts";
import { planDeployment } from "./workloads.ts";

export interface DrainPlan {
  readonly actions: readonly Action[];
  /** What is waited for, for people. */
  readonly waitsFor: string;
}

export function planDrain(view: View): DrainPlan {
  const { desired, nowMs, observed, spec } = view;
  const { deletionTimestamp = "", finalizers = [] } = desired.cluster.metadata;
  if (!finalizers.includes(FINALIZER)) return { actions: [], waitsFor: "" };
  const finish = (reason: string, message: string): Action => ({
    kind: "remove-finalizer",
    isDrained: reason === "Drained",
    because: { reason, message },
  });
  if (nowMs - Date.parse(deletionTimestamp) >= spec.drainSeconds * 1_000) {
    const message = `not drained within ${spec.drainSeconds} s: what was not counted stays in the log and in the gateways' volumes`;
    return { actions: [finish("DrainGivenUp", message)], waitsFor: "" };
  }
  const { actors, gateways, ingest, query } = observed.workloads;
  if (gateways === UNKNOWN) return { actions: [], waitsFor: "what the gateways are" };
  const gone = (): DrainPlan => {
    const message =
      "workloads were deleted before they had drained: what gateways had spooled is in their volumes, which are kept";
    return { actions: [finish("WorkloadsGone", message)], waitsFor: "" };
  };
  if (gateways === undefined && view.status.gateways !== undefined) return gone();
  if (gateways !== undefined && (gateways.replicas > 0 || gateways.pods > 0)) {
    const { pods, replicas } = gateways;
    if (pods < replicas)
      return { actions: [], waitsFor: `what ${replicas - pods} gateways say that are away` };
    const spooled = replicas > 0 ? observed.waitingClicks : 0;
    if (spooled === UNKNOWN) return { actions: [], waitsFor: "what the gateways say" };
    if (spooled > 0) return { actions: [], waitsFor: `${spooled} clicks in the spools of gateways` };
    return { actions: planDeployment(view, "gateways", 0), waitsFor: `${pods} gateways` };
  }
  if (actors === UNKNOWN || query === UNKNOWN || ingest === UNKNOWN)
    return { actions: [], waitsFor: "what the actor hosts are" };
  if (actors === undefined && view.status.assignmentVersion !== undefined) return gone();
  const waiting = actors === undefined || actors.pods === 0 ? 0 : waitingClicks(view);
  if (waiting === UNKNOWN) return { actions: [], waitsFor: "what the actor hosts say" };
  if (waiting > 0) return { actions: [], waitsFor: `${waiting} clicks that are not counted yet` };
  const actions = [
    ...(query === undefined ? [] : planDeployment(view, "query", 0)),
    ...(ingest === undefined ? [] : planDeployment(view, "ingest", 0)),
  ];
  if (actors !== undefined && actors.replicas > 0) {
    const because = { reason: "Drained", message: "every click is counted: the actor hosts end" };
    actions.push({
      kind: "apply-workload",
      component: "actors",
      replicas: 0,
      release: releaseOf(spec, "actors"),
      because,
    });
  }
  const left = (actors?.pods ?? 0) + (query?.pods ?? 0) + (ingest?.pods ?? 0);
  if (left > 0 || actions.length > 0)
    return { actions, waitsFor: `${left} actor hosts, query services and ingesters` };
  return { actions: [finish("Drained", "every click is counted")], waitsFor: "" };
}

/** E1: what is behind the log counts as known only where each host has said it. */
function waitingClicks({ observed }: View): number | typeof UNKNOWN {
  const { hosts, reports, waitingClicks: outside } = observed;
  if (hosts === UNKNOWN || outside === UNKNOWN) return UNKNOWN;
  let all = outside;
  for (const name of hosts.keys()) {
    const report = reports.get(name);
    if (report === undefined) return UNKNOWN;
    all += report.lagClicks;
  }
  return all;
}
