/**
 * Owns: which ids a shard has counted, and at which log position. Called by the shard's
 * transition alone, from one thread.
 *
 * Layers: a Bloom filter a time slice, in memory, tells most new ids at once; the exact answer
 * is in the table of ids since the last save, or in the store's runs of that slice. Slices
 * are cut by the id's own timestamp (UUIDv7), so an id can only ever stand in one slice, and
 * expiry drops a slice whole.
 *
 * Invariants:
 *  D1 An id that was added is found until its slice is dropped: a Bloom filter never says no
 *     to an id that was added, and nothing is evicted.
 *  D2 The first position added for an id stays: adding it again changes nothing.
 *  D3 `take` and `saved` bracket a store write: between them the ids are found in memory,
 *     after it in the store.
 *  D4 A stored filter holds every id of the slice's runs up to the one that it names: those runs
 *     are not read at a start. Filters are stored again when they have grown by an eighth: some
 *     10 bytes an id are written for it, and at most an eighth of the ids is read.
 */
import { hash128 } from "../core/hash.ts";
import { invariant } from "../core/errors.ts";
import { createBloom, type BloomFilter } from "./bloom.ts";
import { IdTable, type LogPosition } from "./id-table.ts";
import { buildRuns, bucketOf, findInBucket, type Run, type RunHeader } from "./run.ts";
import { decodeFilters, encodeFilters, type StoredFilters } from "./stored-filters.ts";

/** Reads a shard's stored runs, synchronously: the store is in this process. @throws STORE_CORRUPT */
export interface RunReader {
  /** The buckets asked for, in order; undefined where a bucket is empty. */
  readBuckets(keys: readonly BucketKey[]): readonly (Buffer | undefined)[];
}

export interface BucketKey {
  readonly slice: number;
  readonly run: number;
  readonly bucket: number;
}

export interface DedupOptions {
  readonly sliceMs: number;
  readonly falsePositiveRate: number;
  /** Expected ids between two saves. */
  readonly runIds: number;
}

interface Slice {
  ids: number;
  /** Each new filter doubles the last one's capacity and halves its error: the sum stays under the rate. */
  readonly filters: BloomFilter[];
  readonly runs: RunHeader[];
  /** Ids that the stored filters hold, and the run that they reach to (D4). */
  storedIds: number;
  storedTo: number;
}

/** What a save adds to the store. */
export interface DedupSave {
  readonly runs: readonly Run[];
  /** Each in place of what was stored of its slice. */
  readonly filters: readonly StoredFilters[];
}

/** What the store has. */
export interface StoredDedup {
  readonly runs: readonly RunHeader[];
  readonly filters: readonly StoredFilters[];
}

const SEED_1 = 0x0b100f11;
const SEED_2 = 0x0b100f12;
const FIRST_FILTER_IDS = 4_096;
/** Of what is stored of a slice's filters, and of a run: less is not worth a write (D4). */
const FILTER_GROWTH = 1 / 8;
const LEAST_GROWTH_OF_RUN = 1 / 32;

export class DedupIndex {
  readonly #options: DedupOptions;
  readonly #reader: RunReader;
  readonly #slices = new Map<number, Slice>();
  readonly #recent: IdTable;
  #storeLookups = 0;

  constructor(options: DedupOptions, reader: RunReader) {
    this.#options = options;
    this.#reader = reader;
    this.#recent = new IdTable(Math.min(options.runIds, 16_384));
  }

  /** Ids added since the last save. */
  get unsavedIds(): number {
    return this.#recent.size;
  }

