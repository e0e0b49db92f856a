/**
 * When each key was last presented, about: kept in memory, and written to the store at most once
 * per `keyUseIntervalMs` for each key.
 *
 *  U1 Noting a use is one look into a map: nothing is written, nothing waits, on the way of a call.
 *  U2 What could not be written stands in memory and goes with the next; memory is bounded by the
 *     keys that exist, as only recognised ones are noted.
 */
import { messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { KeyStore } from "../ports/key-store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";

export interface KeyUsesDeps {
  readonly store: Pick<KeyStore, "noteUses">;
  readonly limits: Pick<Limits, "keyUseIntervalMs">;
  readonly clock: Pick<Clock, "every">;
  readonly logger: Logger;
}

export interface KeyUses {
  used(keyId: string, nowMs: number): void;
  /** Writes what is noted. */
  flush(): Promise<void>;
  /** Writes what is noted, and no more from then on. */
  stop(): Promise<void>;
}

export function startKeyUses({ store, limits, clock, logger }: KeyUsesDeps): KeyUses {
  let noted = new Map<string, number>();

  async function flush(): Promise<void> {
    if (noted.size === 0) return;
    const uses = noted;
    noted = new Map();
    try {
      await store.noteUses(uses);
    } catch (error) {
      noted = new Map([...uses, ...noted]);
      logger.warn({ error: messageOf(error) }, "when keys were last used is not written; tried again later");
    }
  }

  const timer = clock.every(limits.keyUseIntervalMs, () => void flush());
  return {
    used: (keyId, nowMs) => void noted.set(keyId, nowMs),
    flush,
    stop: async () => {
      timer.cancel();
      await flush();
    },
  };
}
