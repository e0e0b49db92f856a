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
