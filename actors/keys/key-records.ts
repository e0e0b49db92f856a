/**
 * Changes of the API keys as records of the log `keys`.
 *
 * Records: the value (sealed JSON) says what a digest permits, or that it is removed, or when it was
 * last used; the key is which of the three, and the digest. So a removal stays for ever beside what it
 * removes, whatever compaction takes: a tombstone has a life, after which a repeated record would
 * bring the key back. Of uses compaction keeps the last.
 */
import { messageOf } from "../core/errors.ts";
import type { KeyRecord } from "../ports/key-store.ts";
import type { KeyedRecord } from "../ports/keyed-log.ts";
import { seal, unseal } from "../replica/seal.ts";
import { keyFromJson, keyToJson } from "./stored-key.ts";

const VERSION = 1;

export type KeyChange =
  | { readonly kind: "added"; readonly record: KeyRecord }
  | { readonly kind: "removed"; readonly digest: Buffer; readonly keyId: string }
  | { readonly kind: "used"; readonly digest: Buffer; readonly keyId: string; readonly atMs: number };

const LETTERS = { added: "a", removed: "r", used: "u" } as const;

/** A change as a record of the log. */
export function recordOf(change: KeyChange): KeyedRecord {
  const { kind } = change;
  const digest = kind === "added" ? change.record.digest : change.digest;
  const named =
    kind === "added"
      ? keyToJson(change.record)
      : { keyId: change.keyId, ...(kind === "used" && { atMs: change.atMs }) };
  const fields = { ...named, kind, digest: digest.toString("hex") };
  const key = Buffer.concat([Buffer.from(LETTERS[kind]), digest]);
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
  const { kind, digest: hex, keyId, atMs } = fields;
  if (typeof hex !== "string" || !/^[0-9a-f]{64}$/.test(hex)) return "it has no SHA-256 digest";
  if (typeof keyId !== "string") return "it has no key id";
  const digest = Buffer.from(hex, "hex");
  if (kind === "removed") return { kind, digest, keyId };
  if (kind === "used") {
    return typeof atMs === "number" ? { kind, digest, keyId, atMs } : "its time is missing";
  }
  if (kind !== "added") return `it is of the unknown kind ${JSON.stringify(kind)}`;
  const record = keyFromJson(digest, fields);
  return typeof record === "string" ? record : { kind, record };
}
