/** A CountSink in memory with the real one's rule, newest version wins: for tests and the simulator. */
import { AdtallyError } from "../../core/errors.ts";
import { decodeCountRows, encodeCountRows } from "../../ports/count-rows.ts";
import { COUNT_ROW_BYTES, type Checkpoint, type CountRow, type CountSink } from "../../ports/count-sink.ts";

/**
 * answer-lost  written, then rejected with COUNT_SINK_UNAVAILABLE;
 * unavailable  not written, rejected with COUNT_SINK_UNAVAILABLE.
 */
export type SinkFault = "answer-lost" | "unavailable";

export interface MemoryCountSink extends CountSink {
  /** What a query sees now. */
  counts(): readonly CountRow[];
  /** Orders a fault for the next write; orders queue up. */
  failNext(fault: SinkFault): void;
  /** Its tables are dropped, and made anew. */
  forget(): void;
}

export function createMemoryCountSink(): MemoryCountSink {
  const rows = new Map<string, CountRow>();
  const checkpoints = new Map<number, Checkpoint>();
  const faults: SinkFault[] = [];
  const unavailable = () =>
    new AdtallyError("COUNT_SINK_UNAVAILABLE", "memory count sink: unavailable, as ordered");

  function write(apply: () => void): Promise<void> {
    const fault = faults.shift();
    if (fault !== "unavailable") apply();
    return fault === undefined ? Promise.resolve() : Promise.reject(unavailable());
  }

  return {
    writeCounts(counts) {
      if (counts.bytes.length !== counts.rowCount * COUNT_ROW_BYTES)
        return Promise.reject(
          new AdtallyError(
            "COUNT_SINK_REJECTED",
            `${counts.rowCount} count rows of ${COUNT_ROW_BYTES} bytes do not make ${counts.bytes.length} bytes`,
          ),
        );
      return write(() => {
        for (const row of decodeCountRows(counts)) {
          const key = `${row.advertiserId}/${row.campaignId}/${row.adId}/${row.minute}/${row.shard}`;
          const known = rows.get(key);
          if (known === undefined || known.version <= row.version) rows.set(key, row);
        }
      });
    },
    writeCheckpoints(written) {
      return write(() => {
        for (const { shard, epoch, offset, watermarkMs } of written) {
          const known = checkpoints.get(shard);
          checkpoints.set(shard, {
            shard,
            epoch: Math.max(epoch, known?.epoch ?? 0),
            offset: Math.max(offset, known?.offset ?? -1),
            watermarkMs: Math.max(watermarkMs, known?.watermarkMs ?? 0),
          });
        }
      });
    },
    readCheckpoints: () => Promise.resolve([...checkpoints.values()].toSorted((a, b) => a.shard - b.shard)),
    readWindows: (shard, fromMinute) =>
      Promise.resolve(
        encodeCountRows([...rows.values()].filter((row) => row.shard === shard && row.minute >= fromMinute)),
      ),
    counts: () => [...rows.values()],
    failNext: (fault) => void faults.push(fault),
    forget() {
      rows.clear();
      checkpoints.clear();
    },
  };
}
