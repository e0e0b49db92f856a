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
 *     10 bytes an id are written for it, and at most an eighth of the ids is read, beside those of
 *     small runs that were merged since.
 *  D5 A look-up reads the run that has the id, and of the others those whose own filter errs. So
 *     that there are few of them to ask, a save takes small runs of its slices into its own
 *     (merge.ts), up to an eighth of the ids that fill a run; in one write, so that before and
 *     after it the store has the same ids at the same positions.
 */
import { invariant } from "../core/errors.ts";
import { createBloom, firstHash, secondHash, type BloomFilter } from "./bloom.ts";
import { IdTable, type LogPosition } from "./id-table.ts";
import { runsToMerge } from "./merge.ts";
import {
  buildRuns,
  bucketOf,
  findInBucket,
  forEachEntry,
  RUN_ENTRY_BYTES,
  type Merge,
  type Run,
  type RunHeader,
  type RunName,
} from "./run.ts";
import { decodeFilters, encodeFilters, type StoredFilters } from "./stored-filters.ts";

/** Reads a shard's stored runs, synchronously: the store is in this process. @throws STORE_CORRUPT */
export interface RunReader {
  /** The buckets asked for, in order; undefined where a bucket is empty. */
  readBuckets(keys: readonly BucketKey[]): readonly (Buffer | undefined)[];
  /** All non-empty buckets of a run. */
  scanRun(run: RunName): Iterable<Buffer>;
}

export interface BucketKey extends RunName {
  readonly bucket: number;
}

export interface DedupOptions {
  readonly sliceMs: number;
  readonly falsePositiveRate: number;
  /** Expected ids between two saves. */
  readonly runIds: number;
}

interface StoredRun extends Omit<RunHeader, "filter"> {
  /** Undefined where what was stored of it is not intact: then the run is always read (D5). */
  readonly filter: BloomFilter | undefined;
}

interface Slice {
  ids: number;
  /** Each new filter doubles the last one's capacity and errs less: the sum stays under the rate. */
  readonly filters: BloomFilter[];
  runs: StoredRun[];
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

const FIRST_FILTER_IDS = 4_096;
/** Of what is stored of a slice's filters, and of a run: less is not worth a write (D4). */
const FILTER_GROWTH = 1 / 8;
const LEAST_GROWTH_OF_RUN = 1 / 32;
/** Of a run's ids: what a save reads and writes again at the most, some milliseconds (D5). */
const MERGED_OF_RUN = 1 / 8;

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
      for (const { filter } of slice.runs) bloomBytes += filter?.byteLength ?? 0;
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
    const h1 = firstHash(w0, w1, w2, w3);
    const h2 = secondHash(w0, w1, w2, w3);
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
    const keys: BucketKey[] = [];
    for (const { run, bucketBits, filter } of slice.runs) {
      if (filter !== undefined && !filter.mayContain(h1, h2)) continue;
      keys.push({ slice: sliceNumber, run, bucket: bucketOf(w0, w1, w2, w3, bucketBits) });
    }
    return keys.length === 0 ? undefined : this.#findStored(keys, w0, w1, w2, w3);
  }

  /** Records an id as counted. The caller has just found it absent (D2 holds in any case). */
  add(w0: number, w1: number, w2: number, w3: number, offset: number, row: number): void {
    if (!this.#recent.add(w0, w1, w2, w3, offset, row)) return;
    this.#addToFilter(this.#sliceFor(this.sliceOf(w0, w1)), w0, w1, w2, w3);
  }

  /**
   * The ids since the last save as runs, for the store, with some of its small ones (D5); they stay
   * in memory until `saved`. @throws STORE_CORRUPT
   */
  takeRuns(run: number): Run[] {
    const sliceOf = (w0: number, w1: number) => this.sliceOf(w0, w1);
    return buildRuns(this.#recent, sliceOf, run, (perSlice) => this.#merges(perSlice));
  }

  #merges(perSlice: ReadonlyMap<number, number>): ReadonlyMap<number, Merge> {
    const merges = new Map<number, Merge>();
    let left = Math.floor(this.#options.runIds * MERGED_OF_RUN);
    for (const [number, added] of perSlice) {
      const chosen = runsToMerge(this.#slices.get(number)?.runs ?? [], added, left);
      if (chosen.length === 0) continue;
      const buckets = chosen.flatMap((run) => checked(run, [...this.#reader.scanRun(run)]));
      merges.set(number, { runs: chosen.map(({ run }) => run), buckets });
      left -= chosen.reduce((sum, { ids }) => sum + ids, 0);
    }
    return merges;
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

  saved(runs: readonly Run[], filters: readonly StoredFilters[]): void {
    for (const run of runs) {
      const slice = this.#sliceFor(run.slice);
      const kept = slice.runs.filter((each) => !run.replaces.includes(each.run));
      slice.runs = [...kept, storedRun(run)];
    }
    for (const { slice: number } of filters) {
      const slice = this.#sliceFor(number);
      slice.storedIds = slice.ids;
    }
    this.#recent.clear();
  }

  /** Takes in what the store has, at recovery. @throws STORE_CORRUPT */
  restore({ runs, filters }: StoredDedup): void {
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
      slice.runs.push(storedRun(header));
      if (header.run > slice.storedTo) this.#restoreRun(slice, header);
    }
    for (const [slice, ids] of expected) this.#slices.get(slice)!.ids = ids;
  }

  #restoreRun(slice: Slice, header: RunHeader): void {
    forEachEntry(checked(header, [...this.#reader.scanRun(header)]), (w0, w1, w2, w3) => {
      // A run that replaced others holds ids that the filters hold already: they need no room again.
      const [h1, h2] = [firstHash(w0, w1, w2, w3), secondHash(w0, w1, w2, w3)];
      if (!slice.filters.some((filter) => filter.mayContain(h1, h2)))
        this.#addToFilter(slice, w0, w1, w2, w3);
    });
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
      // 1/2 + 1/6 + 1/12 + … = 1; halves would do too, and cost a fifth more memory at the tenth filter.
      const nth = slice.filters.length + 1;
      const rate = this.#options.falsePositiveRate / (nth * (nth + 1));
      filter = createBloom(filter.capacity * 2, rate);
      slice.filters.push(filter);
    }
    filter.add(firstHash(w0, w1, w2, w3), secondHash(w0, w1, w2, w3));
    slice.ids += 1;
  }

  #findStored(
    keys: readonly BucketKey[],
    w0: number,
    w1: number,
    w2: number,
    w3: number,
  ): LogPosition | undefined {
    this.#storeLookups += 1;
    for (const bucket of this.#reader.readBuckets(keys)) {
      const position = bucket && findInBucket(bucket, w0, w1, w2, w3);
      if (position !== undefined) return position;
    }
    return undefined;
  }
}

function storedRun({ slice, run, bucketBits, ids, filter }: RunHeader): StoredRun {
  return { slice, run, bucketBits, ids, filter: decodeFilters(filter)?.filters[0] };
}

function checked({ slice, run, ids }: Omit<RunHeader, "filter">, buckets: Buffer[]): Buffer[] {
  const found = buckets.reduce((sum, { length }) => sum + length, 0) / RUN_ENTRY_BYTES;
  invariant(found === ids, `run ${run} of slice ${slice} holds ${found} ids, not ${ids}`);
  return buckets;
}
