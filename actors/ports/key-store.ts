/**
 * KeyStore: the API keys that may call, by their digests; a key itself is never in it.
 *
 * Contract
 *  Y1 What `add` resolved is found, across restarts, until `remove` resolved; then never again.
 *  Y2 `find` answers without waiting: it stands on the way of every request.
 */
export const SCOPES = ["admin", "placement", "submit", "report"] as const;
export type Scope = (typeof SCOPES)[number];

/** Who is calling, once a key has been recognised. */
export interface Principal {
  /** Names the key in logs and lists; not a secret. */
  readonly keyId: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
}

/** A key as it is stored. */
export interface KeyRecord extends Principal {
  /** SHA-256 of the key's text. */
  readonly digest: Buffer;
  readonly createdAtMs: number;
}

export interface KeyStore {
  find(digest: Buffer): KeyRecord | undefined;
  add(record: KeyRecord): Promise<void>;
  /** False when there is no such key. */
  remove(keyId: string): Promise<boolean>;
  list(): readonly KeyRecord[];
}
