/**
 * The end of a ClickCluster, before its chart goes: it is deleted while its operator is still there to
 * drain it, and waited for; and then of what outlives it, where that is needed no more.
 *
 *  U1 Gateways' volumes are deleted only where the operator has said that nothing waits in them
 *     (DRAINED_KEY of its state), and of the very ClickCluster that was seen to end where one was.
 *  U2 The routing table and the assignment are deleted only where it was asked for: their topics, and
 *     Redis, must go too.
 */
import { AdtallyError, isAdtallyError } from "../../actors/core/errors.ts";
import { sleep, type Clock } from "../../actors/runtime/clock.ts";
import type { ClickClusterStatus } from "../../operator/api/click-cluster-status.ts";
import type { KubeClient } from "../../operator/kube/client.ts";
import type { KubeObject } from "../../operator/kube/object.ts";
import { clickClusters, configMaps, pathOf, volumeClaims } from "../../operator/kube/resources.ts";
import { CLUSTER_LABEL, stateName } from "../../operator/render/manifest.ts";
import { readConfigMap } from "../../operator/state/config-map.ts";
import { DRAINED_KEY } from "../../operator/state/names.ts";

const LOOK_MS = 1_000;

export interface ClusterToDelete {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  readonly deadlineMs: number;
  readonly report: (line: string) => void;
}

interface Seen extends KubeObject {
  readonly status?: ClickClusterStatus;
}

/**
 * Resolves once it is gone, with the uid of what was seen to go, if anything was.
 * @throws DEADLINE_EXCEEDED, saying what it waits for
 */
export async function deleteCluster(given: ClusterToDelete): Promise<string | undefined> {
  const { client, clock, namespace, name, deadlineMs, report } = given;
  const what = `ClickCluster ${namespace}/${name}`;
  const path = pathOf(clickClusters, namespace, name);
  const untilMs = clock.monotonic() + deadlineMs;
  let said = "";
  let isDeleted = false;
  let uid: string | undefined;
  for (;;) {
    let last = "the API server does not answer";
    try {
      if (!isDeleted) await client.send("DELETE", path, { query: { propagationPolicy: "Background" } });
      isDeleted = true;
      const { metadata, status } = await client.send<Seen>("GET", path);
      const progress = status?.conditions?.find(({ type }) => type === "Progressing");
      uid = metadata.uid;
      last = `held by ${metadata.finalizers?.join(", ") ?? "nothing"}${progress === undefined ? "" : `: ${progress.message}`}`;
    } catch (error) {
      if (isAdtallyError(error, "NOT_FOUND")) {
        report(`${what}: gone`);
        return uid;
      }
      if (!isAdtallyError(error) || error.after !== "retry") throw error;
      last = error.message;
    }
    if (last !== said) report(`${what}: ${last}`);
    said = last;
    if (clock.monotonic() >= untilMs) {
      throw new AdtallyError(
        "DEADLINE_EXCEEDED",
        `${what} is still there after ${deadlineMs / 1_000} s, ${last}. Its operator must be running to drain it. ` +
          `To let it go without: kubectl -n ${namespace} patch clickcluster ${name} --type=merge -p '{"metadata":{"finalizers":null}}'`,
      );
    }
    await sleep(clock, LOOK_MS);
  }
}

export interface LeftBehind extends Pick<ClusterToDelete, "client" | "namespace" | "name"> {
  /** Of the ClickCluster that was seen to go; undefined: it was gone before. */
  readonly uid: string | undefined;
  readonly deleteState: boolean;
}

/** What became of it, for people. */
export async function deleteLeftBehind(given: LeftBehind): Promise<readonly string[]> {
  const { client, namespace, name, uid, deleteState } = given;
  const state = await readConfigMap({ client, namespace, name: stateName(name) });
  const drained = state?.data?.[DRAINED_KEY] ?? "";
  const isDrained = drained !== "" && (uid === undefined || drained === uid);
  const query = { labelSelector: `${CLUSTER_LABEL}=${name}` };
  const claims = await client.send<{ readonly items: readonly KubeObject[] }>(
    "GET",
    pathOf(volumeClaims, namespace),
    { query },
  );
  const said: string[] = [];
  for (const { metadata } of claims.items) {
    const what = `PersistentVolumeClaim ${namespace}/${metadata.name}`;
    if (!isDrained)
      said.push(`${what}: stays, as ${name} ended without having drained: clicks may wait there`);
    else
      said.push(await deleteOne(given, pathOf(volumeClaims, namespace, metadata.name), metadata.uid, what));
  }
  if (state === undefined) return said;
  const what = `ConfigMap ${namespace}/${state.metadata.name}`;
  // Last: a second attempt reads from it what the first one did.
  if (deleteState && (isDrained || claims.items.length === 0))
    said.push(
      await deleteOne(given, pathOf(configMaps, namespace, state.metadata.name), state.metadata.uid, what),
    );
  else said.push(`${what}: stays: a ClickCluster ${name} over the same topics goes on from it`);
  return said;
}

async function deleteOne(
  { client }: LeftBehind,
  path: string,
  uid: string | undefined,
  what: string,
): Promise<string> {
  try {
    await client.send("DELETE", path, { body: { preconditions: { uid } } });
  } catch (error) {
    if (!isAdtallyError(error, "NOT_FOUND")) throw error;
  }
  return `${what}: deleted`;
}
