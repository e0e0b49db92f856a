/**
 * ShardStore on RocksDB, one directory a shard.
 *
 * Keys: a letter, then big-endian numbers, so that a slice or a minute is one range.
 *   m                              meta of the last save
 *   c sequence(6)                  one an earlier save: the chain that proves there is no hole
 *   r slice(6) run(6)              header of a run:    bucketBits(1) ids(4), its filter
 *   d slice(6) run(6) bucket(2)    bucket of a run:    entries of dedup/run.ts
 *   f slice(6)                     filters of a slice: dedup/stored-filters.ts
 *   n minute(6)                    header of a minute: lastChangeOffset(6) rows(4)
 *   w minute(6) chunk(4)           chunk of a minute:  rows of window-table.ts
 *
 * Values in table files carry RocksDB's own checksums, verified at each read. The write-ahead
 * log keeps a clean prefix on damage; the chain is there because "clean" is RocksDB's word:
 * each save holds its number and a CRC over itself and the one before.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { AdtallyError } from "../../core/errors.ts";
import type { BucketKey } from "../../dedup/dedup-index.ts";
import type { Run, RunHeader, RunName } from "../../dedup/run.ts";
import type { ShardMeta, ShardSave, ShardStore, ShardStores, StoredShard } from "../../ports/shard-store.ts";
import type { StoredMinute } from "../../window/window-set.ts";
import { openRocks, type Range, type Rocks, type RocksBatch } from "./rocks.ts";

/** Links kept: far more than fit into the write-ahead log between two flushes of it. */
const CHAIN_KEPT = 1_024;

interface StoredMeta {
  readonly format: 1;
  readonly sequence: number;
  /** CRC of the chain up to and with this save. */
  readonly chain: number;
  readonly meta: ShardMeta;
}

function key(letter: string, ...parts: readonly (readonly [value: number, bytes: number])[]): Buffer {
  const out = Buffer.allocUnsafe(1 + parts.reduce((sum, [, bytes]) => sum + bytes, 0));
  out.write(letter, 0, "latin1");
  let at = 1;
  for (const [value, bytes] of parts) at = out.writeUIntBE(value, at, bytes);
  return out;
}

const META = key("m");
const chainKey = (sequence: number) => key("c", [sequence, 6]);
const runKey = (slice: number, run: number) => key("r", [slice, 6], [run, 6]);
const bucketKey = (slice: number, run: number, bucket: number) => key("d", [slice, 6], [run, 6], [bucket, 2]);
const filtersKey = (slice: number) => key("f", [slice, 6]);
const minuteKey = (minute: number) => key("n", [minute, 6]);
const chunkKey = (minute: number, chunk: number) => key("w", [minute, 6], [chunk, 4]);
const all = (letter: string): Range => ({
  gte: key(letter),
  lt: key(String.fromCharCode(letter.charCodeAt(0) + 1)),
});
/** Everything of a letter whose first number is below `end`. */
const below = (letter: string, end: number) => ({ gte: key(letter), lt: key(letter, [end, 6]) });

/** Stores below `dir`, one directory a shard. */
export function rocksShardStores(dir: string): ShardStores {
  const dirOf = (shard: number) => join(dir, `shard-${shard}`);
  return {
    open: async (shard) => {
      const options = { cacheSize: 16 * 1024 * 1024, memtableMemoryBudget: 32 * 1024 * 1024 };
      return new RocksShardStore(await openRocks(dirOf(shard), options));
    },
    destroy: (shard) => rm(dirOf(shard), { recursive: true, force: true }),
  };
}

class RocksShardStore implements ShardStore {
  readonly #db: Rocks;
  #sequence = 0;
  #chain = 0;

  constructor(db: Rocks) {
    this.#db = db;
  }

