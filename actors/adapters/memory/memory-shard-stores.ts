/** ShardStores in memory, for tests and the simulator: what was saved outlives a closed store. */
import { AdtallyError } from "../../core/errors.ts";
import type { BucketKey } from "../../dedup/dedup-index.ts";
import type { Run, RunName } from "../../dedup/run.ts";
import type { StoredFilters } from "../../dedup/stored-filters.ts";
import type { ShardMeta, ShardSave, ShardStore, ShardStores, StoredShard } from "../../ports/shard-store.ts";

interface Saved {
  meta: ShardMeta | undefined;
  readonly runs: Map<string, Run>;
  readonly filters: Map<number, StoredFilters>;
  readonly minutes: Map<number, { lastChangeOffset: number; rows: number; chunks: Map<number, Buffer> }>;
}

export function memoryShardStores(): ShardStores {
  const disks = new Map<number, Saved>();
  return {
    open: (shard) => {
      let disk = disks.get(shard);
      if (disk === undefined) {
        disk = { meta: undefined, runs: new Map(), filters: new Map(), minutes: new Map() };
        disks.set(shard, disk);
      }
      return Promise.resolve(new MemoryShardStore(disk));
    },
    destroy: (shard) => {
      disks.delete(shard);
      return Promise.resolve();
    },
  };
}

class MemoryShardStore implements ShardStore {
  readonly #disk: Saved;

  constructor(disk: Saved) {
    this.#disk = disk;
  }

  load(): StoredShard | undefined {
    const { meta, runs, filters, minutes } = this.#disk;
    if (meta === undefined) {
      if (runs.size === 0) return undefined;
      throw new AdtallyError("STORE_CORRUPT", "memory store: a rebuild was cut short");
    }
    return {
      meta,
      filters: [...filters.values()],
      runs: [...runs.values()].map(({ slice, run, bucketBits, ids, filter }) => ({
        slice,
        run,
        bucketBits,
        ids,
        filter,
      })),
      minutes: [...minutes].map(([minute, { lastChangeOffset, rows }]) => ({
        minute,
        lastChangeOffset,
        rows,
      })),
    };
  }

  scanRun({ slice, run }: RunName): Iterable<Buffer> {
    return this.#disk.runs.get(`${slice}/${run}`)?.buckets.filter((bucket) => bucket.length > 0) ?? [];
  }

  readBuckets(keys: readonly BucketKey[]): readonly (Buffer | undefined)[] {
    return keys.map(({ slice, run, bucket }) => this.#disk.runs.get(`${slice}/${run}`)?.buckets[bucket]);
  }

  readMinute(minute: number, fromChunk = 0, mostChunks = Infinity): readonly Buffer[] {
    const chunks = this.#disk.minutes.get(minute)?.chunks ?? new Map<number, Buffer>();
    const wanted = [...chunks].filter(([chunk]) => chunk >= fromChunk).sort(([a], [b]) => a - b);
    return wanted.slice(0, mostChunks).map(([, bytes]) => bytes);
  }

  saveIds(runs: readonly Run[]): void {
    for (const run of runs) {
      this.#disk.runs.set(`${run.slice}/${run.run}`, run);
      for (const replaced of run.replaces) this.#disk.runs.delete(`${run.slice}/${replaced}`);
    }
  }

  save({ meta, runs, filters, minutes }: ShardSave): void {
    this.#disk.meta = meta;
    this.saveIds(runs);
    for (const each of filters) this.#disk.filters.set(each.slice, each);
    for (const { minute, lastChangeOffset, rows, chunks } of minutes) {
      const stored = this.#disk.minutes.get(minute) ?? {
        lastChangeOffset,
        rows,
        chunks: new Map<number, Buffer>(),
      };
      stored.lastChangeOffset = lastChangeOffset;
      stored.rows = rows;
      for (const { chunk, bytes } of chunks) stored.chunks.set(chunk, bytes);
      this.#disk.minutes.set(minute, stored);
    }
  }

  drop(firstSlice: number, firstMinute: number): Promise<void> {
    for (const [key, { slice }] of this.#disk.runs) if (slice < firstSlice) this.#disk.runs.delete(key);
    for (const slice of this.#disk.filters.keys()) if (slice < firstSlice) this.#disk.filters.delete(slice);
    for (const minute of this.#disk.minutes.keys())
      if (minute < firstMinute) this.#disk.minutes.delete(minute);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
