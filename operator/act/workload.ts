/** Applies a StatefulSet or Deployment: whole for another release, else its number of pods (T4 of act.ts). */
import type { KubeObject } from "../kube/object.ts";
import { deployments, pathOf, statefulSets } from "../kube/resources.ts";
import type { WorkloadObject } from "../observe/caches.ts";
import type { Action } from "../plan/actions.ts";
import { RELEASE_LABEL, type Manifest } from "../render/manifest.ts";
import { EPOCH_ANNOTATION, FIELD_MANAGER } from "../state/names.ts";
import { apply, type Scene } from "./act.ts";

type ApplyWorkload = Extract<Action, { readonly kind: "apply-workload" }>;

interface ManagedFields {
  readonly manager?: string;
  readonly fieldsV1?: { readonly "f:spec"?: { readonly "f:replicas"?: object } };
}

export async function applyWorkload(
  scene: Scene,
  manifest: Manifest,
  { release, replicas }: ApplyWorkload,
): Promise<void> {
  const { caches, client, cluster, term } = scene;
  const { namespace } = cluster.metadata;
  const kind = manifest.kind === "StatefulSet" ? statefulSets : deployments;
  const { name } = manifest.metadata;
  const known = caches.workloads.get(kind.kind)?.objects.get(`${namespace}/${name}`);
  if (known !== undefined && known.metadata.labels?.[RELEASE_LABEL] === release) {
    if (replicas === undefined) return;
    const { resourceVersion } = known.metadata;
    const annotations = { [EPOCH_ANNOTATION]: String(term.epoch) };
    term.assertHeld();
    const written = await client.send<KubeObject>("PATCH", pathOf(kind, namespace, name), {
      body: { metadata: { resourceVersion, annotations }, spec: { replicas } },
      contentType: "application/merge-patch+json",
      query: { fieldManager: FIELD_MANAGER },
    });
    caches.put(kind, written);
    return;
  }
  const { spec, ...rest } = manifest as unknown as KubeObject & { readonly spec: object };
  const labels = { ...manifest.metadata.labels, [RELEASE_LABEL]: release };
  const object = {
    ...rest,
    metadata: { ...manifest.metadata, labels },
    spec: { ...spec, replicas: replicas ?? keptReplicas(known) },
  };
  await apply(scene, kind, object, known, true);
}

/**
 * An autoscaler's number is left out. But one that we set ourselves, before there was an autoscaler,
 * would be taken away by that, and there would be one pod until the autoscaler has looked.
 */
function keptReplicas(known: WorkloadObject | undefined): number | undefined {
  const metadata = known?.metadata as { readonly managedFields?: readonly ManagedFields[] } | undefined;
  const isOurs = metadata?.managedFields?.some(
    ({ manager, fieldsV1 }) =>
      manager === FIELD_MANAGER && fieldsV1?.["f:spec"]?.["f:replicas"] !== undefined,
  );
  return isOurs === true ? known?.spec?.replicas : undefined;
}
