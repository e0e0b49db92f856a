/**
 * What leaves a shard: absolute counts for ClickHouse, and saves for its store. Pure; the host
 * (host.ts) sends them and tells what came of it.
 *
 * Invariants:
 *  O1 A count row is the fold up to its version (a log offset), so any copy of one version is
 *     the same row, and the newest version is the truth.
 *  O2 A checkpoint covers only counts that were written before it.
 *  O3 Whatever could not be written is taken again.
 */
import { minuteStartMs } from "../core/time.ts";
import { COUNT_ROW_BYTES, type Checkpoint } from "../ports/count-sink.ts";
import type { ShardSave } from "../ports/shard-store.ts";
import type { WindowTable } from "../window/window-table.ts";
import { dedupFloorMs, metaOf, type ShardState } from "./state.ts";

export interface CountFlush {
  readonly bytes: Buffer;
  readonly rowCount: number;
  readonly taken: readonly { readonly table: WindowTable; readonly rows: readonly number[] }[];
  /** Offset that ClickHouse has all counts of, once this is written; undefined: more is left. */
  readonly covers: number | undefined;
  readonly checkpoint: Checkpoint | undefined;
}

/** Takes up to `mostRows` windows that ClickHouse lacks. */
export function takeCounts(state: ShardState, mostRows: number): CountFlush {
  const { shard, epoch } = state.identity;
  const version = state.nextOffset - 1;
  const tables = state.windows.unflushedTables();
  const wanted = tables.reduce((sum, table) => sum + table.unflushedRows, 0);
  const bytes = Buffer.allocUnsafeSlow(Math.min(wanted, mostRows) * COUNT_ROW_BYTES);
  const taken: { table: WindowTable; rows: readonly number[] }[] = [];
  let at = 0;
  for (const table of tables) {
    const room = mostRows - at / COUNT_ROW_BYTES;
    if (room === 0) break;
    const minuteS = minuteStartMs(table.minute) / 1_000;
    const rows = table.takeUnflushed(room, (ids, idsAt, clicks, invalid, duplicates) => {
      // Table order is ad, campaign, advertiser; the sink's is advertiser, campaign, ad.
      for (const word of [4, 5, 2, 3, 0, 1]) at = bytes.writeUInt32LE(ids[idsAt + word]!, at);
      at = bytes.writeUInt32LE(minuteS, at);
      at = bytes.writeUInt16LE(shard, at);
      at = bytes.writeUInt32LE(clicks, at);
      at = bytes.writeUInt32LE(invalid, at);
      at = bytes.writeUInt32LE(duplicates, at);
      at = bytes.writeUInt32LE(version % 4_294_967_296, at);
      at = bytes.writeUInt32LE(Math.floor(version / 4_294_967_296), at);
    });
    taken.push({ table, rows });
  }
  const rowCount = at / COUNT_ROW_BYTES;
  const complete = rowCount === wanted;
  return {
    bytes,
    rowCount,
    taken,
    covers: complete ? version : undefined,
    checkpoint: complete ? { shard, epoch, offset: version, watermarkMs: state.watermarkMs } : undefined,
  };
}

export function countsWritten(state: ShardState, flush: CountFlush): void {
  if (flush.covers !== undefined) state.flushedOffset = Math.max(state.flushedOffset, flush.covers);
}

export function countsNotWritten(flush: CountFlush): void {
  for (const { table, rows } of flush.taken) table.unflush(rows);
}

/** Whether the state should be saved now: when its ids fill a run, or enough time has gone by. */
export function isSaveDue(state: ShardState, sinceLastSaveMs: number): boolean {
  const { dedupRunIds, stateSaveIntervalMs } = state.limits;
  const unsaved = state.dedup.unsavedIds;
  if (unsaved >= dedupRunIds) return true;
  // Many small runs would make each lookup of a repeated id read many values.
  const interval = unsaved >= dedupRunIds / 32 ? stateSaveIntervalMs : stateSaveIntervalMs * 10;
  return sinceLastSaveMs >= interval;
}

/** The save as the store takes it; call `savedState` once it is written. */
export function takeSave(state: ShardState): ShardSave {
  return {
    meta: metaOf(state),
    // Offsets only rise, so they number the runs of all incarnations.
    ...state.dedup.take(state.nextOffset),
    minutes: state.windows.takeUnsaved(),
  };
}

export function savedState(state: ShardState, save: ShardSave): { firstSlice: number; firstMinute: number } {
  const { windowMemoryMs, windowRetentionMs } = state.limits;
  state.dedup.saved(save.runs, save.filters);
  state.windows.evictBefore(state.watermarkMs - windowMemoryMs);
  return {
    firstSlice: state.dedup.dropBefore(dedupFloorMs(state)),
    firstMinute: state.windows.dropBefore(state.appendTimeMs - windowRetentionMs),
  };
}
