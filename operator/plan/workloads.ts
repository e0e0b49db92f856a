/**
 * What Kubernetes rolls and scales by itself once it is told: gateways, query services, the raw
 * ingester, and all objects besides the workloads.
 */
import { releaseOf, type Component } from "../api/release.ts";
import type { Action } from "./actions.ts";
import type { View } from "./view.ts";
import { UNKNOWN } from "./world.ts";

/** Two at once would cost time, and count nothing twice (cmd/ingest). */
const INGESTERS = 1;

export function planDeployments(view: View): readonly Action[] {
  const { gateways, query } = view.spec;
  // Between other bounds the number of gateways is their autoscaler's.
  const ofGateways = gateways.min === gateways.max ? gateways.min : undefined;
  return [
    ...planDeployment(view, "gateways", ofGateways),
    ...planDeployment(view, "query", query.replicas),
    ...planDeployment(view, "ingest", INGESTERS),
  ];
}

export function planDeployment(
  { observed, spec }: View,
  component: Exclude<Component, "actors">,
  replicas: number | undefined,
): readonly Action[] {
  const there = observed.workloads[component];
  const release = releaseOf(spec, component);
  if (there === UNKNOWN) return [];
  const apply = (reason: string, message: string): readonly Action[] => [
    { kind: "apply-workload", component, replicas, release, because: { reason, message } },
  ];
  if (there === undefined)
    return apply("Created", `${component}: ${replicas ?? "as many as the autoscaler says"}`);
  if (there.release !== release) return apply("ReleaseChanged", `${component} are to run release ${release}`);
  if (replicas === undefined || there.replicas === replicas) return [];
  const reason = replicas > there.replicas ? "ScaledUp" : "ScaledDown";
  return apply(reason, `${component}: ${replicas}, after ${there.replicas}`);
}

export function planObjects({ desired, observed }: View): readonly Action[] {
  const { objects } = observed;
  if (objects === UNKNOWN) return [];
  const changed = [...desired.objects].filter(([object, digest]) => objects.get(object) !== digest);
  const extra = [...objects.keys()].filter((object) => !desired.objects.has(object));
  return [
    ...changed.map(([object]): Action => {
      const because = { reason: "Applied", message: `${object} is as it should be` };
      return { kind: "apply-object", object, because };
    }),
    ...extra.map((object): Action => {
      const because = { reason: "Removed", message: `${object} is no longer wanted` };
      return { kind: "delete-object", object, because };
    }),
  ];
}
