/**
 * A run: the ids that a shard counted between two saves, of one time slice, as the store keeps
 * them. Ids are spread by hash over 2^bits buckets of about 64, one stored value a bucket:
 * one key a click would cost ten times the CPU (a RocksDB put is about 4 µs, an entry here
 * well under 0.1 µs), and a lookup still reads one small value a run; of which runs, a run's
 * own filter tells.
 *
 *  N1 A run may hold the ids of older runs of its slice beside its own (merge.ts): it replaces
 *     them in the write that stores it, so an id stands in one run, at the position it always had.
 *
 * Entry, 24 bytes: id words big-endian (16), offset (5), row number (3).
 */
import { hash128 } from "../core/hash.ts";
import { createBloom, firstHash, secondHash, type BloomFilter } from "./bloom.ts";
import type { IdTable, LogPosition } from "./id-table.ts";
import { encodeFilters } from "./stored-filters.ts";

export const RUN_ENTRY_BYTES = 24;
const BUCKET_IDS = 64;
const MAX_BUCKET_BITS = 16;
const SEED = 0x5eedb0c7;
/** 0.8 bytes an id of memory, for one run in 20 read in vain. */
const RUN_FALSE_POSITIVE_RATE = 0.05;

export interface RunName {
  readonly slice: number;
  /** Rises with each save of the shard. */
  readonly run: number;
}

export interface RunHeader extends RunName {
  readonly bucketBits: number;
  readonly ids: number;
  /** Of the run's ids alone (stored-filters.ts); where it is not intact, the run is always read. */
  readonly filter: Buffer;
}

export interface Run extends RunHeader {
  /** 2^bucketBits values; an empty bucket is an empty buffer and is not stored. */
  readonly buckets: readonly Buffer[];
  /** Runs of the slice whose ids this one holds too (N1). */
  readonly replaces: readonly number[];
}

/** Older runs of a slice that go into a new one. */
export interface Merge {
  readonly runs: readonly number[];
  readonly buckets: readonly Buffer[];
}

export const NO_MERGE: Merge = { runs: [], buckets: [] };

export function bucketOf(w0: number, w1: number, w2: number, w3: number, bucketBits: number): number {
  return bucketBits === 0 ? 0 : hash128(w0, w1, w2, w3, SEED) >>> (32 - bucketBits);
}

export function bucketBitsFor(ids: number): number {
  return Math.min(MAX_BUCKET_BITS, Math.max(0, Math.ceil(Math.log2(ids / BUCKET_IDS))));
}

function writeEntry(
  into: Buffer,
  at: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  offset: number,
  row: number,
): void {
  into.writeUInt32BE(w0, at);
  into.writeUInt32BE(w1, at + 4);
  into.writeUInt32BE(w2, at + 8);
  into.writeUInt32BE(w3, at + 12);
  into.writeUIntBE(offset, at + 16, 5);
  into.writeUIntBE(row, at + 21, 3);
}

interface Layout {
  readonly ids: number;
  readonly bucketBits: number;
  readonly sizes: Uint32Array;
  readonly filter: BloomFilter;
  readonly merge: Merge;
}

/** All ids of a table as runs, one a slice, each with what `mergeFor` gives of older ones (N1). */
export function buildRuns(
  table: IdTable,
  sliceOf: (w0: number, w1: number) => number,
  run: number,
  mergeFor: (perSlice: ReadonlyMap<number, number>) => ReadonlyMap<number, Merge> = () => new Map(),
): Run[] {
  const perSlice = new Map<number, number>();
  table.forEach((w0, w1) => {
    const slice = sliceOf(w0, w1);
    perSlice.set(slice, (perSlice.get(slice) ?? 0) + 1);
  });
  const merges = mergeFor(perSlice);
  const layouts = new Map<number, Layout>();
  for (const [slice, added] of perSlice) {
    const merge = merges.get(slice) ?? NO_MERGE;
    const ids = merge.buckets.reduce((sum, { length }) => sum + length / RUN_ENTRY_BYTES, added);
    const bucketBits = bucketBitsFor(ids);
    const sizes = new Uint32Array(1 << bucketBits);
    const filter = createBloom(ids, RUN_FALSE_POSITIVE_RATE);
    const layout = { ids, bucketBits, sizes, filter, merge };
    layouts.set(slice, layout);
    forEachEntry(merge.buckets, (w0, w1, w2, w3) => countEntry(layout, w0, w1, w2, w3));
  }
  table.forEach((w0, w1, w2, w3) => countEntry(layouts.get(sliceOf(w0, w1))!, w0, w1, w2, w3));
  const buckets = new Map<number, Buffer[]>();
  for (const [slice, { bucketBits, merge, sizes }] of layouts) {
    const into = Array.from(sizes, (size) => Buffer.allocUnsafeSlow(size));
    buckets.set(slice, into);
    sizes.fill(0);
    forEachEntry(merge.buckets, (w0, w1, w2, w3, entry, at) => {
      const bucket = bucketOf(w0, w1, w2, w3, bucketBits);
      sizes[bucket]! += entry.copy(into[bucket]!, sizes[bucket]!, at, at + RUN_ENTRY_BYTES);
    });
  }
  table.forEach((w0, w1, w2, w3, offset, row) => {
    const slice = sliceOf(w0, w1);
    const layout = layouts.get(slice)!;
    const bucket = bucketOf(w0, w1, w2, w3, layout.bucketBits);
    writeEntry(buckets.get(slice)![bucket]!, layout.sizes[bucket]!, w0, w1, w2, w3, offset, row);
    layout.sizes[bucket]! += RUN_ENTRY_BYTES;
  });
  return [...layouts].map(([slice, { ids, bucketBits, filter, merge }]) => ({
    slice,
    run,
    bucketBits,
    ids,
    filter: encodeFilters(run, [filter]),
    buckets: buckets.get(slice)!,
    replaces: merge.runs,
  }));
}

function countEntry(layout: Layout, w0: number, w1: number, w2: number, w3: number): void {
  layout.sizes[bucketOf(w0, w1, w2, w3, layout.bucketBits)]! += RUN_ENTRY_BYTES;
  layout.filter.add(firstHash(w0, w1, w2, w3), secondHash(w0, w1, w2, w3));
}

/** The ids of stored buckets, and where each one's entry stands. */
export function forEachEntry(
  buckets: Iterable<Buffer>,
  visit: (w0: number, w1: number, w2: number, w3: number, bucket: Buffer, at: number) => void,
): void {
  for (const bucket of buckets) {
    for (let at = 0; at < bucket.length; at += RUN_ENTRY_BYTES) {
      const [w0, w1] = [bucket.readUInt32BE(at), bucket.readUInt32BE(at + 4)];
      visit(w0, w1, bucket.readUInt32BE(at + 8), bucket.readUInt32BE(at + 12), bucket, at);
    }
  }
}

/** Looks an id up in one bucket's value. */
export function findInBucket(
  bucket: Buffer,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): LogPosition | undefined {
  for (let at = 0; at + RUN_ENTRY_BYTES <= bucket.length; at += RUN_ENTRY_BYTES) {
    if (
      bucket.readUInt32BE(at + 12) === w3 &&
      bucket.readUInt32BE(at + 8) === w2 &&
      bucket.readUInt32BE(at + 4) === w1 &&
      bucket.readUInt32BE(at) === w0
    ) {
      return { offset: bucket.readUIntBE(at + 16, 5), row: bucket.readUIntBE(at + 21, 3) };
    }
  }
  return undefined;
}
