/**
 * From the bearer text of a request to the principal it stands for. Stands on the way of every
 * API call, HTTP and gRPC: a hit costs one SHA-256 and one look into a bounded memory.
 *
 * Invariants
 *  H1 What is compared and looked up is the digest, which a caller cannot steer: how long a
 *     look-up takes says nothing about a key. The found digest is compared in constant time.
 *  H2 Memory is bounded, whatever callers send: only recognised keys are remembered.
 *  H3 A removed key is refused from the moment that `forget` was called, one that has expired from
 *     its moment on, remembered or not.
 */
import { timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Advertisers, KeyRecord, KeyStore, Principal, Scope } from "../ports/key-store.ts";
import type { Clock } from "../runtime/clock.ts";
import { digestOf, isKeyText, keyRecord } from "./api-key.ts";

export type Authenticate = (bearer: string | undefined) => Principal | undefined;

export interface Authenticator {
  readonly authenticate: Authenticate;
  /** Whom a key id stands for now: undefined once the key is revoked or expired. */
  principalOf(keyId: string): Principal | undefined;
  /** Call after removing a key from the store. */
  forget(keyId: string): void;
}

/** A key that the operator gives at start (`--admin-key`): valid for this run, never stored (B1 of api-key.ts). */
export interface GivenKey {
  readonly key: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** All by default. */
  readonly advertisers?: Advertisers;
}

export interface AuthenticatorDeps {
  readonly store: KeyStore;
  readonly givenKeys?: readonly GivenKey[];
  readonly clock: Pick<Clock, "now">;
  /** Told of each use; must cost next to nothing. */
  readonly used?: (keyId: string, nowMs: number) => void;
}

const REMEMBERED_KEYS = 4_096;

export function createAuthenticator({ store, clock, used, ...deps }: AuthenticatorDeps): Authenticator {
  const given = new Map(
    (deps.givenKeys ?? []).map(({ key, name, scopes, advertisers = "all" }) => {
      const record = keyRecord(key, name, scopes, 0, { advertisers });
      return [record.digest.toString("latin1"), record] as const;
    }),
  );
  const remembered = new LRUCache<string, KeyRecord>({ max: REMEMBERED_KEYS });

  const isLive = ({ expiresAtMs }: KeyRecord, nowMs: number) =>
    expiresAtMs === undefined || nowMs < expiresAtMs;

  return {
    authenticate: (bearer) => {
      if (bearer === undefined || !isKeyText(bearer)) return undefined;
      const digest = digestOf(bearer);
      const text = digest.toString("latin1");
      let record = given.get(text) ?? remembered.get(text);
      if (record === undefined) {
        record = store.find(digest);
        if (record === undefined) return undefined;
        remembered.set(text, record);
      }
      if (!timingSafeEqual(record.digest, digest)) return undefined;
      const nowMs = clock.now();
      if (!isLive(record, nowMs)) return undefined;
      used?.(record.keyId, nowMs);
      return record;
    },
    principalOf: (keyId) => {
      const record = [...given.values(), ...store.list()].find((each) => each.keyId === keyId);
      return record !== undefined && isLive(record, clock.now()) ? record : undefined;
    },
    forget: (keyId) => {
      for (const [text, record] of remembered.entries()) {
        if (record.keyId === keyId) remembered.delete(text);
      }
    },
  };
}

/** The key in an Authorization header (or gRPC metadata), or undefined. */
export function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > 512) return undefined;
  return /^bearer +([\u0021-\u007e]+) *$/i.exec(authorization)?.[1];
}
