/**
 * The API keys of a program, in memory, with a copy of them all in one small file. Fed by
 * replica.ts; replicated.ts looks keys up in it.
 *
 *  C1 A copy is whole in itself: keys, removals, and the offset that they come to, in one text. One
 *     that is older than memory costs the reading of what lies between.
 *  C2 A copy that cannot be understood is set aside by name, and the log is read from its beginning.
 */
import { messageOf } from "../core/errors.ts";
import type { KeyRecord } from "../ports/key-store.ts";
import type { LocalCopy } from "../replica/local-copy.ts";
import type { ReplicaStore } from "../replica/replica.ts";
import type { Logger } from "../runtime/log.ts";
import { decodeChange, recordOf, type KeyChange } from "./key-records.ts";

export interface KeysReplica extends ReplicaStore<KeyChange> {
  find(digest: Buffer): KeyRecord | undefined;
  findById(keyId: string): KeyRecord | undefined;
  list(): readonly KeyRecord[];
  /** Resolves when all that is applied is in the copy. Rejects where the disk did not take it. */
  saved(): Promise<void>;
}

export interface KeysReplicaDeps {
  readonly copy: LocalCopy | undefined;
  readonly onRemoved: (keyId: string) => void;
  readonly logger: Logger;
}

interface Held {
  readonly known: Map<string, KeyRecord>;
  /** Digest to the id that it had. */
  readonly removed: Map<string, string>;
  progress: number;
  origin: Buffer | undefined;
  isWhole: boolean;
}

const textOf = (digest: Buffer) => digest.toString("latin1");
const nothing = (): Held => ({
  known: new Map(),
  removed: new Map(),
  progress: 0,
  origin: undefined,
  isWhole: false,
});

export function createKeysReplica({ copy, onRemoved, logger }: KeysReplicaDeps): KeysReplica {
  let held = nothing();
  let saving: Promise<void> = Promise.resolve();

  function change(to: Held, each: KeyChange): void {
    const text = textOf(each.kind === "added" ? each.record.digest : each.digest);
    if (each.kind === "removed") {
      to.removed.set(text, each.keyId);
      to.known.delete(text);
      return;
    }
    if (to.removed.has(text)) return;
    const known = to.known.get(text);
    const record = each.kind === "added" ? each.record : known;
    if (record === undefined) return;
    const lastUsedAtMs = laterOf(known?.lastUsedAtMs, each.kind === "used" ? each.atMs : record.lastUsedAtMs);
    to.known.set(text, lastUsedAtMs === record.lastUsedAtMs ? record : { ...record, lastUsedAtMs });
  }

  function save(): void {
    if (copy === undefined) return;
    saving = copy.save(encode(held));
    saving.catch((error: unknown) => {
      logger.error({ error: messageOf(error) }, "the copy of the API keys could not be written");
    });
  }

  if (copy?.text !== undefined) {
    const found = decode(copy.text);
    if (typeof found === "string") void copy.setAside(found);
    else {
      held = { ...nothing(), ...found };
      for (const each of found.changes) change(held, each);
    }
  }

  return {
    find: (digest) => held.known.get(textOf(digest)),
    findById: (keyId) => [...held.known.values()].find((record) => record.keyId === keyId),
    list: () => [...held.known.values()],
    saved: () => saving,
    progress: () => held.progress,
    origin: () => held.origin,
    apply(changes, progress, origin) {
      for (const each of changes) {
        change(held, each);
        if (each.kind === "removed") onRemoved(each.keyId);
      }
      held.progress = progress;
      held.origin = origin ?? held.origin;
      save();
    },
    isWhole: () => held.isWhole,
    markWhole() {
      held.isWhole = true;
      save();
    },
    damage: () => undefined,
    async discard(why) {
      for (const { keyId } of held.known.values()) onRemoved(keyId);
      held = nothing();
      await copy?.setAside(why);
    },
  };
}

function laterOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b > a) ? b : a;
}

function encode({ known, removed, progress, origin, isWhole }: Held): string {
  const changes: KeyChange[] = [
    ...[...known.values()].map((record) => ({ kind: "added", record }) as const),
    ...[...removed].map(
      ([text, keyId]) => ({ kind: "removed", digest: Buffer.from(text, "latin1"), keyId }) as const,
    ),
  ];
  return JSON.stringify({
    progress,
    origin: origin?.toString("base64") ?? null,
    is_whole: isWhole,
    changes: changes.map((each) => recordOf(each).value.toString("base64")),
  });
}

/** In words why there is nothing to be had of it. */
function decode(text: string): (Omit<Held, "known" | "removed"> & { changes: KeyChange[] }) | string {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = { ...(JSON.parse(text) as object) };
  } catch (error) {
    return `it is not JSON (${messageOf(error)})`;
  }
  const { progress, origin, is_whole: isWhole, changes: listed } = fields;
  if (!Number.isSafeInteger(progress) || !Array.isArray(listed))
    return "it has no offset, or no list of keys";
  const changes: KeyChange[] = [];
  for (const each of listed) {
    const change = decodeChange(Buffer.from(String(each), "base64"));
    if (typeof change === "string") return `one of its keys: ${change}`;
    changes.push(change);
  }
  return {
    progress: progress as number,
    origin: typeof origin === "string" ? Buffer.from(origin, "base64") : undefined,
    isWhole: isWhole === true,
    changes,
  };
}
