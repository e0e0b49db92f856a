/**
 * All windows of one minute on one shard: per ad the counts so far. Columns in typed arrays,
 * 41 bytes a window, in order of first click; an open-addressing index finds an ad's window.
 *
 * Two kinds of "dirty" are kept apart: rows whose counts ClickHouse does not have yet, and
 * chunks of 256 rows that the shard's store does not have yet.
 */
import { hash64 } from "../core/hash.ts";

export const CHUNK_ROWS = 256;
/** Stored row: ad, campaign, advertiser (8 each, little-endian), clicks, invalid, duplicates (4 each). */
export const STORED_ROW_BYTES = 36;

const SEED = 0x3157da7e;

export const CountKind = { CLICK: 0, INVALID: 1, DUPLICATE: 2 } as const;
export type CountKind = (typeof CountKind)[keyof typeof CountKind];

/** The six 32-bit halves that name a window's ad and whose it is; positions in a row's bytes. */
const ID_WORDS = 6;

export class WindowTable {
  readonly minute: number;
  /** Offset of the last block that changed a count here, or -1. */
  lastChangeOffset = -1;
  #rows = 0;
  #capacity: number;
  #ids: Uint32Array;
  #counts: Uint32Array;
  #unflushed: Uint8Array;
  #unflushedRows: number[] = [];
  #unsavedChunks = new Set<number>();
  #index: Int32Array;

  constructor(minute: number, expectedRows = 16) {
    this.minute = minute;
    this.#capacity = 1 << Math.max(4, Math.ceil(Math.log2(expectedRows)));
    this.#ids = new Uint32Array(this.#capacity * ID_WORDS);
    this.#counts = new Uint32Array(this.#capacity * 3);
    this.#unflushed = new Uint8Array(this.#capacity);
    this.#index = new Int32Array(this.#capacity * 2);
  }

  get rows(): number {
    return this.#rows;
  }

  get unflushedRows(): number {
    return this.#unflushedRows.length;
  }

  get hasUnsaved(): boolean {
    return this.#unsavedChunks.size > 0;
  }

  get byteLength(): number {
    return (
      this.#ids.byteLength + this.#counts.byteLength + this.#unflushed.byteLength + this.#index.byteLength
    );
  }

  /** Counts one click of the row whose ad id starts at `idsAt` (ad, campaign, advertiser in a row). */
  count(rows: Buffer, idsAt: number, kind: CountKind, offset: number): void {
    const row = this.#upsert(rows, idsAt);
    this.#counts[row * 3 + kind]! += 1;
    this.lastChangeOffset = offset;
    this.#unsavedChunks.add(Math.floor(row / CHUNK_ROWS));
    this.#markUnflushed(row);
  }

