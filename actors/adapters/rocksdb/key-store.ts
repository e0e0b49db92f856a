/**
 * The KeyStore on RocksDB. Key: SHA-256 of an API key. Value: JSON of what it permits; keys are
 * few, and people read them.
 */
import { AdtallyError } from "../../core/errors.ts";
import { SCOPES, type KeyRecord, type KeyStore, type Scope } from "../../ports/key-store.ts";
import { openRocks } from "./rocks.ts";

export interface RocksKeyStore extends KeyStore {
  close(): Promise<void>;
}

export async function openRocksKeyStore(dir: string): Promise<RocksKeyStore> {
  const rocks = await openRocks(dir, {
    cacheSize: 1024 * 1024,
    memtableMemoryBudget: 4 * 1024 * 1024,
    irreplaceable: true,
  });
  const list = () => [...rocks.scan({})].map(([digest, value]) => decode(dir, digest, value));
  return {
    find: (digest) => {
      const value = rocks.get(digest);
      return value === undefined ? undefined : decode(dir, digest, value);
    },
    add: async (record) => {
      const batch = rocks.batch();
      batch.put(record.digest, encode(record));
      batch.write({ sync: true });
    },
    remove: async (keyId) => {
      const found = list().find((record) => record.keyId === keyId);
      if (found === undefined) return false;
      const batch = rocks.batch();
      batch.del(found.digest);
      batch.write({ sync: true });
      return true;
    },
    list,
    close: () => rocks.close(),
  };
}

function encode({ keyId, name, scopes, createdAtMs }: KeyRecord): Buffer {
  return Buffer.from(JSON.stringify({ keyId, name, scopes, createdAtMs }));
}

function decode(dir: string, digest: Buffer, value: Buffer): KeyRecord {
  const fields: unknown = JSON.parse(value.toString());
  if (!isStoredKey(fields)) {
    throw new AdtallyError("STORE_CORRUPT", `${dir}: API key ${digest.toString("hex", 0, 6)} is unreadable`);
  }
  return { ...fields, digest: Buffer.from(digest) };
}

function isStoredKey(value: unknown): value is Omit<KeyRecord, "digest"> {
  if (typeof value !== "object" || value === null) return false;
  const { keyId, name, scopes, createdAtMs } = value as Record<string, unknown>;
  return (
    typeof keyId === "string" &&
    typeof name === "string" &&
    typeof createdAtMs === "number" &&
    Array.isArray(scopes) &&
    scopes.every((scope) => SCOPES.includes(scope as Scope))
  );
}
