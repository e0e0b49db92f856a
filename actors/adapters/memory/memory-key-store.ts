/** A KeyStore that lives and ends with the process: for tests. */
import type { KeyRecord, KeyStore } from "../../ports/key-store.ts";

export function createMemoryKeyStore(): KeyStore {
  const records = new Map<string, KeyRecord>();
  return {
    find: (digest) => records.get(digest.toString("hex")),
    add: async (record) => void records.set(record.digest.toString("hex"), record),
    remove: async (keyId) => {
      for (const [digest, record] of records) if (record.keyId === keyId) return records.delete(digest);
      return false;
    },
    list: () => [...records.values()],
    noteUses: async (uses) => {
      for (const [digest, record] of records) {
        const lastUsedAtMs = uses.get(record.keyId);
        if (lastUsedAtMs !== undefined) records.set(digest, { ...record, lastUsedAtMs });
      }
    },
  };
}
