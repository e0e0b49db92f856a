/**
 * From a ClickCluster to all that it is made of on Kubernetes: a pure function, whose manifests are
 * plain JSON for server-side apply.
 *
 *  R1 The same ClickCluster gives the same manifests; of the operator nothing is in them but how it
 *     renders. So whoever scales a workload that runs its release already leaves its template alone: a
 *     newer operator's would restart the pods (N1 of operator/api/release.ts).
 *  R2 How many pods a workload has does not stand in its manifest: `replicas` is its applier's to add,
 *     or an autoscaler's.
 *  R3 Every object is the ClickCluster's own: deleting that one deletes them all, volumes included.
 *  R4 The ConfigMap of the routing table and the assignment (stateName) is none of them: pods mount it,
 *     and it is not made from the spec.
 */
import type { ClickCluster } from "../api/click-cluster.ts";
import { DIGEST_ANNOTATION, type Manifest } from "./manifest.ts";
import { renderObjects } from "./objects.ts";
import { renderWorkloads, type Workloads } from "./workloads.ts";

export interface Rendered {
  /** By component; each says its own kind. */
  readonly workloads: Workloads;
  /** All others, by "Kind/name". */
  readonly objects: ReadonlyMap<string, Manifest>;
  /** Of `objects`, as Desired.objects has them; each also stands in its object's annotations. */
  readonly digests: ReadonlyMap<string, string>;
}

export function render(cluster: ClickCluster): Rendered {
  const objects = new Map(
    renderObjects(cluster).map((each): [string, Manifest] => [`${each.kind}/${each.metadata.name}`, each]),
  );
  const digests = new Map(
    [...objects].map(([key, { metadata }]): [string, string] => [
      key,
      metadata.annotations[DIGEST_ANNOTATION]!,
    ]),
  );
  return { workloads: renderWorkloads(cluster), objects, digests };
}
