/**
 * The KeyStore on RocksDB. Key: SHA-256 of an API key. Value: JSON of what it permits; keys are
 * few, and people read them.
 */
import { AdtallyError } from "../../core/errors.ts";
import { keyFromJson, keyToJson } from "../../keys/stored-key.ts";
import type { KeyRecord, KeyStore } from "../../ports/key-store.ts";
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
    noteUses: async (uses) => {
      const batch = rocks.batch();
      for (const record of list()) {
        const lastUsedAtMs = uses.get(record.keyId);
        if (lastUsedAtMs !== undefined) batch.put(record.digest, encode({ ...record, lastUsedAtMs }));
      }
      // Not synced: a minute of "last used" may be lost, and nothing else is.
      batch.write({ sync: false });
    },
    close: () => rocks.close(),
  };
}

function encode(record: KeyRecord): Buffer {
  return Buffer.from(JSON.stringify(keyToJson(record)));
}

function decode(dir: string, digest: Buffer, value: Buffer): KeyRecord {
  const record = keyFromJson(Buffer.from(digest), { ...(JSON.parse(value.toString()) as object) });
  if (typeof record !== "string") return record;
  throw new AdtallyError(
    "STORE_CORRUPT",
    `${dir}: API key ${digest.toString("hex", 0, 6)} is unreadable: ${record}`,
  );
}
