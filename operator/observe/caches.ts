/** Copies of all objects that the operator looks at, each kept current by a watch. */
import { isDeepStrictEqual } from "node:util";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { HotAdSplit } from "../api/hot-ad-split.ts";
import { versionOf, type KubeObject, type Metadata } from "../kube/object.ts";
import { startReflector, type Reflector, type ReflectorDeps } from "../kube/reflector.ts";
import {
  clickClusters,
  deployments,
  hotAdSplits,
  pods,
  RENDERED_KINDS,
  statefulSets,
  type Kind,
} from "../kube/resources.ts";
import { CLUSTER_LABEL } from "../render/manifest.ts";

/** As the API server has it: defaults are filled in. */
export interface ClickClusterObject extends KubeObject {
  readonly spec: ClickCluster["spec"];
  readonly status?: ClickCluster["status"];
}
export interface HotAdSplitObject extends KubeObject {
  readonly spec: HotAdSplit["spec"];
  readonly status?: HotAdSplit["status"];
}

/** A StatefulSet or a Deployment. */
export interface WorkloadObject extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly replicas?: number; readonly readyReplicas?: number };
}

interface ContainerStatus {
  readonly started?: boolean;
  readonly state?: { readonly running?: object };
}

export interface PodObject extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export interface Caches {
  readonly clusters: Reflector<ClickClusterObject>;
  readonly splits: Reflector<HotAdSplitObject>;
  readonly pods: Reflector<PodObject>;
  /** By kind: "StatefulSet", "Deployment". */
  readonly workloads: ReadonlyMap<string, Reflector<WorkloadObject>>;
  /** By kind: "Service", "ConfigMap", … */
  readonly rendered: ReadonlyMap<string, Reflector<KubeObject>>;
  /**
   * Of any change, the namespace and the name of the ClickCluster that it is about; but of none to the status
   * of a ClickCluster or a HotAdSplit: that is ours to write, and each write would call for the next round.
   */
  onChange(run: (namespace: string, cluster: string) => void): void;
  /** Takes in what a write of our own answered. */
  put(kind: Kind, object: KubeObject): void;
  /** Kinds that nothing can be said of now. */
  stale(): readonly string[];
  close(): Promise<void>;
}

/** Whether more than the status has changed: a spec changes its generation. */
function isMore(metadata: Metadata, before: KubeObject | undefined): boolean {
  const own = (of: Metadata) => ({ ...of, resourceVersion: undefined, managedFields: undefined });
  return before === undefined || !isDeepStrictEqual(own(metadata), own(before.metadata));
}

export function openCaches(deps: ReflectorDeps, namespace: string | undefined): Caches {
  const own = { namespace, labelSelector: CLUSTER_LABEL };
  const labelled = <T extends KubeObject>(kind: Kind) => startReflector<T>(deps, { kind, ...own });
  const clusters = startReflector<ClickClusterObject>(deps, { kind: clickClusters, namespace });
  const splits = startReflector<HotAdSplitObject>(deps, { kind: hotAdSplits, namespace });
  const podsOfAll = labelled<PodObject>(pods);
  const workloads = new Map(
    [statefulSets, deployments].map((kind) => [kind.kind, labelled<WorkloadObject>(kind)]),
  );
  const rendered = new Map(RENDERED_KINDS.map((kind) => [kind.kind, labelled<KubeObject>(kind)]));
  const all: readonly Reflector<never>[] = [
    clusters,
    splits,
    podsOfAll,
    ...workloads.values(),
    ...rendered.values(),
  ] as unknown as readonly Reflector<never>[];

  return {
    clusters,
    splits,
    pods: podsOfAll,
    workloads,
    rendered,
    onChange(run) {
      clusters.onChange(({ metadata }, before) => {
        if (isMore(metadata, before)) run(metadata.namespace ?? "", metadata.name);
      });
      splits.onChange(({ metadata, spec }, before) => {
        if (isMore(metadata, before)) run(metadata.namespace ?? "", spec.clusterName);
      });
      for (const each of [
        podsOfAll,
        ...workloads.values(),
        ...rendered.values(),
      ] as Reflector<KubeObject>[]) {
        each.onChange(({ metadata }) => {
          const name = metadata.labels?.[CLUSTER_LABEL];
          if (name !== undefined) run(metadata.namespace ?? "", name);
        });
      }
    },
    put(kind, object) {
      const into = all.find((each) => each.kind.kind === kind.kind) as Reflector<KubeObject> | undefined;
      if (versionOf(object) > 0) into?.put(object);
    },
    stale: () => all.filter((each) => !each.isCurrent).map((each) => each.kind.kind),
    async close() {
      await Promise.all(all.map((each) => each.close()));
    },
  };
}
