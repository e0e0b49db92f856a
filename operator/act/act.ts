/**
 * Does one of the planner's actions (plan/actions.ts), and tells of it.
 *
 *  T1 Before each write, and each event, the Lease must still be ours, with a margin (E1 of lead/elector.ts).
 *  T2 An object that is there is changed upon the version that was looked at: what another wrote since,
 *     a later leader above all, is refused as a conflict (D2 of actions.ts), and what is to be done is planned anew.
 *     A pod and a split are deleted by their uid.
 *  T3 What is written carries the epoch of its leader, but for what the API server lets nobody write
 *     beside a status.
 *  T4 A workload's pods are rendered anew for another release alone. For another number of pods
 *     nothing but that number is written: a newer operator, which renders otherwise, restarts none.
 *  T5 The state outlives its ClickCluster, and nobody owns it: one that is made again over the same
 *     topics goes on from the generations that stand.
 */
import { decodeAssignment, encodeAssignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError, isAdtallyError } from "../../actors/core/errors.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { limitsOf } from "../api/limits.ts";
import { FINALIZER, GROUP, VERSION } from "../api/meta.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeObject, OwnerReference } from "../kube/object.ts";
import {
  clickClusters,
  configMaps,
  hotAdSplits,
  pathOf,
  pods,
  RENDERED_KINDS,
  type Kind,
} from "../kube/resources.ts";
import type { Caches } from "../observe/caches.ts";
import type { Action } from "../plan/actions.ts";
import { CLUSTER_LABEL, stateName } from "../render/manifest.ts";
import type { Rendered } from "../render/render.ts";
import { changeDocument, type Term } from "../state/config-map.ts";
import { ASSIGNMENT_KEY, DRAINED_KEY, EPOCH_ANNOTATION, FIELD_MANAGER, ROUTING_KEY } from "../state/names.ts";
import type { EventSink } from "./events.ts";
import { applyWorkload } from "./workload.ts";

export interface ActDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly events: EventSink;
}

/** What an action is done for. */
export interface Scene extends ActDeps {
  readonly cluster: ClickCluster;
  readonly rendered: Rendered;
  readonly term: Term;
}

export const conflict = (message: string): AdtallyError => new AdtallyError("KUBERNETES_CONFLICT", message);

/** @throws KUBERNETES_CONFLICT, NOT_LEADER, or what the API server refused */
export async function act(scene: Scene, action: Action): Promise<void> {
  await perform(scene, action);
  if (!("because" in action)) return;
  scene.events.emit(scene.cluster, typeOf(action), action.kind, action.because);
}

function typeOf(action: Action): "Normal" | "Warning" {
  if (action.kind === "remove-finalizer") return action.isDrained ? "Normal" : "Warning";
  return action.kind === "emit-event" ? action.type : "Normal";
}

async function perform(scene: Scene, action: Action): Promise<void> {
  const { cluster, rendered } = scene;
  const { namespace, name } = cluster.metadata;
  switch (action.kind) {
    case "add-finalizer":
      // What a former life of that name said of its end speaks for this one no more.
      await publish(scene, DRAINED_KEY, (text) => (text === undefined ? undefined : ""));
      return setFinalizers(scene, (finalizers) => [...finalizers, FINALIZER]);
    case "remove-finalizer":
      await sayHowItEnds(scene, action.isDrained);
      return setFinalizers(scene, (finalizers) => finalizers.filter((each) => each !== FINALIZER));
    case "publish-routing":
      return publish(scene, ROUTING_KEY, (text) => {
        const limits = limitsOf(cluster.spec);
        const stands = text === undefined ? undefined : decodeTable(text, 0, limits).newestFirst[0]?.number;
        if ((stands ?? 0) !== action.after)
          throw conflict(`routing generation ${stands ?? 0} stands, and not ${action.after}`);
        return encodeTable(action.table);
      });
    case "publish-assignment":
      return publish(scene, ASSIGNMENT_KEY, (text) => {
        const stands = text === undefined ? 0 : decodeAssignment(text).version;
        if (stands !== action.after) throw conflict(`assignment ${stands} stands, and not ${action.after}`);
        return encodeAssignment(action.assignment);
      });
    case "apply-workload":
      return applyWorkload(scene, rendered.workloads[action.component], action);
    case "restart-host":
      return remove(scene, pods, namespace, action.host, action.uid);
    case "apply-split": {
      const known = scene.caches.splits.objects.get(`${namespace}/${action.name}`);
      const metadata = {
        name: action.name,
        labels: { [CLUSTER_LABEL]: name },
        ownerReferences: [ownerOf(cluster)],
      };
      if (known?.spec.origin === "Hand")
        throw conflict(`HotAdSplit ${namespace}/${action.name} is a person's`);
      // By force where it was looked at: a person's change to one that the policy made would be refused for ever.
      return apply(scene, hotAdSplits, { metadata, spec: action.spec }, known, known !== undefined);
    }
    case "delete-split":
      return remove(scene, hotAdSplits, namespace, action.name, action.uid);
    case "apply-object": {
      const [kind, objectName] = kindOf(action.object);
      const manifest = rendered.objects.get(action.object);
      if (manifest === undefined) throw conflict(`${action.object} is no longer rendered`);
      const known = scene.caches.rendered.get(kind.kind)?.objects.get(`${namespace}/${objectName}`);
      return apply(scene, kind, manifest as unknown as KubeObject, known, true);
    }
    case "delete-object": {
      const [kind, objectName] = kindOf(action.object);
      const known = scene.caches.rendered.get(kind.kind)?.objects.get(`${namespace}/${objectName}`);
      return remove(scene, kind, namespace, objectName, known?.metadata.uid);
    }
    case "set-split-status":
      return setStatus(scene, hotAdSplits, action.name, action.status, scene.caches.splits.objects);
    case "set-status":
      return setStatus(scene, clickClusters, name, action.status, scene.caches.clusters.objects);
    case "emit-event":
      return scene.term.assertHeld();
  }
}

