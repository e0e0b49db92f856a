/** A key's record as JSON: the one form in which stores and the log `keys` write it. */
import { parseU64 } from "../core/ids.ts";
import { SCOPES, type Advertisers, type KeyRecord, type Scope } from "../ports/key-store.ts";

/** All but the digest, which is the record's key wherever it is stored. */
export function keyToJson({
  keyId,
  name,
  scopes,
  advertisers,
  createdAtMs,
  expiresAtMs,
  lastUsedAtMs,
}: KeyRecord): object {
  return {
    keyId,
    name,
    scopes,
    advertisers: advertisers === "all" ? "all" : [...advertisers].map(String),
    createdAtMs,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(lastUsedAtMs !== undefined && { lastUsedAtMs }),
  };
}

/** In words why it is none. What is not understood permits nothing: it is no key. */
export function keyFromJson(digest: Buffer, fields: Readonly<Record<string, unknown>>): KeyRecord | string {
  const { keyId, name, scopes, createdAtMs, expiresAtMs, lastUsedAtMs } = fields;
  if (typeof keyId !== "string") return "it has no key id";
  if (typeof name !== "string" || typeof createdAtMs !== "number") return "its name or time is missing";
  if (!isTimeOrNone(expiresAtMs) || !isTimeOrNone(lastUsedAtMs)) return "its times are no numbers";
  if (!Array.isArray(scopes)) return "its scopes are unknown";
  // Until 0.1 `read` was called `report`, and was of all advertisers.
  const named: readonly unknown[] = scopes.map((scope: unknown) => (scope === "report" ? "read" : scope));
  if (!named.every(isScope)) return "its scopes are unknown";
  const advertisers = readAdvertisers(fields["advertisers"] ?? "all");
  if (advertisers === undefined) return "its advertisers are unknown";
  return { keyId, name, scopes: named, advertisers, digest, createdAtMs, expiresAtMs, lastUsedAtMs };
}

/** Undefined where it is neither "all" nor a list of ids. */
export function readAdvertisers(value: unknown): Advertisers | undefined {
  if (value === "all") return "all";
  if (!Array.isArray(value)) return undefined;
  const ids = value.map((id: unknown) => (typeof id === "string" ? parseU64(id) : undefined));
  return ids.every((id) => id !== undefined) ? new Set(ids) : undefined;
}

function isTimeOrNone(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === "number" && Number.isFinite(value));
}

function isScope(value: unknown): value is Scope {
  return SCOPES.includes(value as Scope);
}
