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
import type { UnderWay } from "../window/window-set.ts";
import { STORED_ROW_BYTES } from "../window/window-table.ts";
import { dedupFloorMs, metaOf, type ShardState } from "./state.ts";

export interface CountFlush {
  readonly bytes: Buffer;
  readonly rowCount: number;
  readonly taken: readonly UnderWay[];
  /** Offset that ClickHouse has all counts of, once this is written; undefined: more is left. */
  readonly covers: number | undefined;
  readonly checkpoint: Checkpoint | undefined;
}

/**
 * Takes up to `mostRows` windows that ClickHouse lacks: those in memory first, for they are the
 * ones that are looked at, then up to `mostParked` of those that wait in the store.
 * @throws STORE_CORRUPT
 */
export function takeCounts(state: ShardState, mostRows: number, mostParked: number): CountFlush {
  const { identity, nextOffset, watermarkMs, windows } = state;
  const { shard, epoch } = identity;
  const version = nextOffset - 1;
  const tables = windows.unflushedTables();
  const inMemory = Math.min(
    mostRows,
    tables.reduce((sum, table) => sum + table.unflushedRows, 0),
  );
  const parked = windows.takeParked(Math.min(mostRows - inMemory, mostParked));
  const parkedRows = parked.reduce((sum, { chunks }) => sum + rowsIn(chunks), 0);
  const bytes = Buffer.allocUnsafeSlow((inMemory + parkedRows) * COUNT_ROW_BYTES);
  const taken: UnderWay[] = [];
  let at = 0;
  for (const table of tables) {
    const room = inMemory - at / COUNT_ROW_BYTES;
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
      at = writeVersion(bytes, at, version);
    });
    taken.push({ minute: table.minute, rows, fromRow: 0 });
  }
  for (const { minute, fromRow, chunks } of parked) {
    const minuteS = minuteStartMs(minute) / 1_000;
    for (const chunk of chunks) {
      for (let from = 0; from + STORED_ROW_BYTES <= chunk.length; from += STORED_ROW_BYTES) {
        for (const id of [16, 8, 0]) at += chunk.copy(bytes, at, from + id, from + id + 8);
        at = bytes.writeUInt32LE(minuteS, at);
        at = bytes.writeUInt16LE(shard, at);
        at += chunk.copy(bytes, at, from + 24, from + STORED_ROW_BYTES);
        at = writeVersion(bytes, at, version);
      }
    }
    taken.push({ minute, fromRow });
  }
  for (const part of taken) windows.sent(part);
  const complete = windows.unflushed === 0;
  return {
    bytes,
    rowCount: at / COUNT_ROW_BYTES,
    taken,
    covers: complete ? version : undefined,
    checkpoint: complete ? { shard, epoch, offset: version, watermarkMs } : undefined,
  };
}

function rowsIn(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + Math.floor(chunk.length / STORED_ROW_BYTES), 0);
}

function writeVersion(bytes: Buffer, at: number, version: number): number {
  bytes.writeUInt32LE(version % 4_294_967_296, at);
  return bytes.writeUInt32LE(Math.floor(version / 4_294_967_296), at + 4);
}

export function countsWritten(state: ShardState, flush: CountFlush): void {
  for (const part of flush.taken) state.windows.flushed(part);
  if (flush.covers !== undefined) state.flushedOffset = Math.max(state.flushedOffset, flush.covers);
}

export function countsNotWritten(state: ShardState, flush: CountFlush): void {
  for (const part of flush.taken) state.windows.notFlushed(part);
}

/** Whether the state should be saved now: when its ids fill a run, or enough time has gone by. */
export function isSaveDue(state: ShardState, sinceLastSaveMs: number): boolean {
  const { dedupRunIds, stateSaveIntervalMs } = state.limits;
  const unsaved = state.dedup.unsavedIds;
  if (unsaved >= dedupRunIds || isMemoryFull(state)) return true;
  // Many small runs would make each lookup of a repeated id read many values.
  const interval = unsaved >= dedupRunIds / 32 ? stateSaveIntervalMs : stateSaveIntervalMs * 10;
  return sinceLastSaveMs >= interval;
}

/** Whether windows should leave memory that only a save lets go (W4 of window-set.ts). */
export function isMemoryFull(state: ShardState): boolean {
  return state.windows.rowsBefore(closedBeforeMs(state)) > 2 * state.limits.windowMemoryMaxRows;
}

/** Minutes before this change by held-back clicks alone. A replay moves no watermark. */
function closedBeforeMs(state: ShardState): number {
  return Math.max(state.watermarkMs, state.eventTimeMs - state.limits.allowedLatenessMs);
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
  const { windowMemoryMaxRows, windowMemoryMs, windowRetentionMs } = state.limits;
  state.dedup.saved(save.runs, save.filters);
  state.windows.evict({
    restBeforeMs: state.watermarkMs - windowMemoryMs,
    closedBeforeMs: closedBeforeMs(state),
    mostRows: windowMemoryMaxRows,
  });
  return {
    firstSlice: state.dedup.dropBefore(dedupFloorMs(state)),
    firstMinute: state.windows.dropBefore(state.appendTimeMs - windowRetentionMs),
  };
}