  get stats(): { ids: number; slices: number; bloomBytes: number; storeLookups: number } {
    let ids = 0;
    let bloomBytes = 0;
    for (const slice of this.#slices.values()) {
      ids += slice.ids;
      for (const filter of slice.filters) bloomBytes += filter.byteLength;
    }
    return { ids, slices: this.#slices.size, bloomBytes, storeLookups: this.#storeLookups };
  }

  /** The slice of an id, by the 48-bit millisecond timestamp in its first two words. */
  sliceOf(w0: number, w1: number): number {
    return Math.floor((w0 * 0x1_0000 + (w1 >>> 16)) / this.#options.sliceMs);
  }

  /** Position of the row that counted the id, or undefined: never counted (D1). */
  find(w0: number, w1: number, w2: number, w3: number): LogPosition | undefined {
    const sliceNumber = this.sliceOf(w0, w1);
    const slice = this.#slices.get(sliceNumber);
    if (slice === undefined) return undefined;
    const h1 = hash128(w0, w1, w2, w3, SEED_1);
    const h2 = hash128(w0, w1, w2, w3, SEED_2) | 1;
    let maybe = false;
    for (const filter of slice.filters) {
      if (filter.mayContain(h1, h2)) {
        maybe = true;
        break;
      }
    }
    if (!maybe) return undefined;
    const slot = this.#recent.find(w0, w1, w2, w3);
    if (slot >= 0) return this.#recent.positionAt(slot);
    return this.#findStored(sliceNumber, slice, w0, w1, w2, w3);
  }

  /** Records an id as counted. The caller has just found it absent (D2 holds in any case). */
  add(w0: number, w1: number, w2: number, w3: number, offset: number, row: number): void {
    if (!this.#recent.add(w0, w1, w2, w3, offset, row)) return;
    this.#addToFilter(this.#sliceFor(this.sliceOf(w0, w1)), w0, w1, w2, w3);
  }

  /** The ids since the last save as runs, for the store; they stay in memory until `saved`. */
  takeRuns(run: number): Run[] {
    return buildRuns(this.#recent, (w0, w1) => this.sliceOf(w0, w1), run);
  }

  /** The same, and the filters that have grown. */
  take(run: number): DedupSave {
    const filters: StoredFilters[] = [];
    const least = this.#options.runIds * LEAST_GROWTH_OF_RUN;
    for (const [number, slice] of this.#slices) {
      const grown = slice.ids - slice.storedIds;
      if (grown < Math.max(1, least, slice.storedIds * FILTER_GROWTH)) continue;
      filters.push({ slice: number, bytes: encodeFilters(run, slice.filters) });
    }
    return { runs: this.takeRuns(run), filters };
  }

  saved(runs: readonly RunHeader[], filters: readonly StoredFilters[]): void {
    for (const { slice, run, bucketBits, ids } of runs) {
      this.#sliceFor(slice).runs.push({ slice, run, bucketBits, ids });
    }
    for (const { slice: number } of filters) {
      const slice = this.#sliceFor(number);
      slice.storedIds = slice.ids;
    }
    this.#recent.clear();
  }

  /** Takes in what the store has, at recovery; `scan` reads a run's buckets. */
  restore({ runs, filters }: StoredDedup, scan: (header: RunHeader) => Iterable<Buffer>): void {
    for (const { slice, bytes } of filters) {
      const found = decodeFilters(bytes);
      if (found === undefined) continue;
      const ids = found.filters.reduce((sum, { count }) => sum + count, 0);
      this.#slices.set(slice, { ids, filters: found.filters, runs: [], storedIds: ids, storedTo: found.run });
    }
    const expected = new Map<number, number>();
    for (const { slice, ids } of runs) expected.set(slice, (expected.get(slice) ?? 0) + ids);
    for (const header of runs) {
      const slice = this.#sliceFor(header.slice, expected.get(header.slice));
      slice.runs.push(header);
      if (header.run > slice.storedTo) this.#restoreRun(slice, header, scan(header));
    }
  }

  #restoreRun(slice: Slice, header: RunHeader, buckets: Iterable<Buffer>): void {
    let ids = 0;
    for (const bucket of buckets) {
      for (let at = 0; at < bucket.length; at += 24) {
        ids += 1;
        this.#addToFilter(
          slice,
          bucket.readUInt32BE(at),
          bucket.readUInt32BE(at + 4),
          bucket.readUInt32BE(at + 8),
          bucket.readUInt32BE(at + 12),
        );
      }
    }
    invariant(
      ids === header.ids,
      `run ${header.run} of slice ${header.slice} holds ${ids} ids, not ${header.ids}`,
    );
  }

  /** Drops the slices that end at or before `timeMs`; returns the first slice kept. */
  dropBefore(timeMs: number): number {
    const first = Math.floor(timeMs / this.#options.sliceMs);
    for (const number of this.#slices.keys()) if (number < first) this.#slices.delete(number);
    return first;
  }

  #sliceFor(number: number, expectedIds = FIRST_FILTER_IDS): Slice {
    let slice = this.#slices.get(number);
    if (slice === undefined) {
      // The slice before tells the traffic: one well-sized filter is probed faster than several.
      const before = this.#slices.get(number - 1)?.ids ?? 0;
      const capacity = Math.max(FIRST_FILTER_IDS, expectedIds, Math.ceil(before * 1.1));
      const filters = [createBloom(capacity, this.#options.falsePositiveRate / 2)];
      slice = { ids: 0, filters, runs: [], storedIds: 0, storedTo: -1 };
      this.#slices.set(number, slice);
    }
    return slice;
  }

  #addToFilter(slice: Slice, w0: number, w1: number, w2: number, w3: number): void {
    let filter = slice.filters[slice.filters.length - 1]!;
    if (filter.count >= filter.capacity) {
      const rate = this.#options.falsePositiveRate / 2 ** (slice.filters.length + 1);
      filter = createBloom(filter.capacity * 2, rate);
      slice.filters.push(filter);
    }
    filter.add(hash128(w0, w1, w2, w3, SEED_1), hash128(w0, w1, w2, w3, SEED_2) | 1);
    slice.ids += 1;
  }

  #findStored(
    sliceNumber: number,
    slice: Slice,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
  ): LogPosition | undefined {
    if (slice.runs.length === 0) return undefined;
    this.#storeLookups += 1;
    const keys = slice.runs.map(({ run, bucketBits }) => ({
      slice: sliceNumber,
      run,
      bucket: bucketOf(w0, w1, w2, w3, bucketBits),
    }));
    for (const bucket of this.#reader.readBuckets(keys)) {
      const position = bucket && findInBucket(bucket, w0, w1, w2, w3);
      if (position !== undefined) return position;
    }
    return undefined;
  }
}
