/**
 * The API keys of a cluster: each gateway holds them all in memory, from the log `keys`, and writes
 * to that log. Keys are few: a copy of them all is one small file, with which a gateway can start
 * while the log is gone (keys-replica.ts).
 *
 * Invariants (beside Y1, Y2 in ports/key-store.ts)
 *  Z1 `add` and `remove` resolve when this gateway has applied them; others follow within
 *     `replicaFollowIntervalMs`, and those that are cut off from the log when they are back.
 *  Z2 `onRemoved` is told of each removal, whichever gateway it came from: who remembers keys
 *     forgets them.
 *  Z3 A digest that was removed stays so, whatever comes before or behind it.
 *  Z4 A removal that `remove` resolved is in this gateway's own copy: no restart brings it back. One
 *     made elsewhere while this gateway was cut off or down is obeyed once it reads the log again.
 *  Z5 Uses are written without waiting for anybody to have read them; one that could not be written
 *     is noted again with the next.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { KeyStore } from "../ports/key-store.ts";
import type { KeyedLog } from "../ports/keyed-log.ts";
import type { LocalCopy } from "../replica/local-copy.ts";
import { startReplica, type Replica, type ReplicaDeps } from "../replica/replica.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { decodeChange, recordOf, type KeyChange } from "./key-records.ts";
import { createKeysReplica } from "./keys-replica.ts";

export interface ReplicatedKeysDeps {
  readonly log: KeyedLog;
  /** Without one the keys are read from the log's beginning at each start. */
  readonly copy?: LocalCopy;
  /** An authenticator's `forget`. */
  readonly onRemoved: (keyId: string) => void;
  readonly limits: ReplicaDeps<KeyChange>["limits"] & Pick<Limits, "catalogueDeadlineMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ReplicatedKeys extends KeyStore {
  readonly replica: Replica;
}

/** Follows the log from now on. */
export function createReplicatedKeys(deps: ReplicatedKeysDeps): ReplicatedKeys {
  const { log, copy, onRemoved, limits, clock, logger } = deps;
  const store = createKeysReplica({ copy, onRemoved, logger });
  const replica = startReplica({ name: "API keys", log, store, decode: decodeChange, limits, clock, logger });

  async function write(change: KeyChange): Promise<void> {
    try {
      const end = await log.append([recordOf(change)]);
      await replica.applied(end, limits.catalogueDeadlineMs);
    } catch (error) {
      const why = `API keys: the change may or may not be written, make it again (${messageOf(error)})`;
      throw new AdtallyError("CATALOGUE_UNAVAILABLE", why, { cause: error });
    }
  }

  return {
    replica,
    find: (digest) => store.find(digest),
    list: () => store.list(),
    add: (record) => write({ kind: "added", record }),
    async noteUses(uses) {
      const changes = store.list().flatMap(({ keyId, digest }): KeyChange[] => {
        const atMs = uses.get(keyId);
        return atMs === undefined ? [] : [{ kind: "used", digest, keyId, atMs }];
      });
      if (changes.length > 0) await log.append(changes.map(recordOf));
    },
    async remove(keyId) {
      if (store.findById(keyId) === undefined) {
        // It may have been added elsewhere just now.
        await replica.confirmed(limits.catalogueDeadlineMs).catch((error: unknown) => {
          const why = `API keys: nobody can say whether ${keyId} exists (${messageOf(error)})`;
          throw new AdtallyError("CATALOGUE_UNAVAILABLE", why, { cause: error });
        });
      }
      const record = store.findById(keyId);
      if (record === undefined) return false;
      await write({ kind: "removed", digest: record.digest, keyId });
      await store.saved().catch((error: unknown) => {
        const why = `API keys: ${keyId} is removed, but this gateway's copy on disk still has it (${messageOf(error)})`;
        throw new AdtallyError("CATALOGUE_UNAVAILABLE", why, { cause: error });
      });
      return true;
    },
  };
}
