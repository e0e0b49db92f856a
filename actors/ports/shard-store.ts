/**
 * ShardStore: the rebuildable cache of one shard's fold: window counts, counted ids, offset.
 *
 * Reads are synchronous: the store is a library in the shard's own process, and a warm read
 * takes microseconds. Losing the store costs a replay of the log, never a click.
 *
 * Contract (shard-store.conformance.ts):
 *  T1 A save is atomic: windows, ids and offset are all there after a crash, or none of them.
 *     It need not survive a power loss, but what is found then is a prefix of the saves.
 *  T2 `load` verifies that the saves found follow one another without a hole, each with its
 *     CRC; anything else is STORE_CORRUPT, and the owner wipes and rebuilds.
 *  T3 Ids alone are no save: a store that holds ids and was never saved is STORE_CORRUPT at
 *     `load`, what is left of a rebuild that was cut short.
 *  T4 Reads return what the last save wrote, or STORE_CORRUPT where the bytes rotted.
 *  T5 A disk that refuses is STORE_STOPPED, at open, save or read: nothing is wiped, and the shard
 *     halts until a person has seen to it.
 *  T6 Runs that a new one replaces (N1 of dedup/run.ts) are gone with the write that stores it.
 */
import type { BucketKey, DedupSave, RunReader, StoredDedup } from "../dedup/dedup-index.ts";
import type { Run, RunName } from "../dedup/run.ts";
import type { MinuteReader } from "../window/parked.ts";
import type { MinuteSave, StoredMinute } from "../window/window-set.ts";

/** Everything of a shard's fold that is neither an id nor a window. */
export interface ShardMeta {
  /** Offset of the first block not yet folded. */
  readonly nextOffset: number;
  /** Last sequence of each recent writer, oldest first. */
  readonly writers: readonly (readonly [writer: number, sequence: number])[];
  /** Newest append time folded (ms). */
  readonly appendTimeMs: number;
  /** Newest click time folded (ms). */
  readonly eventTimeMs: number;
  readonly watermarkMs: number;
  /** ClickHouse has all counts of blocks up to here; -1 for none. */
  readonly flushedOffset: number;
  /** Offset of the first spilled record that no folded block holds. */
  readonly spillOffset: number;
  /** Windows before this were complete before the log began, and are never written again (ms). */
  readonly sealedBeforeMs: number;
}

export interface ShardSave extends DedupSave {
  readonly meta: ShardMeta;
  readonly minutes: readonly MinuteSave[];
}

export interface StoredShard extends StoredDedup {
  readonly meta: ShardMeta;
  readonly minutes: readonly StoredMinute[];
}

export interface ShardStore extends RunReader, MinuteReader {
  /** What the last save left, or undefined for a new store. @throws STORE_CORRUPT */
  load(): StoredShard | undefined;
  /** All non-empty buckets of a run. @throws STORE_CORRUPT */
  scanRun(run: RunName): Iterable<Buffer>;
  readBuckets(keys: readonly BucketKey[]): readonly (Buffer | undefined)[];
  readMinute(minute: number, fromChunk?: number, mostChunks?: number): readonly Buffer[];
  /** @throws STORE_CORRUPT, STORE_STOPPED */
  save(save: ShardSave): void;
  /** Ids of a state that is being rebuilt, ahead of the first save (T3). */
  saveIds(runs: readonly Run[]): void;
  /** Drops slices and minutes before the given ones, each as one range. */
  drop(firstSlice: number, firstMinute: number): Promise<void>;
  close(): Promise<void>;
}

export interface ShardStores {
  /** @throws STORE_CORRUPT, STORE_STOPPED, DATA_DIR_IN_USE */
  open(shard: number): Promise<ShardStore>;
  /** Removes a closed store whole, readable or not. */
  destroy(shard: number): Promise<void>;
}