  load(): StoredShard | undefined {
    const bytes = this.#db.get(META);
    if (bytes === undefined) {
      for (const [k] of this.#db.scan({ ...all("r"), limit: 1 }))
        throw this.#corrupt(`a rebuild was cut short in slice ${k.readUIntBE(1, 6)}`);
      return undefined;
    }
    const stored = this.#decodeMeta(bytes);
    this.#verifyChain(stored);
    this.#sequence = stored.sequence;
    this.#chain = stored.chain;
    const runs: RunHeader[] = [];
    for (const [k, v] of this.#db.scan({ ...all("r"), fillCache: false })) {
      const [slice, run] = [k.readUIntBE(1, 6), k.readUIntBE(7, 6)];
      // Earlier versions wrote no filter of a run: nothing intact, as its reader sees it.
      runs.push({ slice, run, bucketBits: v.readUInt8(0), ids: v.readUInt32LE(1), filter: v.subarray(5) });
    }
    const minutes: StoredMinute[] = [];
    for (const [k, v] of this.#db.scan(all("n"))) {
      // Earlier versions did not write how many rows a minute has: at least one.
      const rows = v.length > 6 ? v.readUInt32LE(6) : 1;
      minutes.push({ minute: k.readUIntBE(1, 6), lastChangeOffset: v.readUIntLE(0, 6), rows });
    }
    const filters = [...this.#db.scan({ ...all("f"), fillCache: false })].map(([k, v]) => ({
      slice: k.readUIntBE(1, 6),
      bytes: v,
    }));
    return { meta: stored.meta, runs, filters, minutes };
  }

  *scanRun({ slice, run }: RunName): Iterable<Buffer> {
    const range = { gte: bucketKey(slice, run, 0), lte: bucketKey(slice, run, 0xffff), fillCache: false };
    for (const [, value] of this.#db.scan(range)) yield value;
  }

  readBuckets(keys: readonly BucketKey[]): readonly (Buffer | undefined)[] {
    return this.#db.getMany(keys.map(({ slice, run, bucket }) => bucketKey(slice, run, bucket)));
  }

  readMinute(minute: number, fromChunk = 0, mostChunks = -1): readonly Buffer[] {
    const range = { gte: chunkKey(minute, fromChunk), lt: chunkKey(minute + 1, 0), limit: mostChunks };
    return [...this.#db.scan(range)].map(([, value]) => value);
  }

  saveIds(runs: readonly Run[]): void {
    const batch = this.#db.batch();
    this.#putRuns(batch, runs);
    batch.write({ sync: false });
  }

  save({ meta, runs, filters, minutes }: ShardSave): void {
    const batch = this.#db.batch();
    this.#putRuns(batch, runs);
    for (const { slice, bytes } of filters) batch.put(filtersKey(slice), bytes);
    for (const { minute, lastChangeOffset, rows, chunks } of minutes) {
      const header = Buffer.allocUnsafe(10);
      header.writeUIntLE(lastChangeOffset, 0, 6);
      header.writeUInt32LE(rows, 6);
      batch.put(minuteKey(minute), header);
      for (const { chunk, bytes } of chunks) batch.put(chunkKey(minute, chunk), bytes);
    }
    const sequence = this.#sequence + 1;
    const chain = linkOf(sequence, meta, this.#chain);
    const stored: StoredMeta = { format: 1, sequence, chain, meta };
    const link = Buffer.allocUnsafe(4);
    link.writeUInt32LE(chain);
    batch.put(chainKey(sequence), link);
    if (sequence > CHAIN_KEPT) batch.del(chainKey(sequence - CHAIN_KEPT));
    batch.put(META, Buffer.from(JSON.stringify(stored)));
    // Not synced: the log is the truth, and a lost tail of saves costs a longer replay.
    batch.write({ sync: false });
    this.#sequence = sequence;
    this.#chain = chain;
  }

  async drop(firstSlice: number, firstMinute: number): Promise<void> {
    if (firstSlice > 0) {
      await this.#db.deleteRange(below("d", firstSlice));
      await this.#db.deleteRange(below("r", firstSlice));
      await this.#db.deleteRange(below("f", firstSlice));
    }
    if (firstMinute > 0) {
      await this.#db.deleteRange(below("w", firstMinute));
      await this.#db.deleteRange(below("n", firstMinute));
    }
  }

  close(): Promise<void> {
    return this.#db.close();
  }

  #putRuns(batch: RocksBatch, runs: readonly Run[]): void {
    for (const { slice, run, bucketBits, ids, filter, buckets, replaces } of runs) {
      const header = Buffer.allocUnsafe(5);
      header.writeUInt8(bucketBits, 0);
      header.writeUInt32LE(ids, 1);
      batch.put(runKey(slice, run), Buffer.concat([header, filter]));
      buckets.forEach((bucket, index) => {
        if (bucket.length > 0) batch.put(bucketKey(slice, run, index), bucket);
      });
      for (const replaced of replaces) {
        batch.del(runKey(slice, replaced));
        // Key by key: a range would leave a tombstone that every look-up in its slice passes by.
        const range = { gte: bucketKey(slice, replaced, 0), lte: bucketKey(slice, replaced, 0xffff) };
        for (const [k] of this.#db.scan({ ...range, values: false, fillCache: false })) batch.del(k);
      }
    }
  }

  #decodeMeta(bytes: Buffer): StoredMeta {
    try {
      const stored = JSON.parse(bytes.toString()) as StoredMeta;
      if (stored.format === 1) return stored;
    } catch {
      // Told below, as any other damage.
    }
    throw this.#corrupt("its meta record does not parse");
  }

  /** Every link from the oldest kept to the last save is there, and the last one fits the meta. */
  #verifyChain({ sequence, chain, meta }: StoredMeta): void {
    let expected = Math.max(1, sequence - CHAIN_KEPT + 1);
    let previous = 0;
    let last = 0;
    for (const [k, v] of this.#db.scan(all("c"))) {
      const found = k.readUIntBE(1, 6);
      if (found !== expected) throw this.#corrupt(`save ${expected} of ${sequence} is missing`);
      previous = last;
      last = v.readUInt32LE(0);
      expected += 1;
    }
    if (expected !== sequence + 1) throw this.#corrupt(`save ${expected} of ${sequence} is missing`);
    const fits = last === chain && (sequence === 1 || linkOf(sequence, meta, previous) === chain);
    if (!fits) throw this.#corrupt(`save ${sequence} does not match its checksum`);
  }

  #corrupt(what: string): AdtallyError {
    return new AdtallyError("STORE_CORRUPT", `${this.#db.dir}: ${what}`);
  }
}

function linkOf(sequence: number, meta: ShardMeta, previous: number): number {
  return crc32(`${sequence} ${JSON.stringify(meta)}`, previous);
}
