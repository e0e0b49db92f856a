/**
 * KeyLimits in memory: a fixed window for each key and kind of call. Each program counts for itself,
 * so that a key has its allowance at each of them: what is guarded is the program, not a tariff.
 *
 *  V1 Only recognised keys are counted: memory is bounded by the keys there are, and browsers'
 *     clicks, which have none, are never limited here.
 */
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { AdtallyError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { KeyLimits } from "../../keys/key-limits.ts";
import type { Scope } from "../../ports/key-store.ts";

export type KeyLimitsLimits = Pick<
  Limits,
  | "keyWindowMs"
  | "keyAdminCallsPerWindow"
  | "keyPlacementCallsPerWindow"
  | "keySubmitCallsPerWindow"
  | "keyReadCallsPerWindow"
>;

export function createKeyLimits(limits: KeyLimitsLimits): KeyLimits {
  const durationS = limits.keyWindowMs / 1_000;
  const of = (points: number) => new RateLimiterMemory({ points, duration: durationS });
  const windows: Readonly<Record<Scope, RateLimiterMemory>> = {
    admin: of(limits.keyAdminCallsPerWindow),
    placement: of(limits.keyPlacementCallsPerWindow),
    submit: of(limits.keySubmitCallsPerWindow),
    read: of(limits.keyReadCallsPerWindow),
  };

  return {
    async take(keyId, scope) {
      try {
        await windows[scope].consume(keyId);
      } catch (error) {
        if (!(error instanceof RateLimiterRes)) throw error;
        const { points } = windows[scope];
        throw new AdtallyError(
          "RATE_LIMITED",
          `this key has made its ${points} calls of scope "${scope}" in ${durationS} s; make fewer at a time`,
          { retryAfterMs: Math.max(1, error.msBeforeNext) },
        );
      }
    },
  };
}
