/**
 * KeyStore: the API keys that may call, by their digests; a key itself is never in it.
 *
 * Contract
 *  Y1 What `add` resolved is found, across restarts, until `remove` resolved; then never again.
 *  Y2 `find` answers without waiting: it stands on the way of every request.
 *  Y3 A noted use is shown by `list` unless a later one is; it never brings a removed key back.
 */
export const SCOPES = ["admin", "placement", "submit", "read"] as const;
export type Scope = (typeof SCOPES)[number];

/** Whose ads, counts and clicks a key may see. */
export type Advertisers = "all" | ReadonlySet<bigint>;

/** Who is calling, once a key has been recognised. */
export interface Principal {
  /** Names the key in logs and lists; not a secret. */
  readonly keyId: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly advertisers: Advertisers;
}

/** A key as it is stored. */
export interface KeyRecord extends Principal {
  /** SHA-256 of the key's text. */
  readonly digest: Buffer;
  readonly createdAtMs: number;
  /** From then on it is refused; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** About when it was last presented; undefined: not that anybody knows. */
  readonly lastUsedAtMs: number | undefined;
}

export interface KeyStore {
  find(digest: Buffer): KeyRecord | undefined;
  add(record: KeyRecord): Promise<void>;
  /** False when there is no such key. */
  remove(keyId: string): Promise<boolean>;
  list(): readonly KeyRecord[];
  /** When keys were last presented, by key id; ids that are unknown are passed over. */
  noteUses(uses: ReadonlyMap<string, number>): Promise<void>;
}
