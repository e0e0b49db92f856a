/**
 * Who leads, by a Lease object, as client-go's leader election has it: pure decisions, which
 * elector.ts carries out.
 *
 *  L1 A Lease that another holds is taken over only when it was not renewed for as long as it says, by
 *     our own clock, counted from when we saw it change: no two clocks are compared.
 *  L2 Each taking over counts one up (`leaseTransitions`): that is the epoch of the new leader, higher
 *     than every one before. A Lease that was deleted begins above what it had: at the minutes since
 *     1970.
 */
import type { Metadata } from "../kube/object.ts";

export interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface Lease {
  readonly apiVersion: "coordination.k8s.io/v1";
  readonly kind: "Lease";
  readonly metadata: Metadata;
  readonly spec?: LeaseSpec;
}

export interface LeaseTimes {
  /** After so long without a renewal others may take it. */
  readonly durationMs: number;
  /** A leader that has not renewed it for so long leads no more. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

/** client-go's proportions: 15 s, 10 s, 2 s. */
export const leaseTimes = (durationMs: number): LeaseTimes => ({
  durationMs,
  renewDeadlineMs: (durationMs * 10) / 15,
  retryMs: (durationMs * 2) / 15,
});

/** A Lease as we first saw it so. */
export interface Sighting {
  readonly spec: LeaseSpec;
  readonly atMs: number;
}

/** What is to be written to have the Lease, or to keep it; undefined: it is another's. */
export function claim(
  { spec, atMs: seenAtMs }: Sighting,
  identity: string,
  times: LeaseTimes,
  at: { readonly monotonicMs: number; readonly nowMs: number },
): LeaseSpec | undefined {
  const { holderIdentity = "", leaseTransitions = 0, leaseDurationSeconds } = spec;
  const renewTime = microTime(at.nowMs);
  const durationS = Math.max(1, Math.ceil(times.durationMs / 1_000));
  if (holderIdentity === identity) return { ...spec, renewTime, leaseDurationSeconds: durationS };
  const heldForMs =
    leaseDurationSeconds === undefined
      ? times.durationMs
      : Math.max(leaseDurationSeconds * 1_000, times.durationMs);
  if (holderIdentity !== "" && at.monotonicMs - seenAtMs < heldForMs) return undefined;
  return {
    holderIdentity: identity,
    leaseDurationSeconds: durationS,
    acquireTime: renewTime,
    renewTime,
    leaseTransitions: leaseTransitions + 1,
  };
}

/** L2 */
export function firstClaim(identity: string, times: LeaseTimes, nowMs: number): LeaseSpec {
  const renewTime = microTime(nowMs);
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.max(1, Math.ceil(times.durationMs / 1_000)),
    acquireTime: renewTime,
    renewTime,
    leaseTransitions: Math.floor(nowMs / 60_000),
  };
}

/** Given back at a stop: the next one need not wait. */
export const released = (spec: LeaseSpec, nowMs: number): LeaseSpec => ({
  ...spec,
  holderIdentity: "",
  leaseDurationSeconds: 1,
  renewTime: microTime(nowMs),
});

/** metav1.MicroTime */
const microTime = (ms: number): string => new Date(ms).toISOString().replace("Z", "000Z");