  /** Visits the rows that ClickHouse lacks, and forgets that it lacks them; undo with `unflush`. */
  takeUnflushed(
    most: number,
    visit: (ids: Uint32Array, idsAt: number, clicks: number, invalid: number, duplicates: number) => void,
  ): readonly number[] {
    const taken = this.#unflushedRows.splice(0, most);
    for (const row of taken) {
      this.#unflushed[row] = 0;
      const at = row * 3;
      visit(this.#ids, row * ID_WORDS, this.#counts[at]!, this.#counts[at + 1]!, this.#counts[at + 2]!);
    }
    return taken;
  }

  unflush(rows: readonly number[]): void {
    for (const row of rows) this.#markUnflushed(row);
  }

  /** Marks the rows from `first` on. */
  unflushFrom(first: number): void {
    for (let row = first; row < this.#rows; row++) this.#markUnflushed(row);
  }

  /** The first row that ClickHouse lacks; the number of rows where it lacks none. */
  get firstUnflushed(): number {
    const first = this.#unflushed.indexOf(1);
    return first === -1 ? this.#rows : first;
  }

  /** The chunks that the store lacks, as stored; they count as saved from here on. */
  takeUnsaved(): { chunk: number; bytes: Buffer }[] {
    const chunks = [...this.#unsavedChunks].sort((a, b) => a - b);
    this.#unsavedChunks.clear();
    return chunks.map((chunk) => ({ chunk, bytes: this.#encodeChunk(chunk) }));
  }

  /** Takes a stored chunk in; chunks come in order and fill a new table. */
  restoreChunk(bytes: Buffer): void {
    for (let at = 0; at + STORED_ROW_BYTES <= bytes.length; at += STORED_ROW_BYTES) {
      const row = this.#upsert(bytes, at);
      for (let i = 0; i < 3; i++) this.#counts[row * 3 + i] = bytes.readUInt32LE(at + 24 + i * 4);
    }
  }

  /** Takes one window in with the three counts at `countsAt`, as of the block at `offset`. */
  restore(ids: Buffer, counts: Buffer, countsAt: number, offset: number): void {
    const row = this.#upsert(ids, 0);
    for (let i = 0; i < 3; i++) this.#counts[row * 3 + i] = counts.readUInt32LE(countsAt + i * 4);
    this.lastChangeOffset = Math.max(this.lastChangeOffset, offset);
    this.#unsavedChunks.add(Math.floor(row / CHUNK_ROWS));
  }

  #markUnflushed(row: number): void {
    if (this.#unflushed[row] === 1) return;
    this.#unflushed[row] = 1;
    this.#unflushedRows.push(row);
  }

  #encodeChunk(chunk: number): Buffer {
    const from = chunk * CHUNK_ROWS;
    const to = Math.min(this.#rows, from + CHUNK_ROWS);
    const bytes = Buffer.allocUnsafeSlow((to - from) * STORED_ROW_BYTES);
    let at = 0;
    for (let row = from; row < to; row++) {
      for (let i = 0; i < ID_WORDS; i++) at = bytes.writeUInt32LE(this.#ids[row * ID_WORDS + i]!, at);
      for (let i = 0; i < 3; i++) at = bytes.writeUInt32LE(this.#counts[row * 3 + i]!, at);
    }
    return bytes;
  }

  #upsert(bytes: Buffer, idsAt: number): number {
    const adLow = bytes.readUInt32LE(idsAt);
    const adHigh = bytes.readUInt32LE(idsAt + 4);
    const mask = this.#index.length - 1;
    let slot = hash64(adHigh, adLow, SEED) & mask;
    for (let row = this.#index[slot]!; row !== 0; row = this.#index[slot]!) {
      const at = (row - 1) * ID_WORDS;
      if (this.#ids[at] === adLow && this.#ids[at + 1] === adHigh) return row - 1;
      slot = (slot + 1) & mask;
    }
    if (this.#rows === this.#capacity) {
      this.#grow();
      return this.#upsert(bytes, idsAt);
    }
    const row = this.#rows++;
    this.#index[slot] = row + 1;
    for (let i = 0; i < ID_WORDS; i++) this.#ids[row * ID_WORDS + i] = bytes.readUInt32LE(idsAt + i * 4);
    return row;
  }

  #grow(): void {
    this.#capacity *= 2;
    const ids = new Uint32Array(this.#capacity * ID_WORDS);
    ids.set(this.#ids);
    const counts = new Uint32Array(this.#capacity * 3);
    counts.set(this.#counts);
    const unflushed = new Uint8Array(this.#capacity);
    unflushed.set(this.#unflushed);
    const index = new Int32Array(this.#capacity * 2);
    const mask = index.length - 1;
    for (let row = 0; row < this.#rows; row++) {
      let slot = hash64(ids[row * ID_WORDS + 1]!, ids[row * ID_WORDS]!, SEED) & mask;
      while (index[slot] !== 0) slot = (slot + 1) & mask;
      index[slot] = row + 1;
    }
    this.#ids = ids;
    this.#counts = counts;
    this.#unflushed = unflushed;
    this.#index = index;
  }
}
