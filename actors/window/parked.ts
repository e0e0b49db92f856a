/**
 * Minutes that wait in the shard's store alone for ClickHouse: while it is away memory must not
 * grow with the time. Owned by WindowSet; what is here is read back a few chunks at a time.
 */
import { CHUNK_ROWS, STORED_ROW_BYTES } from "./window-table.ts";

/** Reads a minute's stored chunks, in order, synchronously. @throws STORE_CORRUPT */
export interface MinuteReader {
  readMinute(minute: number, fromChunk?: number, mostChunks?: number): readonly Buffer[];
}

/** Chunks of one parked minute, as stored, from `fromRow` on. */
export interface ParkedChunks {
  readonly minute: number;
  readonly fromRow: number;
  readonly chunks: readonly Buffer[];
}

interface Parked {
  /** First chunk that ClickHouse lacks; those before it have left since the minute was parked. */
  fromChunk: number;
  rows: number;
}

export class ParkedMinutes {
  readonly #reader: MinuteReader;
  readonly #minutes = new Map<number, Parked>();

  constructor(reader: MinuteReader) {
    this.#reader = reader;
  }

  get size(): number {
    return this.#minutes.size;
  }

  /** Windows that wait here. */
  get rows(): number {
    let rows = 0;
    for (const { fromChunk, rows: all } of this.#minutes.values())
      rows += Math.max(1, all - fromChunk * CHUNK_ROWS);
    return rows;
  }

  has(minute: number): boolean {
    return this.#minutes.has(minute);
  }

  /** ClickHouse lacks the minute from `fromRow` on, or from further ahead if that was so before. */
  park(minute: number, fromRow: number, rows: number): void {
    const fromChunk = Math.floor(fromRow / CHUNK_ROWS);
    const before = this.#minutes.get(minute)?.fromChunk ?? fromChunk;
    this.#minutes.set(minute, { fromChunk: Math.min(before, fromChunk), rows });
  }

  /** Forgets a minute that is in memory again; returns the first row that ClickHouse lacks of it. */
  unpark(minute: number): number | undefined {
    const parked = this.#minutes.get(minute);
    if (parked === undefined) return undefined;
    this.#minutes.delete(minute);
    return parked.fromChunk * CHUNK_ROWS;
  }

  /** Takes up to `mostRows` windows, oldest minute first, in whole chunks. @throws STORE_CORRUPT */
  take(mostRows: number): ParkedChunks[] {
    const taken: ParkedChunks[] = [];
    let room = Math.floor(mostRows / CHUNK_ROWS);
    const oldestFirst = room > 0 ? [...this.#minutes].sort(([a], [b]) => a - b) : [];
    for (const [minute, parked] of oldestFirst) {
      if (room === 0) break;
      const { fromChunk } = parked;
      const chunks = this.#reader.readMinute(minute, fromChunk, room);
      taken.push({ minute, fromRow: fromChunk * CHUNK_ROWS, chunks });
      if (isEnd(chunks, room)) this.#minutes.delete(minute);
      else parked.fromChunk += chunks.length;
      room -= chunks.length;
    }
    return taken;
  }
}

/** Only the last chunk of a minute can be part full; where it is full, the next look finds nothing. */
function isEnd(chunks: readonly Buffer[], asked: number): boolean {
  return chunks.length < asked || chunks.at(-1)!.length < CHUNK_ROWS * STORED_ROW_BYTES;
}
