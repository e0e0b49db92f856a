/**
 * The actor hosts' StatefulSet (which restarts no pod by itself): how many pods it has, which host is
 * restarted next, and with it the part that each host has in the assignment:
 *
 *   target   is up and stays: has shards, and may be given more
 *   keeper   is away for a moment, its volume with it: keeps its shards, is given none
 *   neither  is to be restarted or removed, or away for too long: its shards go to targets
 *
 *  H1 A host is restarted, or removed, when it has handed all its shards over, and says so. But one
 *     that is down anyhow is restarted at once, and so is the only one: there is nobody to hand over to.
 *  H2 One host at a time, and only while all the others are up: a release that does not come up stops
 *     the rollout at the first host.
 *  H3 Hosts are restarted for another release alone (releaseOf), never for another rendering of it.
 *  H4 Fewer hosts: the highest ordinals go, as a StatefulSet has it.
 */
import { releaseOf } from "../api/release.ts";
import type { Action } from "./actions.ts";
import type { HostCount } from "./hosts.ts";
import { awaySinceMs, fleetOf, heldOf, type Fleet, type View } from "./view.ts";
import { hostName, ordinalOf, UNKNOWN } from "./world.ts";

export interface Parts {
  /** With their addresses. */
  readonly targets: ReadonlyMap<string, string>;
  readonly keepers: ReadonlySet<string>;
}

export interface RolloutPlan {
  readonly actions: readonly Action[];
  /** Undefined where too little is known to move any shard. */
  readonly parts: Parts | undefined;
}

export function planRollout(view: View, { replicas: wanted }: HostCount): RolloutPlan {
  const { actors } = view.observed.workloads;
  const release = releaseOf(view.spec, "actors");
  if (actors === UNKNOWN) return { actions: [], parts: undefined };
  const apply = (replicas: number, reason: string, message: string): Action => ({
    kind: "apply-workload",
    component: "actors",
    replicas,
    release,
    because: { reason, message },
  });
  if (actors === undefined) {
    return { actions: [apply(wanted, "Created", `${wanted} actor hosts`)], parts: undefined };
  }
  const current = actors.replicas;
  const fleet = fleetOf(view);
  const restarted = fleet && nextToRestart(view, fleet, wanted);
  const replicas = wanted < current ? (fleet === undefined ? current : lowered(view, fleet, wanted)) : wanted;
  const actions: Action[] = [];
  if (actors.release !== release) {
    actions.push(apply(replicas, "ReleaseChanged", `actor hosts are to run release ${release}`));
  } else if (replicas !== current) {
    const reason = replicas > current ? "ScaledUp" : "ScaledDown";
    actions.push(apply(replicas, reason, `${replicas} actor hosts, after ${current}`));
  } else if (restarted !== undefined && isReadyToRestart(view, fleet!, restarted, wanted)) {
    const { uid, isUp } = fleet!.hosts.get(restarted)!;
    const message = `${restarted} is to run release ${release}${isUp ? "" : ", and is down anyhow"}`;
    actions.push({
      kind: "restart-host",
      host: restarted,
      uid,
      because: { reason: "HostRestarted", message },
    });
  }
  return { actions, parts: fleet && partsOf(view, fleet, wanted, restarted) };
}

const owns = ({ assignment }: View, host: string): number =>
  assignment === UNKNOWN || assignment === undefined
    ? 0
    : [...assignment.shards.values()].filter((owner) => owner.host === host).length;

/** H1 */
function isDrained(view: View, { hosts }: Fleet, host: string): boolean {
  const { assignment, observed } = view;
  if (assignment === UNKNOWN || owns(view, host) > 0) return false;
  const pod = hosts.get(host);
  if (pod === undefined) return true;
  const report = observed.reports.get(host);
  if (report !== undefined) return report.held.size === 0;
  return !pod.isUp && (assignment === undefined || heldOf(view, assignment).open.length === 0);
}

/** As far down towards `wanted` as hosts are drained from the top. */
function lowered(view: View, fleet: Fleet, wanted: number): number {
  let count = fleet.workload.replicas;
  while (count > wanted && isDrained(view, fleet, hostName(view.name, count - 1))) count -= 1;
  return count;
}

/** H2: the host that is to run another release next; it may still have shards to hand over. */
function nextToRestart(view: View, { workload, hosts }: Fleet, wanted: number): string | undefined {
  const { name } = view;
  if (workload.release !== releaseOf(view.spec, "actors") || workload.replicas !== wanted) return undefined;
  const names = Array.from({ length: wanted }, (_, ordinal) => hostName(name, ordinal));
  const isAway = (host: string): boolean => {
    const pod = hosts.get(host);
    return pod === undefined || !pod.isUp || pod.isEnding;
  };
  const away = names.filter(isAway);
  const outdated = names.filter((host) => {
    const pod = hosts.get(host);
    return pod !== undefined && !pod.isEnding && pod.release !== workload.release;
  });
  if (away.length > 0) return outdated.find((host) => !hosts.get(host)!.isUp);
  // The one that has begun to hand over has fewer shards than the others, and so stays the next.
  const order = (host: string) => owns(view, host) * 1_000_000 - ordinalOf(name, host);
  return outdated.sort((a, b) => order(a) - order(b))[0];
}

function isReadyToRestart(view: View, fleet: Fleet, host: string, wanted: number): boolean {
  return wanted === 1 || !fleet.hosts.get(host)!.isUp || isDrained(view, fleet, host);
}

function partsOf(
  view: View,
  { workload, hosts }: Fleet,
  wanted: number,
  restarted: string | undefined,
): Parts {
  const { name, nowMs, spec } = view;
  const stays = (host: string): boolean => ordinalOf(name, host) < Math.min(wanted, workload.replicas);
  const targets = new Map<string, string>();
  for (const [host, { address, isUp, isEnding }] of hosts) {
    const mayServe = isUp && !isEnding && stays(host);
    if (mayServe && (host !== restarted || wanted === 1)) targets.set(host, address);
  }
  const known = new Set([
    ...Array.from({ length: wanted }, (_, ordinal) => hostName(name, ordinal)),
    ...hosts.keys(),
  ]);
  const keepers = new Set(
    [...known].filter((host) => {
      const sinceMs = awaySinceMs(view, host);
      const isBrief = sinceMs !== undefined && nowMs - sinceMs < spec.actors.awaySeconds * 1_000;
      return isBrief && ordinalOf(name, host) < wanted;
    }),
  );
  return { targets, keepers };
}
