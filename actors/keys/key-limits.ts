/** How often a key may call: a seam, as the counting is a library's (adapters/rate-limit). */
import type { Scope } from "../ports/key-store.ts";

export interface KeyLimits {
  /**
   * Takes one call of this key's allowance for such calls: an SDK's do not use up a dashboard's.
   * @throws RATE_LIMITED with when to come back
   */
  take(keyId: string, scope: Scope): Promise<void>;
}

/** For tests of what else is refused. */
export const unlimited: KeyLimits = { take: () => Promise.resolve() };
