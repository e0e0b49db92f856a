/** A count sink that can be away, with what it saw: for the tests of long outages. */
import { createMemoryCountSink, type MemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { AdtallyError } from "../core/errors.ts";
import type { Checkpoint } from "../ports/count-sink.ts";
import { sleep, type Clock } from "../runtime/clock.ts";

export interface WatchedSink {
  readonly sink: MemoryCountSink;
  isDown: boolean;
  refused: number;
  /** Bytes of the largest insert. */
  largest: number;
  /** Checkpoints that were below an earlier one of their shard (I3): none may be. */
  readonly fallen: Checkpoint[];
  /** Called before a checkpoint is written. */
  onCheckpoint: (checkpoint: Checkpoint) => void;
}

export function watchedSink(clock: Clock, insertMs = 0): WatchedSink {
  const inner = createMemoryCountSink();
  const newest = new Map<number, number>();
  const watched: WatchedSink = {
    isDown: false,
    refused: 0,
    largest: 0,
    fallen: [],
    onCheckpoint: () => undefined,
    sink: {
      ...inner,
      readCheckpoints: () => (watched.isDown ? refuse() : inner.readCheckpoints()),
      readWindows: (shard, minute) => (watched.isDown ? refuse() : inner.readWindows(shard, minute)),
      writeCounts: async (rows) => {
        if (watched.isDown) return refuse();
        watched.largest = Math.max(watched.largest, rows.bytes.length);
        if (insertMs > 0) await sleep(clock, insertMs);
        return inner.writeCounts(rows);
      },
      writeCheckpoints: (checkpoints) => {
        if (watched.isDown) return refuse();
        for (const checkpoint of checkpoints) {
          const { shard, offset } = checkpoint;
          if (offset < (newest.get(shard) ?? -1)) watched.fallen.push(checkpoint);
          newest.set(shard, offset);
          watched.onCheckpoint(checkpoint);
        }
        return inner.writeCheckpoints(checkpoints);
      },
    },
  };
  function refuse(): Promise<never> {
    watched.refused += 1;
    return Promise.reject(new AdtallyError("COUNT_SINK_UNAVAILABLE", "nobody at the port"));
  }
  return watched;
}
