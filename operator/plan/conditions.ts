/**
 * The conditions of a ClickCluster. Each is True or False by what was seen, and Unknown where what it
 * speaks of was not; its time of transition is that of its status alone.
 */
import { shardsInUse } from "../../actors/routing/table.ts";
import { releaseOf } from "../api/release.ts";
import type { Condition } from "../api/meta.ts";
import type { Action, Because } from "./actions.ts";
import type { HostCount } from "./hosts.ts";
import type { RoutingPlan } from "./generations.ts";
import { awaySinceMs, fleetOf, heldOf, timeOf, type View } from "./view.ts";
import { hostName, UNKNOWN } from "./world.ts";

export interface Planned {
  readonly actions: readonly Action[];
  readonly count: HostCount;
  readonly routing: RoutingPlan;
  /** What a drain waits for; undefined: the cluster is not being deleted. */
  readonly draining: string | undefined;
}

type Verdict = readonly [status: Condition["status"], reason: string, message: string];
type ConditionType = "Ready" | "Progressing" | "Degraded" | "BackendsReachable" | "RoutingPublished";

export function conditionsOf(view: View, planned: Planned): Condition[] {
  const verdicts: Record<ConditionType, Verdict> = {
    Ready: ready(view, planned),
    Progressing: progressing(view, planned),
    Degraded: degraded(view, planned),
    BackendsReachable: backendsReachable(view),
    RoutingPublished: routingPublished(view, planned.routing),
  };
  return Object.entries(verdicts).map(([type, [status, reason, message]]) => {
    const before = view.status.conditions?.find((each) => each.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : timeOf(view.nowMs);
    const observedGeneration = view.desired.cluster.metadata.generation;
    return { type, status, observedGeneration, lastTransitionTime, reason, message };
  });
}

function ready(view: View, { draining }: Planned): Verdict {
  const { assignment, lost, nowMs, limits, observed, routing } = view;
  const { actors, gateways } = observed.workloads;
  if (draining !== undefined) return ["False", "Draining", `waits for ${draining}`];
  if (lost.length > 0)
    return ["False", "StateLost", `the published ${lost.join(" and ")} is gone, or older than it was`];
  if (actors === undefined || gateways === undefined)
    return ["False", "Creating", "the workloads are being made"];
  if (routing === undefined) return ["False", "NoRouting", "no routing generation is published yet"];
  if (gateways !== UNKNOWN && gateways.ready === 0) return ["False", "NoGateway", "no gateway is ready"];
  if (assignment === undefined) return ["False", "NoAssignment", "no shard is assigned yet"];
  if (routing === UNKNOWN || assignment === UNKNOWN || gateways === UNKNOWN)
    return [
      "Unknown",
      "NotObserved",
      "the routing table, the assignment or the gateways could not be observed",
    ];
  const { held, open } = heldOf(view, assignment);
  const unowned = shardsInUse(routing, nowMs, limits).filter((shard) => !assignment.shards.has(shard));
  const silent = open.filter((shard) => !observed.reports.has(assignment.shards.get(shard)!.host));
  const missing = [...unowned, ...open.filter((shard) => !silent.includes(shard))];
  if (missing.length > 0)
    return ["False", "ShardsMoving", `not served by their owners yet: shards ${missing.join(", ")}`];
  if (silent.length > 0)
    return ["Unknown", "NotObserved", `of shards ${silent.join(", ")} nobody says who serves them`];
  return ["True", "Serving", `${held.length} shards are served`];
}

function progressing(view: View, { actions, count, draining, routing }: Planned): Verdict {
  const { observed, spec, nowMs, newest, assignment } = view;
  if (draining !== undefined) return ["True", "Draining", `waits for ${draining}`];
  if (spec.paused) return ["False", "Paused", "spec.paused is set: nothing is touched"];
  const doing = actions.find(
    (action): action is Action & { readonly because: Because } => "because" in action,
  );
  if (doing !== undefined) return ["True", doing.because.reason, doing.because.message];
  const fleet = fleetOf(view);
  const release = releaseOf(spec, "actors");
  if (fleet === undefined) return ["Unknown", "NotObserved", "the actor hosts could not be observed"];
  const outdated = [...fleet.hosts.values()].filter((host) => host.release !== release).length;
  if (outdated > 0) return ["True", "RollingOut", `${outdated} actor hosts run another release`];
  if (fleet.workload.replicas !== count.replicas)
    return ["True", "Scaling", `${count.replicas} actor hosts, after ${fleet.workload.replicas}`];
  if (fleet.hosts.size !== count.replicas)
    return ["True", "Scaling", `${fleet.hosts.size} of ${count.replicas} hosts`];
  if (routing.isAsWanted === false) return ["True", "RoutingChanges", "the next generation follows"];
  if (newest !== undefined && newest.inForceFromMs > nowMs)
    return [
      "True",
      "RoutingChanges",
      `generation ${newest.number} takes force at ${timeOf(newest.inForceFromMs)}`,
    ];
  const open = assignment === UNKNOWN || assignment === undefined ? [] : heldOf(view, assignment).open;
  if (
    open.some((shard) =>
      observed.reports.has(
        (assignment as { shards: ReadonlyMap<number, { host: string }> }).shards.get(shard)!.host,
      ),
    )
  )
    return ["True", "ShardsMoving", `${open.length} shards are on their way`];
  return ["False", "AsWanted", "everything is as wanted"];
}

function degraded(view: View, { count, routing }: Planned): Verdict {
  const { lost, name, nowMs, observed, spec } = view;
  if (lost.length > 0)
    return [
      "True",
      "StateLost",
      `the published ${lost.join(" and ")} is gone, or older than it was: restore it; a first one made anew could count a click twice`,
    ];
  if (routing.refused !== undefined) return ["True", "RoutingRefused", routing.refused];
  const { hosts } = observed;
  if (hosts === UNKNOWN) return ["Unknown", "NotObserved", "the actor hosts could not be observed"];
  const away = Array.from({ length: count.replicas }, (_, ordinal) => hostName(name, ordinal)).filter(
    (host) => {
      const sinceMs = awaySinceMs(view, host);
      return sinceMs !== undefined && nowMs - sinceMs >= spec.actors.awaySeconds * 1_000;
    },
  );
  if (away.length > 0)
    return ["True", "HostsAway", `away for more than ${spec.actors.awaySeconds} s: ${away.join(", ")}`];
  const unreachable = unreachableOf(view);
  if (unreachable.length > 0)
    return ["True", "BackendsUnreachable", `not reachable: ${unreachable.join(", ")}`];
  return ["False", "AsWanted", "nothing is amiss"];
}

const unreachableOf = ({ observed: { backends } }: View): readonly string[] =>
  Object.entries(backends)
    .filter(([, isReachable]) => isReachable === false)
    .map(([backend]) => backend);

function backendsReachable(view: View): Verdict {
  const unreachable = unreachableOf(view);
  if (unreachable.length > 0) return ["False", "Unreachable", `not reachable: ${unreachable.join(", ")}`];
  const silent = Object.entries(view.observed.backends).filter(([, seen]) => seen === UNKNOWN);
  if (silent.length > 0)
    return ["Unknown", "NotObserved", `not observed: ${silent.map(([each]) => each).join(", ")}`];
  return ["True", "Reachable", "Redpanda, ClickHouse and Redis answer"];
}

function routingPublished({ lost, newest, routing }: View, { isAsWanted, refused }: RoutingPlan): Verdict {
  if (lost.includes("routing"))
    return ["False", "StateLost", "the published routing table is gone, or older than it was"];
  if (routing === UNKNOWN) return ["Unknown", "NotObserved", "the routing table could not be observed"];
  if (refused !== undefined) return ["False", "Refused", refused];
  if (newest === undefined) return ["False", "NotYet", "no generation is published yet"];
  if (isAsWanted === false) return ["False", "Changing", `generation ${newest.number} is not as wanted yet`];
  if (isAsWanted === undefined) return ["Unknown", "NotObserved", "the HotAdSplits could not be observed"];
  return [
    "True",
    "Published",
    `generation ${newest.number}: ${newest.shardCount} shards, ${newest.splits.size} ads split`,
  ];
}

/** Events for conditions that turned for the worse, or back. */
export function conditionEvents(view: View, conditions: readonly Condition[]): readonly Action[] {
  const bad: Partial<Record<string, Condition["status"]>> = { Degraded: "True", BackendsReachable: "False" };
  return conditions.flatMap(({ type, status, reason, message }): readonly Action[] => {
    const before = view.status.conditions?.find((each) => each.type === type)?.status;
    const isBad = bad[type] !== undefined && status === bad[type] && before !== status;
    const isOver =
      bad[type] !== undefined && before === bad[type] && status !== "Unknown" && status !== before;
    if (!isBad && !isOver) return [];
    return [{ kind: "emit-event", type: isBad ? "Warning" : "Normal", because: { reason, message } }];
  });
}
