/**
 * The end of a ClickCluster, before its chart goes: it is deleted while its operator is still there to
 * drain it, and waited for.
 */
import { AdtallyError, isAdtallyError } from "../../actors/core/errors.ts";
import { sleep, type Clock } from "../../actors/runtime/clock.ts";
import type { ClickClusterStatus } from "../../operator/api/click-cluster-status.ts";
import type { KubeClient } from "../../operator/kube/client.ts";
import type { KubeObject } from "../../operator/kube/object.ts";
import { clickClusters, pathOf } from "../../operator/kube/resources.ts";

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

/** Resolves once it is gone. @throws DEADLINE_EXCEEDED, saying what it waits for */
export async function deleteCluster(given: ClusterToDelete): Promise<void> {
  const { client, clock, namespace, name, deadlineMs, report } = given;
  const what = `ClickCluster ${namespace}/${name}`;
  const path = pathOf(clickClusters, namespace, name);
  const untilMs = clock.monotonic() + deadlineMs;
  let said = "";
  let isDeleted = false;
  for (;;) {
    let last = "the API server does not answer";
    try {
      if (!isDeleted) await client.send("DELETE", path, { query: { propagationPolicy: "Background" } });
      isDeleted = true;
      const { metadata, status } = await client.send<Seen>("GET", path);
      const progress = status?.conditions?.find(({ type }) => type === "Progressing");
      last = `held by ${metadata.finalizers?.join(", ") ?? "nothing"}${progress === undefined ? "" : `: ${progress.message}`}`;
    } catch (error) {
      if (isAdtallyError(error, "NOT_FOUND")) return report(`${what}: gone`);
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
