/**
 * Where to start reading for an offset: per partition, one entry for every so many bytes of the
 * segment, never one for each record. A sealed segment's index lies beside it in a small file
 * with a checksum; the file is a shortcut only, and is built again where it is absent or bad.
 */
import { crc32 } from "node:zlib";
import { getInt64, putInt64, type LogKey } from "./frame.ts";

/** A reader walks over at most this many bytes before it stands at the record it wants. */
const SPACING_BYTES = 256 * 1024;
const MAGIC = "adtidx01";
const FIXED_BYTES = 32;

interface Entries {
  readonly offsets: number[];
  readonly places: number[];
}

export interface SegmentIdentity {
  readonly base: number;
  readonly salt: number;
  readonly size: number;
}

export class SparseIndex {
  readonly #byKey = new Map<LogKey, Entries>();

  /** Notes the record `offset` at file offset `at` if the last note of its partition lies far back. */
  add(key: LogKey, offset: number, at: number): void {
    const entries = this.#byKey.get(key);
    if (entries === undefined) {
      this.#byKey.set(key, { offsets: [offset], places: [at] });
    } else if (at - entries.places[entries.places.length - 1]! >= SPACING_BYTES) {
      entries.offsets.push(offset);
      entries.places.push(at);
    }
  }

  /** File offset of the last noted record at or before `offset`. */
  floor(key: LogKey, offset: number): number | undefined {
    const entries = this.#byKey.get(key);
    if (entries === undefined) return undefined;
    let low = 0;
    let high = entries.offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (entries.offsets[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return entries.places[low - 1];
  }

  encode(identity: SegmentIdentity): Buffer {
    const words: number[] = [];
    for (const [key, { offsets, places }] of this.#byKey) {
      words.push(key, offsets.length);
      offsets.forEach((offset, i) => words.push(offset, places[i]!));
    }
    const bytes = Buffer.alloc(FIXED_BYTES + words.length * 8);
    bytes.write(MAGIC, 0, "latin1");
    bytes.writeUInt32LE(identity.salt, 12);
    putInt64(bytes, identity.base, 16);
    putInt64(bytes, identity.size, 24);
    words.forEach((word, i) => putInt64(bytes, word, FIXED_BYTES + i * 8));
    bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
    return bytes;
  }

  /** Undefined where the bytes are damaged or belong to another state of the segment. */
  static decode(bytes: Buffer, identity: SegmentIdentity): SparseIndex | undefined {
    if (
      bytes.length < FIXED_BYTES ||
      bytes.toString("latin1", 0, 8) !== MAGIC ||
      bytes.readUInt32LE(8) !== crc32(bytes.subarray(12)) ||
      bytes.readUInt32LE(12) !== identity.salt ||
      getInt64(bytes, 16) !== identity.base ||
      getInt64(bytes, 24) !== identity.size
    ) {
      return undefined;
    }
    const index = new SparseIndex();
    let at = FIXED_BYTES;
    const word = (): number => getInt64(bytes, (at += 8) - 8);
    while (at < bytes.length) {
      const key = word();
      const entries: Entries = { offsets: [], places: [] };
      for (let left = word(); left > 0; left--) {
        entries.offsets.push(word());
        entries.places.push(word());
      }
      index.#byKey.set(key, entries);
    }
    return index;
  }
}
