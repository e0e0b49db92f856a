/**
 * An in-memory ClickLog with the real one's rules and faults to order: for tests, and for the
 * simulator. The records are the object's own, so a "restarted" owner simply goes on with it.
 */
import { isBlockIntact, type Block, type LogRecord } from "../../block/block.ts";
import { AdtallyError, invariant } from "../../core/errors.ts";
import type { ClickLog, LogBounds } from "../../ports/click-log.ts";

/**
 * answer-lost   applied, then rejected with APPEND_UNKNOWN;
 * request-lost  not applied, and rejected with APPEND_UNKNOWN all the same;
 * applied-late  rejected with APPEND_UNKNOWN, and applied behind the partition's next append;
 * unavailable   not applied, rejected with LOG_UNAVAILABLE;
 * stopped       not applied, and everything is LOG_STOPPED from here on;
 * applied-twice applied at two offsets, as by a client's own retry; the second is the answer.
 */
export type AppendFault =
  "answer-lost" | "request-lost" | "applied-late" | "unavailable" | "stopped" | "applied-twice";

export interface MemoryLog extends ClickLog {
  /** Orders a fault for the partition's next append; orders queue up. */
  failNext(partition: number, fault: AppendFault): void;
  /** Retention: drops all records before `offset`. */
  dropBefore(partition: number, offset: number): void;
  flipBit(partition: number, offset: number): void;
}

interface Partition {
  earliest: number;
  records: LogRecord[];
  faults: AppendFault[];
  late: Block[];
}

export function createMemoryLog(name = "memory log"): MemoryLog {
  const partitions = new Map<number, Partition>();

  let stopped = false;

  function assertServing(): void {
    if (stopped) throw new AdtallyError("LOG_STOPPED", `${name}: stopped, as ordered`);
  }

  function partitionOf(id: number): Partition {
    invariant(Number.isInteger(id) && id >= 0, `${name}: no partition ${id}`);
    let partition = partitions.get(id);
    if (partition === undefined) {
      partition = { earliest: 0, records: [], faults: [], late: [] };
      partitions.set(id, partition);
    }
    return partition;
  }

  const boundsOf = ({ earliest, records }: Partition): LogBounds => ({
    earliest,
    next: earliest + records.length,
  });

  function put(partition: Partition, block: Block): number {
    const offset = boundsOf(partition).next;
    // A copy: on a disk, too, later changes to the caller's buffer change nothing.
    partition.records.push({ offset, header: { ...block.header }, value: Buffer.from(block.value) });
    return offset;
  }

  const log: MemoryLog = {
    async append(id, block) {
      const partition = partitionOf(id);
      const fault = partition.faults.shift();
      stopped ||= fault === "stopped";
      assertServing();
      if (fault === "unavailable") {
        throw new AdtallyError("LOG_UNAVAILABLE", `${name} partition ${id}: unavailable, as ordered`);
      }
      const unknown = () =>
        new AdtallyError("APPEND_UNKNOWN", `${name} partition ${id}: ${String(fault)}, as ordered`);
      if (fault === "applied-late") partition.late.push({ ...block, value: Buffer.from(block.value) });
      if (fault === "request-lost" || fault === "applied-late") throw unknown();
      const offset = put(partition, block);
      for (const late of partition.late.splice(0)) put(partition, late);
      if (fault === "answer-lost") throw unknown();
      return fault === "applied-twice" ? put(partition, block) : offset;
    },

    async read(id, fromOffset, maxBytes) {
      assertServing();
      const partition = partitionOf(id);
      const { earliest, next } = boundsOf(partition);
      if (!(fromOffset >= earliest && fromOffset <= next)) {
        throw new AdtallyError(
          "OFFSET_OUT_OF_RANGE",
          `${name} partition ${id}: offset ${fromOffset} is not within ${earliest} … ${next}`,
        );
      }
      const found: LogRecord[] = [];
      let bytes = 0;
      for (let at = fromOffset - earliest; at < partition.records.length && bytes < maxBytes; at++) {
        const record = partition.records[at]!;
        if (!isBlockIntact(record)) {
          throw new AdtallyError(
            "LOG_CORRUPT",
            `${name} partition ${id}: offset ${record.offset} is damaged`,
          );
        }
        found.push({ ...record, value: Buffer.from(record.value) });
        bytes += record.value.length;
      }
      return found;
    },

    async readMany(from, maxBytes) {
      const share = Math.ceil(maxBytes / from.size);
      const records = new Map<number, readonly LogRecord[]>();
      let isAll = true;
      for (const [id, fromOffset] of from) {
        const found = await log.read(id, fromOffset, share);
        if (found.length > 0) records.set(id, found);
        isAll &&= fromOffset + found.length === boundsOf(partitionOf(id)).next;
      }
      return { records, isAll };
    },

    async bounds(id) {
      assertServing();
      return boundsOf(partitionOf(id));
    },

    failNext(id, fault) {
      partitionOf(id).faults.push(fault);
    },

    dropBefore(id, offset) {
      const partition = partitionOf(id);
      invariant(offset <= boundsOf(partition).next, `${name} partition ${id}: no offset ${offset} yet`);
      partition.records.splice(0, Math.max(0, offset - partition.earliest));
      partition.earliest = Math.max(partition.earliest, offset);
    },

    flipBit(id, offset) {
      const partition = partitionOf(id);
      const { value } = partition.records[offset - partition.earliest]!;
      const at = value.length >>> 1;
      value[at] = value[at]! ^ 1;
    },
  };
  return log;
}
