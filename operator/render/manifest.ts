/**
 * What every rendered object has: how it is named and labelled, and that it goes with its ClickCluster.
 *
 * A manifest is an object as the API server takes it, plain JSON; the types of its parts are
 * @kubernetes/client-node's.
 */
import type { ClickCluster } from "../api/click-cluster.ts";
import { digestOf } from "../api/digest.ts";
import { GROUP, VERSION } from "../api/meta.ts";
import type { Component } from "../api/release.ts";

/** Of all that belongs to a ClickCluster, pods included: its name. */
export const CLUSTER_LABEL = `${GROUP}/cluster`;
export const COMPONENT_LABEL = "app.kubernetes.io/component";
/** On a workload and on its pods: the release (releaseOf) that they run. */
export const RELEASE_LABEL = `${GROUP}/release`;
/** By it is told whether an object is as it should be. */
export const DIGEST_ANNOTATION = `${GROUP}/digest`;

export type Labels = Record<string, string>;

interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: boolean;
  readonly blockOwnerDeletion: boolean;
}

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Labels>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ownerReferences: readonly Owner[];
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
}

/** Label of all of adtally's pods, the operator's too. */
export const PART_OF_LABEL = "app.kubernetes.io/part-of";
export const PART_OF = "adtally";

export const workloadName = (cluster: string, component: Component): string => `${cluster}-${component}`;

/** Not the cluster's own name, which may be "default". */
export const accountName = (cluster: string): string => `${cluster}-data-plane`;
/** ConfigMap of the routing table and the assignment, which all pods mount as --state-dir. */
export const stateName = (cluster: string): string => `${cluster}-state`;

/** By these a cluster's pods are found; a workload's selector never changes. */
export const selectorOf = (cluster: string, component?: Component): Labels => ({
  [CLUSTER_LABEL]: cluster,
  ...(component !== undefined && { [COMPONENT_LABEL]: component }),
});

export const labelsOf = (cluster: string, component?: Component): Labels => ({
  "app.kubernetes.io/name": "adtally",
  "app.kubernetes.io/instance": cluster,
  [PART_OF_LABEL]: PART_OF,
  "app.kubernetes.io/managed-by": "adtally-operator",
  ...selectorOf(cluster, component),
});

export interface Head<K extends string> {
  readonly apiVersion: string;
  readonly kind: K;
  readonly name: string;
  readonly component?: Component;
  readonly labels?: Labels;
}

/** `body`: all that stands beside the metadata. */
export function manifestOf<K extends string, B extends object>(
  { metadata: { name, namespace, uid } }: ClickCluster,
  head: Head<K>,
  body: B,
): Manifest & { readonly kind: K } & B {
  const owner = { apiVersion: `${GROUP}/${VERSION}`, kind: "ClickCluster", name, uid };
  const metadata: Metadata = {
    name: head.name,
    namespace,
    labels: { ...labelsOf(name, head.component), ...head.labels },
    annotations: {},
    ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: true }],
  };
  const manifest = { apiVersion: head.apiVersion, kind: head.kind, metadata, ...body };
  // The digest is of the manifest without it.
  const annotations = { [DIGEST_ANNOTATION]: digestOf(manifest) };
  return { ...manifest, metadata: { ...metadata, annotations } };
}
