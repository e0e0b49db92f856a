/** A KeyedLog that lives and ends with the process, with compaction and faults to order: for tests. */
import { AdtallyError } from "../../core/errors.ts";
import type { KeyedLog, StoredRecord } from "../../ports/keyed-log.ts";

/** answer-lost: applied, then APPEND_UNKNOWN; unavailable: not applied, LOG_UNAVAILABLE. */
export type KeyedAppendFault = "answer-lost" | "unavailable";

export interface MemoryKeyedLog extends KeyedLog {
  failNext(fault: KeyedAppendFault): void;
  /** While true, everything is LOG_UNAVAILABLE. */
  setDown(down: boolean): void;
  /** Drops older records of each key among those before `offset`. */
  compact(before?: number): void;
  /** Changes one bit of a record's value. */
  flipBit(offset: number): void;
  /** From here on, reading the record is LOG_CORRUPT. */
  damage(offset: number): void;
  reads(): number;
}

export function createMemoryKeyedLog(name = "memory keyed log"): MemoryKeyedLog {
  let records: StoredRecord[] = [];
  let end = 0;
  let reads = 0;
  let isDown = false;
  const faults: KeyedAppendFault[] = [];
  const damaged = new Set<number>();

  const assertUp = () => {
    if (isDown) throw new AdtallyError("LOG_UNAVAILABLE", `${name}: unavailable, as ordered`);
  };

  return {
    async append(given) {
      assertUp();
      const fault = faults.shift();
      if (fault === "unavailable")
        throw new AdtallyError("LOG_UNAVAILABLE", `${name}: unavailable, as ordered`);
      for (const { key, value } of given) {
        records.push({ offset: end, key: Buffer.from(key), value: Buffer.from(value) });
        end += 1;
      }
      if (fault === "answer-lost") {
        throw new AdtallyError("APPEND_UNKNOWN", `${name}: the answer was lost, as ordered`);
      }
      return end;
    },

    async read(from, maxBytes) {
      assertUp();
      reads += 1;
      if (!(from >= 0 && from <= end)) {
        throw new AdtallyError(
          "OFFSET_OUT_OF_RANGE",
          `${name}: there is no offset ${from}, it ends at ${end}`,
        );
      }
      const found: StoredRecord[] = [];
      let bytes = 0;
      for (const record of records) {
        if (record.offset < from) continue;
        if (damaged.has(record.offset)) {
          if (found.length > 0) break;
          const { offset } = record;
          throw new AdtallyError("LOG_CORRUPT", `${name}: offset ${offset} is damaged`, { offset });
        }
        found.push({ ...record, value: Buffer.from(record.value) });
        bytes += record.value.length;
        if (bytes >= maxBytes) break;
      }
      const last = found.at(-1);
      const isAll = last === undefined || last === records.at(-1);
      return { records: found, next: isAll ? end : last.offset + 1, end };
    },

    async end() {
      assertUp();
      return end;
    },

    failNext: (fault) => void faults.push(fault),
    setDown: (down) => void (isDown = down),
    compact: (before = end) => {
      const newest = new Map<string, number>();
      const compacted = records.filter(({ offset }) => offset < before);
      for (const { key, offset } of compacted) newest.set(key.toString("latin1"), offset);
      records = records.filter(
        ({ key, offset }) => offset >= before || newest.get(key.toString("latin1")) === offset,
      );
    },
    flipBit: (offset) => {
      const { value } = records.find((record) => record.offset === offset)!;
      value[value.length >>> 1]! ^= 1;
    },
    damage: (offset) => void damaged.add(offset),
    reads: () => reads,
  };
}
