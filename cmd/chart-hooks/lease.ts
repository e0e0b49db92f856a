/**
 * The operator's Lease, after its chart has gone: no template made it, and nothing owns it.
 *
 *  F1 A Lease that somebody holds stays: the operator of another release may lead by it. One that was
 *     let go, or not renewed for as long as it says, by our own clock, is nobody's.
 */
import { isAdtallyError } from "../../actors/core/errors.ts";
import { sleep, type Clock } from "../../actors/runtime/clock.ts";
import type { KubeClient } from "../../operator/kube/client.ts";
import { leases, pathOf } from "../../operator/kube/resources.ts";
import type { Lease } from "../../operator/lead/lease.ts";

const LOOK_MS = 1_000;

export interface LeaseToForget {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  /** How long it is waited for: pods of the operator may be ending. */
  readonly deadlineMs: number;
}

/** What became of it, for people. */
export async function forgetLease(given: LeaseToForget): Promise<string> {
  const { client, clock, namespace, name, deadlineMs } = given;
  const what = `Lease ${namespace}/${name}`;
  const path = pathOf(leases, namespace, name);
  const untilMs = clock.monotonic() + deadlineMs;
  let seen = { version: "", atMs: 0 };
  for (;;) {
    let holder = "";
    try {
      const { metadata, spec = {} } = await client.send<Lease>("GET", path);
      const { resourceVersion = "", uid } = metadata;
      holder = spec.holderIdentity ?? "";
      if (resourceVersion !== seen.version) seen = { version: resourceVersion, atMs: clock.monotonic() };
      const silentMs = clock.monotonic() - seen.atMs;
      if (holder === "" || silentMs >= (spec.leaseDurationSeconds ?? 0) * 1_000) {
        await client.send("DELETE", path, { body: { preconditions: { uid, resourceVersion } } });
        return `${what}: deleted`;
      }
    } catch (error) {
      if (isAdtallyError(error, "NOT_FOUND")) return `${what}: is not there`;
      const isPassing = isAdtallyError(error) && error.after === "retry";
      if (!isPassing && !isAdtallyError(error, "KUBERNETES_CONFLICT")) throw error;
    }
    if (clock.monotonic() >= untilMs) return `${what}: stays, ${holder || "somebody"} holds it`;
    await sleep(clock, LOOK_MS);
  }
}
