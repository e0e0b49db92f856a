/**
 * Owns: the tumbling one-minute windows of one shard, and which of them ClickHouse and the
 * shard's store lack. Called by the shard's transition alone.
 *
 * Invariants:
 *  W1 A minute is either wholly in memory, or wholly in the store, or has no window: counts
 *     are absolute, so a minute left half behind would overwrite the truth with less.
 *  W2 A minute leaves memory only when ClickHouse and the store both have all of it.
 */
import { minuteOf, minuteStartMs, WINDOW_MS } from "../core/time.ts";
import { WindowTable, type CountKind } from "./window-table.ts";

/** Reads a minute's stored chunks, in order, synchronously. @throws STORE_CORRUPT */
export interface MinuteReader {
  readMinute(minute: number): readonly Buffer[];
}

export interface StoredMinute {
  readonly minute: number;
  readonly lastChangeOffset: number;
}

export interface MinuteSave extends StoredMinute {
  readonly chunks: readonly { readonly chunk: number; readonly bytes: Buffer }[];
}

/** Blocks that windows hold already, though the fold will meet them again. */
export interface CoveredCounts {
  /** Every window holds the blocks up to here. */
  readonly offset: number;
  /** No window holds a block behind this one. */
  readonly until: number;
  /** Windows that hold more than `offset`, by windowKey. */
  readonly windows: ReadonlyMap<string, number>;
}

/** Names a window of the row whose ad id starts at `adAt`. */
export function windowKey(minute: number, rows: Buffer, adAt: number): string {
  return `${minute}/${rows.readUInt32LE(adAt + 4)}/${rows.readUInt32LE(adAt)}`;
}

/** Advertiser, campaign, ad, minute, shard, clicks, invalid, duplicates, version (ports/count-sink.ts). */
const SinkAt = { ids: 0, minute: 24, clicks: 30, version: 42 } as const;
const SINK_ROW_BYTES = 50;

export class WindowSet {
  readonly #reader: MinuteReader;
  readonly #tables = new Map<number, WindowTable>();
  /** Minutes that the store has, with the offset of their last change there. */
  readonly #stored = new Map<number, number>();

  constructor(reader: MinuteReader) {
    this.#reader = reader;
  }

  get stats(): { windows: number; minutes: number; bytes: number } {
    let windows = 0;
    let bytes = 0;
    for (const table of this.#tables.values()) {
      windows += table.rows;
      bytes += table.byteLength;
    }
    return { windows, minutes: this.#tables.size, bytes };
  }

  /** Windows that ClickHouse lacks. */
  get unflushed(): number {
    let rows = 0;
    for (const table of this.#tables.values()) rows += table.unflushedRows;
    return rows;
  }

  /** Counts a click of the row whose ids start at `idsAt`, in the window of `timeMs`. */
  count(rows: Buffer, idsAt: number, timeMs: number, kind: CountKind, offset: number): void {
    this.#tableFor(minuteOf(timeMs)).count(rows, idsAt, kind, offset);
  }

  /** Minutes with something that ClickHouse lacks, oldest first. */
  unflushedTables(): WindowTable[] {
    return [...this.#tables.values()]
      .filter((table) => table.unflushedRows > 0)
      .sort((a, b) => a.minute - b.minute);
  }

  /** What the store lacks; counts as saved from here on. */
  takeUnsaved(): MinuteSave[] {
    const saves: MinuteSave[] = [];
    for (const table of this.#tables.values()) {
      if (!table.hasUnsaved) continue;
      const { minute, lastChangeOffset } = table;
      this.#stored.set(minute, lastChangeOffset);
      saves.push({ minute, lastChangeOffset, chunks: table.takeUnsaved() });
    }
    return saves;
  }

  /**
   * Takes in what the store has, at recovery. A minute that changed after `flushedOffset` may
   * be missing from ClickHouse: it is loaded and sent again (its rows are absolute).
   */
  restore(minutes: readonly StoredMinute[], flushedOffset: number): void {
    for (const { minute, lastChangeOffset } of minutes) {
      this.#stored.set(minute, lastChangeOffset);
      if (lastChangeOffset > flushedOffset) this.#tableFor(minute).unflushAll();
    }
  }

  /**
   * Takes windows in as the sink has them, all complete up to `offset`: what a fold whose store
   * is lost begins with. The store lacks them from here on; the sink does not.
   */
  restoreCounts({ bytes, rowCount }: { bytes: Buffer; rowCount: number }, offset: number): CoveredCounts {
    const windows = new Map<string, number>();
    let until = offset;
    const ids = Buffer.alloc(24);
    for (let at = 0; at < rowCount * SINK_ROW_BYTES; at += SINK_ROW_BYTES) {
      // The sink's order is advertiser, campaign, ad; the table's is ad, campaign, advertiser.
      for (const [to, from] of [
        [0, 16],
        [8, 8],
        [16, 0],
      ] as const)
        bytes.copy(ids, to, at + from, at + from + 8);
      const minute = minuteOf(bytes.readUInt32LE(at + SinkAt.minute) * 1_000);
      const version = Number(bytes.readBigUInt64LE(at + SinkAt.version));
      this.#tableFor(minute).restore(ids, bytes, at + SinkAt.clicks, version);
      if (version > offset) windows.set(windowKey(minute, ids, 0), version);
      until = Math.max(until, version);
    }
    return { offset, until, windows };
  }

  /** Marks every window that is left for ClickHouse again: its table was lost. */
  unflushAll(): void {
    for (const minute of this.#stored.keys()) this.#tableFor(minute).unflushAll();
    for (const table of this.#tables.values()) table.unflushAll();
  }

  /** Lets minutes that end at or before `timeMs` leave memory, where W2 allows. */
  evictBefore(timeMs: number): void {
    for (const [minute, table] of this.#tables) {
      const ended = minuteStartMs(minute) + WINDOW_MS <= timeMs;
      if (ended && table.unflushedRows === 0 && !table.hasUnsaved) this.#tables.delete(minute);
    }
  }

  /** Forgets minutes that end at or before `timeMs`, stored ones too; returns the first one kept. */
  dropBefore(timeMs: number): number {
    const first = minuteOf(timeMs);
    for (const minute of this.#stored.keys()) {
      const table = this.#tables.get(minute);
      if (minute < first && (table === undefined || table.unflushedRows === 0)) {
        this.#stored.delete(minute);
        this.#tables.delete(minute);
      }
    }
    return Math.min(first, ...this.#stored.keys());
  }

  #tableFor(minute: number): WindowTable {
    let table = this.#tables.get(minute);
    if (table !== undefined) return table;
    table = new WindowTable(minute);
    const storedOffset = this.#stored.get(minute);
    if (storedOffset !== undefined) {
      for (const chunk of this.#reader.readMinute(minute)) table.restoreChunk(chunk);
      table.lastChangeOffset = storedOffset;
    }
    this.#tables.set(minute, table);
    return table;
  }
}
