/**
 * Leader election over a Lease (lease.ts): asks for it, keeps it, gives it back.
 *
 *  E1 Whoever acts asks `assertHeld` before each write: it is refused when the Lease was not renewed
 *     for the renew deadline, counted from before the renewal was sent. Another can have it only when
 *     the whole duration is over: a write that was begun in time and takes no longer than the margin
 *     between the two ends before that.
 *  E2 A leader that was held up for longer (a stopped process, a frozen machine) finds its Lease
 *     another's at its next renewal, or refused by its version, and leads no more. What it wrote
 *     meanwhile carries its epoch, and is refused by it.
 *  E3 A Lease that is lost can be had again, with a new epoch.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { createBackoff } from "../kube/backoff.ts";
import type { KubeClient } from "../kube/client.ts";
import { leases, pathOf } from "../kube/resources.ts";
import { claim, firstClaim, released, type Lease, type LeaseTimes, type Sighting } from "./lease.ts";

export interface Leadership {
  /** Of the term that holds now; undefined: another leads, or nobody is known to. */
  readonly epoch: number | undefined;
  /** E1. @throws NOT_LEADER */
  assertHeld(epoch: number): void;
}

export interface Elector extends Leadership {
  /** Resolves when the Lease is given back. */
  close(): Promise<void>;
}

export interface ElectorDeps {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Of this very process, among all that ever were. */
  readonly identity: string;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  onChange(epoch: number | undefined): void;
}

export function startElector(deps: ElectorDeps): Elector {
  const { client, namespace, name, identity, times, clock, logger, onChange } = deps;
  const path = pathOf(leases, namespace, name);
  const ending = new AbortController();
  const pauses = createBackoff({ ...deps, minMs: times.retryMs * 1.2, maxMs: times.retryMs * 1.2 });
  let seen: Sighting | undefined;
  let lease: Lease | undefined;
  let epoch: number | undefined;
  let renewedAtMs = -Infinity;

  function lead(next: number | undefined): void {
    if (next === epoch) return;
    epoch = next;
    logger.info({ epoch: next ?? null, lease: `${namespace}/${name}` }, next ? "leading" : "leading no more");
    onChange(next);
  }

  /** As it stands, seen first now or before (L1 of lease.ts). */
  function see(found: Lease): Sighting {
    const spec = found.spec ?? {};
    const isSame = lease?.metadata.resourceVersion === found.metadata.resourceVersion;
    if (!isSame || seen === undefined) seen = { spec, atMs: clock.monotonic() };
    lease = found;
    return seen;
  }

  async function attempt(deadlineMs: number): Promise<void> {
    const beganAtMs = clock.monotonic();
    const found = await client.send<Lease>("GET", path, { deadlineMs }).catch((error: unknown) => {
      if (isAdtallyError(error, "NOT_FOUND")) return undefined;
      throw error;
    });
    const nowMs = clock.now();
    let kept: Lease;
    if (found === undefined) {
      const spec = firstClaim(identity, times, nowMs);
      const body: Lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace },
        spec,
      };
      kept = await client.send<Lease>("POST", pathOf(leases, namespace), { body, deadlineMs });
    } else {
      const spec = claim(see(found), identity, times, { monotonicMs: clock.monotonic(), nowMs });
      if (spec === undefined) return lead(undefined);
      kept = await client.send<Lease>("PUT", path, { body: { ...found, spec }, deadlineMs });
    }
    see(kept);
    renewedAtMs = beganAtMs;
    lead(kept.spec?.leaseTransitions ?? 0);
  }

  async function run(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        // As long as the Lease may still be ours, an attempt may take what is left of it.
        await attempt(times.retryMs * 2);
      } catch (error) {
        const what = { error: messageOf(error), lease: `${namespace}/${name}` };
        if (epoch !== undefined) logger.warn(what, "the lease could not be renewed");
        else logger.debug(what, "the lease could not be had");
      }
      if (epoch !== undefined && clock.monotonic() - renewedAtMs >= times.renewDeadlineMs) lead(undefined);
      await pauses.pause(ending.signal);
      pauses.reset();
    }
  }
  const running = run();

  return {
    get epoch() {
      return epoch !== undefined && clock.monotonic() - renewedAtMs < times.renewDeadlineMs
        ? epoch
        : undefined;
    },
    assertHeld(of) {
      if (epoch === of && clock.monotonic() - renewedAtMs < times.renewDeadlineMs) return;
      throw new AdtallyError("NOT_LEADER", `the lease ${namespace}/${name} is held no more by epoch ${of}`);
    },
    async close() {
      ending.abort();
      await running;
      const held = lease;
      if (epoch === undefined || held === undefined) return;
      lead(undefined);
      try {
        await client.send("PUT", path, { body: { ...held, spec: released(held.spec ?? {}, clock.now()) } });
      } catch (error) {
        logger.debug({ error: messageOf(error) }, "the lease could not be given back: it runs out");
      }
    },
  };
}
