/**
 * API keys: what a caller presents as `Authorization: Bearer KEY`, and what that key permits.
 *
 * Invariants
 *  B1 A generated key is 192 random bits, so its plain SHA-256 gives nothing away and can be
 *     looked up; it is the only form in which a key is stored. A slow hash (scrypt) would guard
 *     weak keys, at 50 ms for each attempt that anyone makes: a key that a person chose is
 *     therefore never stored at all, but held in memory for the run (authenticate.ts).
 *  B2 `admin` permits everything; no other scope implies another.
 *  B3 What a key may see of advertisers is asked of `advertisersOf` alone: an admin's key sees all,
 *     a key that names some sees those and no other, whatever else it may do.
 */
import { hash } from "node:crypto";
import type { Advertisers, KeyRecord, Principal, Scope } from "../ports/key-store.ts";
import type { RandomBytes } from "../runtime/clock.ts";

const RANDOM_BYTES = 24;
const KEY_ID_BYTES = 6;

/** A new key's text; shown once, to the one who asked for it. */
export function generateKey(random: RandomBytes): string {
  return `adk_${random(RANDOM_BYTES).toString("base64url")}`;
}

export function digestOf(key: string): Buffer {
  return hash("sha256", key, "buffer");
}

/** What its maker says of a key. */
export interface KeyTerms {
  /** All by default. */
  readonly advertisers?: Advertisers;
  readonly expiresAtMs?: number | undefined;
}

export function keyRecord(
  key: string,
  name: string,
  scopes: readonly Scope[],
  createdAtMs: number,
  { advertisers = "all", expiresAtMs }: KeyTerms = {},
): KeyRecord {
  const digest = digestOf(key);
  const keyId = digest.toString("hex", 0, KEY_ID_BYTES);
  return { keyId, name, scopes, advertisers, digest, createdAtMs, expiresAtMs, lastUsedAtMs: undefined };
}

export function permits(principal: Principal, scope: Scope): boolean {
  return principal.scopes.includes("admin") || principal.scopes.includes(scope);
}

export function advertisersOf(principal: Principal): Advertisers {
  return principal.scopes.includes("admin") ? "all" : principal.advertisers;
}

/** Whether what is of `advertiserId` exists for this caller. */
export function sees(principal: Principal, advertiserId: bigint): boolean {
  const advertisers = advertisersOf(principal);
  return advertisers === "all" || advertisers.has(advertiserId);
}

/** Printable ASCII without spaces, as a header carries it. */
export function isKeyText(text: string): boolean {
  return /^[\u0021-\u007e]{1,256}$/.test(text);
}

/** As `keyRecord` names keys. */
export function isKeyId(text: string): boolean {
  return /^[0-9a-f]{12}$/.test(text);
}
