/**
 * How many actor hosts there should be.
 *
 *  K1 More at once, where what is known of the load asks for it: what is not known could only add.
 *  K2 Fewer only when every host has said what it does, and fewer have been enough for
 *     scaleDownAfterSeconds, with a tenth of a host's capacity to spare: scaling down never calls for
 *     scaling up.
 *  K3 Within bounds, and never more hosts than shards.
 *  K4 With MetricsOnly the number is said, and what the spec says is done.
 */
import { fleetOf, type Fleet, type View } from "./view.ts";
import { hostName } from "./world.ts";

export interface HostCount {
  /** As many as there are to be. */
  readonly replicas: number;
  /** As many as the load asks for; undefined: not known. */
  readonly recommended: number | undefined;
  /** Since when fewer would do. */
  readonly fewerSinceMs: number | undefined;
}

const SPARE = 0.9;

export function hostCount(view: View): HostCount {
  const { autoscaling, actors } = view.spec;
  const { actors: before } = view.status;
  const bounded = (count: number): number => Math.min(Math.max(count, actors.min), actors.max);
  const asked = bounded(actors.replicas);
  const fleet = fleetOf(view);
  const current = fleet === undefined ? asked : bounded(fleet.workload.replicas);
  const lastSinceMs = before?.fewerSince === undefined ? undefined : Date.parse(before.fewerSince);
  if (autoscaling.mode === "Off") return { replicas: asked, recommended: undefined, fewerSinceMs: undefined };
  const byLoad = fleet === undefined ? undefined : wantedByLoad(view, fleet, bounded);
  if (byLoad === undefined) {
    const replicas = autoscaling.mode === "Auto" ? current : asked;
    return { replicas, recommended: before?.recommended, fewerSinceMs: lastSinceMs };
  }
  const { wanted, isComplete } = byLoad;
  const isFewer = isComplete && wanted < current;
  const fewerSinceMs = isFewer
    ? (lastSinceMs ?? view.nowMs)
    : isComplete || wanted > current
      ? undefined
      : lastSinceMs;
  const isDue = isFewer && view.nowMs - fewerSinceMs! >= autoscaling.scaleDownAfterSeconds * 1_000;
  const scaled = wanted > current || isDue ? wanted : current;
  return {
    replicas: autoscaling.mode === "Auto" ? scaled : asked,
    recommended: wanted,
    // It stands until there are fewer: what is drained meanwhile must not be given its shards back.
    fewerSinceMs,
  };
}

/** Undefined where nothing can be said: not even whether the last hosts that were asked for have come. */
function wantedByLoad(
  view: View,
  { workload, hosts }: Fleet,
  bounded: (count: number) => number,
): { readonly wanted: number; readonly isComplete: boolean } | undefined {
  const { autoscaling, actors } = view.spec;
  const { reports } = view.observed;
  const { replicas } = workload;
  const names = Array.from({ length: replicas }, (_, ordinal) => hostName(view.name, ordinal));
  if (replicas === 0 || view.newest === undefined) return undefined;
  const isSettled = names.every((name) => {
    const host = hosts.get(name);
    return host !== undefined && host.isUp && !host.isEnding;
  });
  const known = names.flatMap((name) => reports.get(name) ?? []);
  if (!isSettled || known.length === 0) return undefined;
  const share = autoscaling.targetPercent / 100;
  const clicks = known.reduce((sum, { clicksPerSecond }) => sum + clicksPerSecond, 0);
  const cpu = known.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0) / 100;
  const needed = (spare: number) =>
    Math.max(clicks / (actors.clicksPerSecond * share * spare), cpu / (share * spare));
  const lags = known.some(({ lagClicks }) => lagClicks > autoscaling.maxLagClicks);
  const most = (count: number): number =>
    Math.min(bounded(count), Math.max(view.newest!.shardCount, actors.min));
  const up = most(Math.max(Math.ceil(needed(1)), lags ? replicas + 1 : 0));
  const isComplete = known.length === names.length;
  if (up >= replicas || !isComplete) return { wanted: Math.max(up, most(replicas)), isComplete };
  const down = most(Math.max(1, Math.ceil(needed(SPARE))));
  return { wanted: Math.min(replicas, down), isComplete: true };
}
