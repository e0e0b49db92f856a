/**
 * Owns: the tumbling one-minute windows of one shard, and which of them ClickHouse and the
 * shard's store lack. Called by the shard's transition, and by its flushes and saves (flush.ts).
 *
 * Invariants:
 *  W1 A minute is either wholly in memory, or wholly in the store, or has no window: counts
 *     are absolute, so a minute left half behind would overwrite the truth with less.
 *  W2 A minute leaves memory only when the store has all of it.
 *  W3 Whatever ClickHouse lacks is known for it: as rows in memory, under way, or parked in the
 *     store. After a restart that is every stored minute which changed behind the flushed offset.
 *     The store keeps such a minute, however old.
 *  W4 Of closed minutes no more than `mostRows` windows stay in memory after a save, whether
 *     ClickHouse has them or not.
 */
import { minuteOf, minuteStartMs, WINDOW_MS } from "../core/time.ts";
import { ParkedMinutes, type MinuteReader, type ParkedChunks } from "./parked.ts";
import { WindowTable, type CountKind } from "./window-table.ts";

export interface StoredMinute {
  readonly minute: number;
  readonly lastChangeOffset: number;
  /** Windows in it. */
  readonly rows: number;
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

/** What may leave memory, and what must (W4). */
export interface Eviction {
  /** Minutes that end at or before this leave once they are at rest. */
  readonly restBeforeMs: number;
  /** Minutes that end at or before this are closed: only clicks that the pipeline held reopen them. */
  readonly closedBeforeMs: number;
  readonly mostRows: number;
}

/** Part of a minute that is on its way to ClickHouse; told of by `flushed` or `notFlushed`. */
export interface UnderWay {
  readonly minute: number;
  /** The rows taken from memory, by number; or all of the minute from `fromRow` on. */
  readonly rows?: readonly number[];
  readonly fromRow: number;
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
  /** Minutes that the store has, as it has them. */
  readonly #stored = new Map<number, StoredMinute>();
  readonly #parked: ParkedMinutes;
  readonly #underWay = new Set<UnderWay>();
  /** Minutes that the last save wrote. */
  #lastSaved = new Set<number>();

