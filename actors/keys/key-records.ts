/**
 * Changes of the API keys as records of the log `keys`.
 *
 * Records: the value (sealed JSON) says what a digest permits, or that it is removed; the key is
 * which of the two, and the digest. So a removal stays for ever beside what it removes, whatever
 * compaction takes: a tombstone has a life, after which a repeated record would bring the key back.
 */
import { messageOf } from "../core/errors.ts";
import { SCOPES, type KeyRecord, type Scope } from "../ports/key-store.ts";
import type { KeyedRecord } from "../ports/keyed-log.ts";
import { seal, unseal } from "../replica/seal.ts";

const VERSION = 1;

export type KeyChange =
  | { readonly kind: "added"; readonly record: KeyRecord }
  | { readonly kind: "removed"; readonly digest: Buffer; readonly keyId: string };

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