export const ownerOf = ({ metadata: { name, uid } }: ClickCluster): OwnerReference => ({
  apiVersion: `${GROUP}/${VERSION}`,
  kind: "ClickCluster",
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
});

function kindOf(object: string): readonly [Kind, string] {
  const [kindName = "", objectName = ""] = object.split("/");
  const kind = RENDERED_KINDS.find((each) => each.kind === kindName);
  if (kind === undefined)
    throw new AdtallyError("STATE_IMPOSSIBLE", `${object} is of a kind that the operator does not make`);
  return [kind, objectName];
}

/**
 * For who asks when the ClickCluster is gone (cmd/chart-hooks). It ends all the same where that cannot be
 * written, as in a namespace that is itself being deleted: then nobody deletes what may be needed.
 */
async function sayHowItEnds(scene: Scene, isDrained: boolean): Promise<void> {
  const { uid } = scene.cluster.metadata;
  try {
    await publish(scene, DRAINED_KEY, () => (isDrained ? uid : ""));
  } catch (error) {
    if (!isAdtallyError(error, "SHARED_STATE_UNAVAILABLE")) throw error;
  }
}

/** T5 */
async function publish(
  { client, caches, cluster, term }: Scene,
  key: string,
  decide: (text: string | undefined) => string | undefined,
): Promise<void> {
  const { namespace, name } = cluster.metadata;
  const metadata = { labels: { [CLUSTER_LABEL]: name }, ownerReferences: [] };
  const place = { client, namespace, name: stateName(name), metadata };
  const written = await changeDocument(place, key, decide, term);
  if (written !== undefined) caches.put(configMaps, written);
}

/** Server-side apply (T2, T3). */
export async function apply(
  { client, caches, cluster, term }: Scene,
  kind: Kind,
  object: KubeObject | { readonly metadata: object; readonly spec: object },
  known: KubeObject | undefined,
  force: boolean,
): Promise<void> {
  const { namespace } = cluster.metadata;
  const metadata = object.metadata as KubeObject["metadata"];
  const body = {
    ...object,
    apiVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
    kind: kind.kind,
    metadata: {
      ...metadata,
      namespace,
      annotations: { ...metadata.annotations, [EPOCH_ANNOTATION]: String(term.epoch) },
      ...(known !== undefined && { resourceVersion: known.metadata.resourceVersion }),
    },
  };
  term.assertHeld();
  const written = await client.send<KubeObject>("PATCH", pathOf(kind, namespace, metadata.name), {
    body,
    contentType: "application/apply-patch+yaml",
    query: { fieldManager: FIELD_MANAGER, force },
  });
  caches.put(kind, written);
}

/** One that is gone already is as it should be (D1 of actions.ts). */
async function remove(
  { client, caches, term }: Scene,
  kind: Kind,
  namespace: string,
  name: string,
  uid: string | undefined,
): Promise<void> {
  term.assertHeld();
  try {
    const written = await client.send<KubeObject>("DELETE", pathOf(kind, namespace, name), {
      body: { preconditions: { uid }, propagationPolicy: "Background" },
    });
    if (written.kind === kind.kind && written.metadata.deletionTimestamp !== undefined)
      caches.put(kind, written);
  } catch (error) {
    if (!isAdtallyError(error, "NOT_FOUND")) throw error;
  }
}

async function setFinalizers(
  { client, caches, cluster, term }: Scene,
  change: (finalizers: readonly string[]) => readonly string[],
): Promise<void> {
  const { namespace, name } = cluster.metadata;
  const known = caches.clusters.objects.get(`${namespace}/${name}`);
  if (known === undefined) throw conflict(`ClickCluster ${namespace}/${name} is gone`);
  const finalizers = change(known.metadata.finalizers ?? []);
  const annotations = { [EPOCH_ANNOTATION]: String(term.epoch) };
  const { resourceVersion } = known.metadata;
  term.assertHeld();
  const written = await client.send<KubeObject>("PATCH", pathOf(clickClusters, namespace, name), {
    body: { metadata: { resourceVersion, finalizers, annotations } },
    contentType: "application/merge-patch+json",
    query: { fieldManager: FIELD_MANAGER },
  });
  // Without its last finalizer a deleted object is gone.
  if (written.metadata.deletionTimestamp === undefined) caches.put(clickClusters, written);
}

async function setStatus(
  { client, caches, cluster, term }: Scene,
  kind: Kind,
  name: string,
  status: object,
  objects: ReadonlyMap<string, KubeObject>,
): Promise<void> {
  const { namespace } = cluster.metadata;
  const known = objects.get(`${namespace}/${name}`);
  if (known === undefined) throw conflict(`${kind.kind} ${namespace}/${name} is gone`);
  term.assertHeld();
  const written = await client.send<KubeObject>("PUT", pathOf(kind, namespace, name, "status"), {
    body: { ...known, metadata: { ...known.metadata, managedFields: undefined }, status },
    query: { fieldManager: FIELD_MANAGER },
  });
  caches.put(kind, written);
}