  constructor(reader: MinuteReader) {
    this.#reader = reader;
    this.#parked = new ParkedMinutes(reader);
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

  /** Windows that ClickHouse lacks and that are not under way to it. */
  get unflushed(): number {
    let rows = this.#parked.rows;
    for (const table of this.#tables.values()) rows += table.unflushedRows;
    return rows;
  }

  /** Counts a click of the row whose ids start at `idsAt`, in the window of `timeMs`. */
  count(rows: Buffer, idsAt: number, timeMs: number, kind: CountKind, offset: number): void {
    this.#tableFor(minuteOf(timeMs)).count(rows, idsAt, kind, offset);
  }

  /** Windows in memory of minutes that end at or before `timeMs`. */
  rowsBefore(timeMs: number): number {
    let rows = 0;
    for (const table of this.#tables.values()) if (endMs(table.minute) <= timeMs) rows += table.rows;
    return rows;
  }

  /** Minutes in memory with something that ClickHouse lacks, oldest first. */
  unflushedTables(): WindowTable[] {
    return [...this.#tables.values()]
      .filter((table) => table.unflushedRows > 0)
      .sort((a, b) => a.minute - b.minute);
  }

  /** Takes up to `mostRows` of the windows that are parked, oldest first. @throws STORE_CORRUPT */
  takeParked(mostRows: number): ParkedChunks[] {
    return this.#parked.take(mostRows);
  }

  /** Until `flushed` or `notFlushed` the part is neither with ClickHouse nor due again. */
  sent(part: UnderWay): void {
    this.#underWay.add(part);
  }

  flushed(part: UnderWay): void {
    this.#underWay.delete(part);
  }

  /** Its minute may have left memory meanwhile, or come back: rows keep their order in the store. */
  notFlushed(part: UnderWay): void {
    this.#underWay.delete(part);
    const table = this.#tables.get(part.minute);
    if (table !== undefined && part.rows !== undefined) table.unflush(part.rows);
    else this.#unflush(part.minute, part.fromRow);
  }

  /** What the store lacks; counts as saved from here on. */
  takeUnsaved(): MinuteSave[] {
    const saves: MinuteSave[] = [];
    for (const table of this.#tables.values()) {
      if (!table.hasUnsaved) continue;
      const { minute, lastChangeOffset, rows } = table;
      this.#stored.set(minute, { minute, lastChangeOffset, rows });
      saves.push({ minute, lastChangeOffset, rows, chunks: table.takeUnsaved() });
    }
    this.#lastSaved = new Set(saves.map(({ minute }) => minute));
    return saves;
  }

  /**
   * Takes in what the store has, at recovery. A minute that changed after `flushedOffset` may
   * be missing from ClickHouse: it is sent again from the store (its rows are absolute).
   */
  restore(minutes: readonly StoredMinute[], flushedOffset: number): void {
    for (const stored of minutes) {
      this.#stored.set(stored.minute, stored);
      if (stored.lastChangeOffset > flushedOffset) this.#unflush(stored.minute, 0);
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
    for (const minute of [...this.#stored.keys(), ...this.#tables.keys()]) this.#unflush(minute, 0);
  }

  /** Lets minutes leave memory, where W2 allows: after a save. */
  evict({ restBeforeMs, closedBeforeMs, mostRows }: Eviction): void {
    const closed = [...this.#tables.values()].filter(({ minute }) => endMs(minute) <= closedBeforeMs);
    let rows = closed.reduce((sum, table) => sum + table.rows, 0);
    // What ClickHouse has leaves first: it need not be read back.
    const order = (table: WindowTable) => (table.unflushedRows > 0 ? 1 : 0);
    for (const table of closed.sort((a, b) => order(a) - order(b) || a.minute - b.minute)) {
      const leaves = rows > mostRows || (endMs(table.minute) <= restBeforeMs && this.#isAtRest(table));
      if (!leaves || table.hasUnsaved) continue;
      rows -= table.rows;
      this.#tables.delete(table.minute);
      if (table.unflushedRows > 0) this.#unflush(table.minute, table.firstUnflushed);
    }
  }

  /** Forgets minutes that end at or before `timeMs`, stored ones too; returns the first one kept. */
  dropBefore(timeMs: number): number {
    const first = minuteOf(timeMs);
    const underWay = new Set([...this.#underWay].map(({ minute }) => minute));
    for (const minute of this.#stored.keys()) {
      const lacks = (this.#tables.get(minute)?.unflushedRows ?? 0) > 0 || this.#parked.has(minute);
      if (minute < first && !lacks && !underWay.has(minute)) {
        this.#stored.delete(minute);
        this.#tables.delete(minute);
      }
    }
    return Math.min(first, ...this.#stored.keys());
  }

  /** ClickHouse has it all, or would not take it for as long as from one save to the next. */
  #isAtRest({ minute, unflushedRows }: WindowTable): boolean {
    return unflushedRows === 0 || !this.#lastSaved.has(minute);
  }

  /** ClickHouse lacks the minute from `fromRow` on. */
  #unflush(minute: number, fromRow: number): void {
    const table = this.#tables.get(minute);
    if (table === undefined) this.#parked.park(minute, fromRow, this.#stored.get(minute)!.rows);
    else table.unflushFrom(fromRow);
  }

  #tableFor(minute: number): WindowTable {
    let table = this.#tables.get(minute);
    if (table !== undefined) return table;
    table = new WindowTable(minute);
    const stored = this.#stored.get(minute);
    if (stored !== undefined) {
      for (const chunk of this.#reader.readMinute(minute)) table.restoreChunk(chunk);
      table.lastChangeOffset = stored.lastChangeOffset;
      const fromRow = this.#parked.unpark(minute);
      if (fromRow !== undefined) table.unflushFrom(fromRow);
    }
    this.#tables.set(minute, table);
    return table;
  }
}

function endMs(minute: number): number {
  return minuteStartMs(minute) + WINDOW_MS;
}
