/**
 * A run: the ids that a shard counted between two saves, of one time slice, as the store keeps
 * them. Ids are spread by hash over 2^bits buckets of about 64, one stored value a bucket:
 * one key a click would cost ten times the CPU (a RocksDB put is about 4 µs, an entry here
 * well under 0.1 µs), and a lookup still reads one small value a run.
 *
 * Entry, 24 bytes: id words big-endian (16), offset (5), row number (3).
 */
import { hash128 } from "../core/hash.ts";
import type { IdTable, LogPosition } from "./id-table.ts";

export const RUN_ENTRY_BYTES = 24;
const BUCKET_IDS = 64;
const MAX_BUCKET_BITS = 16;
const SEED = 0x5eedb0c7;

export interface RunHeader {
  readonly slice: number;
  /** Rises with each save of the shard. */
  readonly run: number;
  readonly bucketBits: number;
  readonly ids: number;
}

export interface Run extends RunHeader {
  /** 2^bucketBits values; an empty bucket is an empty buffer and is not stored. */
  readonly buckets: readonly Buffer[];
}

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

/** All ids of a table as runs, one a slice. */
export function buildRuns(table: IdTable, sliceOf: (w0: number, w1: number) => number, run: number): Run[] {
  const perSlice = new Map<number, number>();
  table.forEach((w0, w1) => {
    const slice = sliceOf(w0, w1);
    perSlice.set(slice, (perSlice.get(slice) ?? 0) + 1);
  });
  const layouts = new Map<number, { ids: number; bucketBits: number; sizes: Uint32Array }>();
  for (const [slice, ids] of perSlice) {
    const bucketBits = bucketBitsFor(ids);
    layouts.set(slice, { ids, bucketBits, sizes: new Uint32Array(1 << bucketBits) });
  }
  table.forEach((w0, w1, w2, w3) => {
    const layout = layouts.get(sliceOf(w0, w1))!;
    layout.sizes[bucketOf(w0, w1, w2, w3, layout.bucketBits)]! += RUN_ENTRY_BYTES;
  });
  const buckets = new Map<number, Buffer[]>();
  for (const [slice, layout] of layouts) {
    buckets.set(
      slice,
      Array.from(layout.sizes, (size) => Buffer.allocUnsafeSlow(size)),
    );
    layout.sizes.fill(0);
  }
  table.forEach((w0, w1, w2, w3, offset, row) => {
    const slice = sliceOf(w0, w1);
    const layout = layouts.get(slice)!;
    const bucket = bucketOf(w0, w1, w2, w3, layout.bucketBits);
    writeEntry(buckets.get(slice)![bucket]!, layout.sizes[bucket]!, w0, w1, w2, w3, offset, row);
    layout.sizes[bucket]! += RUN_ENTRY_BYTES;
  });
  return [...layouts].map(([slice, { ids, bucketBits }]) => ({
    slice,
    run,
    bucketBits,
    ids,
    buckets: buckets.get(slice)!,
  }));
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
