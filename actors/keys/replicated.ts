/**
 * The API keys of a cluster: each gateway holds them all in memory, from the log `keys`, and writes
 * to that log. Keys are few, and a gateway that starts reads the whole log before it is ready, so
 * nothing of them is kept on its disk.
 *
 * Records: the value (sealed JSON) says what a digest permits, or that it is removed; the key is
 * which of the two, and the digest. So a removal stays for ever beside what it removes, whatever
 * compaction takes: a tombstone has a life, after which a repeated record would bring the key back.
 *
 * Invariants (beside Y1, Y2 in ports/key-store.ts)
 *  Z1 `add` and `remove` resolve when this gateway has applied them; others follow within
 *     `replicaFollowIntervalMs`, and those that are cut off from the log when they are back.
 *  Z2 `onRemoved` is told of each removal, whichever gateway it came from: who remembers keys
 *     forgets them.
 *  Z3 A digest that was removed stays so, whatever comes before or behind it.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import { SCOPES, type KeyRecord, type KeyStore, type Scope } from "../ports/key-store.ts";
import type { KeyedLog, KeyedRecord } from "../ports/keyed-log.ts";
import { startReplica, type Replica, type ReplicaDeps, type ReplicaStore } from "../replica/replica.ts";
import { seal, unseal } from "../replica/seal.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";

const VERSION = 1;

export type KeyChange =
  | { readonly kind: "added"; readonly record: KeyRecord }
  | { readonly kind: "removed"; readonly digest: Buffer; readonly keyId: string };

export interface ReplicatedKeysDeps {
  readonly log: KeyedLog;
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
  const { log, onRemoved, limits, clock, logger } = deps;
  const known = new Map<string, KeyRecord>();
  const removed = new Set<string>();
  let progress = 0;
  const textOf = (digest: Buffer) => digest.toString("latin1");
  const findById = (keyId: string) => [...known.values()].find((record) => record.keyId === keyId);

  const store: ReplicaStore<KeyChange> = {
    progress: () => progress,
    origin: () => undefined,
    apply: (changes, next) => {
      for (const change of changes) {
        if (change.kind === "removed") {
          removed.add(textOf(change.digest));
          known.delete(textOf(change.digest));
          onRemoved(change.keyId);
        } else if (!removed.has(textOf(change.record.digest))) {
          known.set(textOf(change.record.digest), change.record);
        }
      }
      progress = next;
    },
  };
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
    find: (digest) => known.get(textOf(digest)),
    list: () => [...known.values()],
    add: (record) => write({ kind: "added", record }),
    async remove(keyId) {
      if (findById(keyId) === undefined) {
        // It may have been added elsewhere just now.
        await replica.confirmed(limits.catalogueDeadlineMs).catch((error: unknown) => {
          const why = `API keys: nobody can say whether ${keyId} exists (${messageOf(error)})`;
          throw new AdtallyError("CATALOGUE_UNAVAILABLE", why, { cause: error });
        });
      }
      const record = findById(keyId);
      if (record === undefined) return false;
      await write({ kind: "removed", digest: record.digest, keyId });
      return true;
    },
  };
}

/** A change as a record of the log. */
export function recordOf(change: KeyChange): KeyedRecord {
  const digest = change.kind === "added" ? change.record.digest : change.digest;
  const key = Buffer.concat([Buffer.from(change.kind === "added" ? "a" : "r"), digest]);
  const named = change.kind === "added" ? change.record : { keyId: change.keyId };
  const fields = { ...named, kind: change.kind, digest: digest.toString("hex") };
  return { key, value: seal(VERSION, Buffer.from(JSON.stringify(fields))) };
}

/** The change of a record's value, or in words why it is none. */
export function decodeChange(value: Buffer): KeyChange | string {
  const content = unseal(VERSION, value);
  if (typeof content === "string") return content;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = { ...(JSON.parse(content.toString()) as object) };
  } catch (error) {
    return `it is not JSON (${messageOf(error)})`;
  }
  const { kind, digest: hex, keyId, name, scopes, createdAtMs } = fields;
  if (typeof hex !== "string" || !/^[0-9a-f]{64}$/.test(hex)) return "it has no SHA-256 digest";
  if (typeof keyId !== "string") return "it has no key id";
  const digest = Buffer.from(hex, "hex");
  if (kind === "removed") return { kind, digest, keyId };
  if (kind !== "added") return `it is of the unknown kind ${JSON.stringify(kind)}`;
  if (typeof name !== "string" || typeof createdAtMs !== "number") return "its name or time is missing";
  if (!Array.isArray(scopes) || !scopes.every(isScope)) return "its scopes are unknown";
  return { kind, record: { keyId, name, scopes, digest, createdAtMs } };
}

function isScope(value: unknown): value is Scope {
  return SCOPES.includes(value as Scope);
}
