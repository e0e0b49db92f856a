/**
 * The four workloads. How many pods each has is not said here but by the planner, or an autoscaler.
 *
 *  W1 No pod ends with the only copy of what was acknowledged: actor hosts and gateways are StatefulSets,
 *     whose pods come back to their volumes.
 *  W2 Of an actor host that is scaled away the volume goes: its shards have gone, the log gives their state
 *     back, and a state that is older than the log would halt a shard. A gateway's stays: clicks may
 *     be spooled on it, which the next gateway of that name hands on. So it does when the ClickCluster
 *     goes, which may have been given up before it had drained.
 *  W3 Actor hosts are restarted by the planner alone (OnDelete), which moves their shards first; all
 *     others by Kubernetes, one by one, and never below what serves.
 */
import type {
  V1DeploymentSpec,
  V1PersistentVolumeClaim,
  V1StatefulSetPersistentVolumeClaimRetentionPolicy,
  V1StatefulSetSpec,
  V1StatefulSetUpdateStrategy,
} from "@kubernetes/client-node";
import type { ClickCluster, ClickClusterSpec } from "../api/click-cluster.ts";
import { releaseOf, type Component } from "../api/release.ts";
import { manifestOf, RELEASE_LABEL, selectorOf, workloadName, type Head, type Manifest } from "./manifest.ts";
import { DATA_VOLUME, podTemplate } from "./pod.ts";

export type StatefulSet = Manifest & { readonly kind: "StatefulSet"; readonly spec: V1StatefulSetSpec };
export type Deployment = Manifest & { readonly kind: "Deployment"; readonly spec: V1DeploymentSpec };
export interface Workloads {
  readonly actors: StatefulSet;
  readonly gateways: StatefulSet;
  readonly query: Deployment;
  readonly ingest: Deployment;
}

const REVISIONS = 3;
/** A new pod must have been ready for so long before the next one is replaced. */
const MIN_READY_SECONDS = 5;

export const renderWorkloads = (cluster: ClickCluster): Workloads => ({
  actors: statefulSet(cluster, "actors", cluster.spec.actors.storage, "Delete", { type: "OnDelete" }),
  gateways: statefulSet(cluster, "gateways", cluster.spec.gateways.spool, "Retain", {
    type: "RollingUpdate",
  }),
  query: deployment(cluster, "query", {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
  }),
  // Nobody waits for it, and two at once cost time.
  ingest: deployment(cluster, "ingest", { type: "Recreate" }),
});

function head<K extends string>(cluster: ClickCluster, component: Component, kind: K): Head<K> {
  const { metadata, spec } = cluster;
  const labels = { [RELEASE_LABEL]: releaseOf(spec, component) };
  const name = workloadName(metadata.name, component);
  return { apiVersion: "apps/v1", kind, name, component, labels };
}

type Storage = ClickClusterSpec["actors"]["storage"];

function statefulSet(
  cluster: ClickCluster,
  component: "actors" | "gateways",
  { size, storageClassName }: Storage,
  kept: "Retain" | "Delete",
  updateStrategy: V1StatefulSetUpdateStrategy,
): StatefulSet {
  const { name } = cluster.metadata;
  const matchLabels = selectorOf(name, component);
  const claim: V1PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: DATA_VOLUME, labels: matchLabels },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: String(size) } },
      ...(storageClassName !== undefined && { storageClassName }),
    },
  };
  const policy: V1StatefulSetPersistentVolumeClaimRetentionPolicy = {
    whenDeleted: kept,
    whenScaled: kept,
  };
  const spec: V1StatefulSetSpec = {
    serviceName: workloadName(name, component),
    selector: { matchLabels },
    // Each comes up by itself, and a broken release is replaced without waiting for it.
    podManagementPolicy: "Parallel",
    updateStrategy,
    minReadySeconds: MIN_READY_SECONDS,
    revisionHistoryLimit: REVISIONS,
    persistentVolumeClaimRetentionPolicy: policy,
    template: podTemplate(cluster, component, "claimed"),
    volumeClaimTemplates: [claim],
  };
  return manifestOf(cluster, head(cluster, component, "StatefulSet"), { spec });
}

function deployment(
  cluster: ClickCluster,
  component: "query" | "ingest",
  strategy: NonNullable<V1DeploymentSpec["strategy"]>,
): Deployment {
  const spec: V1DeploymentSpec = {
    selector: { matchLabels: selectorOf(cluster.metadata.name, component) },
    strategy,
    minReadySeconds: MIN_READY_SECONDS,
    revisionHistoryLimit: REVISIONS,
    template: podTemplate(cluster, component, "passing"),
  };
  return manifestOf(cluster, head(cluster, component, "Deployment"), { spec });
}
