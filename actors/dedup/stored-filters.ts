/**
 * The Bloom filters of one slice as the store keeps them: so that a shard with millions of ids is
 * back without reading each of them. A copy of what the runs say and no more: whatever is not
 * intact counts as not there, and the filters are made again from the runs.
 *
 * Layout (little-endian): format(4) crc(4) run(8) filters(4), then of each filter
 * capacity(4) probes(4) count(4) words(4) and the words. The CRC is of all behind itself.
 */
import { crc32 } from "node:zlib";
import { restoreBloom, type BloomFilter } from "./bloom.ts";

/** Names the layout, and the hashes that were added: both change with this number. */
const FORMAT = 1;
const HEADER_BYTES = 20;
const FILTER_BYTES = 16;

export interface StoredFilters {
  readonly slice: number;
  readonly bytes: Buffer;
}

export interface RestoredFilters {
  /** They hold the ids of all runs of the slice up to this one. */
  readonly run: number;
  readonly filters: BloomFilter[];
}

export function encodeFilters(run: number, filters: readonly BloomFilter[]): Buffer {
  const size = filters.reduce((sum, { byteLength }) => sum + FILTER_BYTES + byteLength, HEADER_BYTES);
  const out = Buffer.allocUnsafeSlow(size);
  out.writeUInt32LE(FORMAT, 0);
  out.writeDoubleLE(run, 8);
  let at = out.writeUInt32LE(filters.length, 16);
  for (const { capacity, probes, count, words } of filters) {
    for (const value of [capacity, probes, count, words.length]) at = out.writeUInt32LE(value, at);
    at += Buffer.from(words.buffer, words.byteOffset, words.byteLength).copy(out, at);
  }
  out.writeUInt32LE(crc32(out.subarray(8)), 4);
  return out;
}

/** Undefined for what is not whole, or of another format. */
export function decodeFilters(bytes: Buffer): RestoredFilters | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== FORMAT) return undefined;
  if (crc32(bytes.subarray(8)) !== bytes.readUInt32LE(4)) return undefined;
  const filters: BloomFilter[] = [];
  let at = HEADER_BYTES;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const [capacity, probes, count, length] = [0, 4, 8, 12].map((field) => bytes.readUInt32LE(at + field));
    at += FILTER_BYTES;
    const words = new Uint32Array(length!);
    at += bytes.copy(Buffer.from(words.buffer), 0, at, at + words.byteLength);
    filters.push(restoreBloom({ capacity: capacity!, probes: probes!, count: count!, words }));
  }
  return { run: bytes.readDoubleLE(8), filters };
}
