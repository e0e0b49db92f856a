/**
 * One RocksDB directory: a thin typed wrapper that the catalogue, the key store and the shard
 * store share. It owns the driver's surface and its errors, and nothing of what is stored.
 *
 * Invariants
 *  R1 A batch is written whole or not at all; with `sync` it is on disk when `write` returns.
 *  R2 A directory that another process (or another Rocks of this one) has open is
 *     DATA_DIR_IN_USE, naming the directory and the process.
 *  R3 Damage that RocksDB finds is STORE_CORRUPT, at open or at read; it is never read over.
 *  R4 A directory opened as `irreplaceable` that lost a synced write is STORE_CORRUPT at open,
 *     also where RocksDB takes the loss for the end of its log (written.ts).
 *  R5 What the disk refuses (full, an I/O error) is STORE_STOPPED and never taken for damage: what
 *     is there is whole, and is opened again once the disk has been seen to.
 *
 * Reads and writes are synchronous but for `getManyAsync`: a warm read takes about 2 µs, less
 * than a promise, and a write that is not synced never leaves memory and the page cache.
 */
import { mkdir } from "node:fs/promises";
import { RocksLevel, type ChainedBatch, type ColumnOptions, type RangeOptions } from "@nxtedition/rocksdb";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { forgetHolder, noteHolder, readHolder } from "./holder.ts";
import { openWritten, writtenPath, type Written } from "./written.ts";

export interface RocksOptions extends ColumnOptions {
  readonly parallelism?: number;
  readonly walCompression?: boolean;
}

export interface OpenRocksOptions extends RocksOptions {
  /** Nothing can make its content again (R4). */
  readonly irreplaceable?: boolean;
}

export interface Range {
  readonly gt?: Buffer;
  readonly gte?: Buffer;
  readonly lt?: Buffer;
  readonly lte?: Buffer;
}

export interface ScanOptions extends Range {
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly values?: boolean;
  /** Scans of cold data should not push warm blocks out of the cache. */
  readonly fillCache?: boolean;
}

export interface RocksBatch {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  readonly length: number;
  /** Writes and disposes of the batch. @throws STORE_CORRUPT, STORE_STOPPED */
  write(options: { readonly sync: boolean }): void;
  /** Disposes of a batch that will not be written. */
  discard(): void;
}

export interface Rocks {
  readonly dir: string;
  get(key: Buffer): Buffer | undefined;
  getMany(keys: readonly Buffer[]): readonly (Buffer | undefined)[];
  /** In the thread pool: for reads that may have to wait for the disk. */
  getManyAsync(keys: readonly Buffer[]): Promise<readonly (Buffer | undefined)[]>;
  batch(): RocksBatch;
  /** Pairs in key order, read in chunks; sees the store as it was when the scan began. */
  scan(options: ScanOptions): IterableIterator<readonly [key: Buffer, value: Buffer]>;
  /** One range tombstone, whatever the number of keys; not synced. Needs an upper bound. */
  deleteRange(range: { readonly gte: Buffer; readonly lt: Buffer }): Promise<void>;
  /** RocksDB's own properties, such as `rocksdb.estimate-num-keys`. */
  property(name: string): string;
  close(): Promise<void>;
}

const SPARE_BATCHES = 4;
const SCAN_CHUNK_ROWS = 1_000;
const BUFFERS = { valueEncoding: "buffer" } as const;
const NO_VALUE = Buffer.alloc(0);

export async function openRocks(dir: string, options: OpenRocksOptions = {}): Promise<Rocks> {
  const { irreplaceable = false, ...rocksOptions } = options;
  await mkdir(dir, { recursive: true });
  const db = new RocksLevel(dir, { keyEncoding: "buffer", valueEncoding: "buffer" });
  try {
    await db.open({ ...rocksOptions, createIfMissing: true });
  } catch (error) {
    throw openError(dir, error);
  }
  noteHolder(dir);
  if (!irreplaceable) return wrap(db, dir);
  const written = openWritten(dir);
  if (written.before > db.sequence) {
    const lost = `${dir} has lost writes that it had acknowledged: it ends at ${db.sequence}, and was at ${written.before}`;
    const instead = `Restore it from a copy; or, to go on without them, remove ${writtenPath(dir)}`;
    written.close();
    forgetHolder(dir);
    await db.close();
    throw new AdtallyError("STORE_CORRUPT", `${lost}. ${instead}`);
  }
  return wrap(db, dir, written);
}

function wrap(db: RocksLevel, dir: string, written?: Written): Rocks {
  let closed = false;
  // A native batch keeps its memory until V8 happens to collect its handle, which V8 sees no
  // reason to do: without reuse, 20,000 batches of 128 KiB held 2.5 GB.
  const spare: ChainedBatch[] = [];
  // The driver checks nothing on its synchronous ways: a read after close would crash the process.
  const assertOpen = () => {
    if (closed) throw new AdtallyError("STATE_IMPOSSIBLE", `${dir} was closed and is used again`);
  };
  const guarded = <T>(run: () => T): T => {
    assertOpen();
    try {
      return run();
    } catch (error) {
      throw driverError(dir, error);
    }
  };
  return {
    dir,
    get: (key) => guarded(() => db._getManySync([key], BUFFERS)[0]),
    getMany: (keys) => guarded(() => db._getManySync(keys, BUFFERS)),
    getManyAsync: async (keys) => {
      assertOpen();
      return db._getManyAsync(keys, BUFFERS).catch((error: unknown) => {
        throw driverError(dir, error);
      });
    },
    batch: () => {
      assertOpen();
      const batch = spare.pop() ?? db._chainedBatch();
      let over = false;
      // The native batch may be someone else's by now.
      const assertNotOver = () => {
        if (over) throw new AdtallyError("STATE_IMPOSSIBLE", `${dir}: a batch is used after its write`);
      };
      const putAway = () => {
        over = true;
        batch._clear();
        if (spare.length < SPARE_BATCHES) spare.push(batch);
      };
      return {
        put: (key, value) => {
          assertNotOver();
          batch._put(key, value);
        },
        del: (key) => {
          assertNotOver();
          batch._del(key);
        },
        get length() {
          return batch.length;
        },
        write: (writeOptions) => {
          assertNotOver();
          try {
            guarded(() => batch._writeSync(writeOptions));
            if (writeOptions.sync) written?.note(db.sequence);
          } finally {
            putAway();
          }
        },
        discard: () => {
          assertNotOver();
          putAway();
        },
      };
    },
    scan: (scanOptions) => {
      assertOpen();
      return scan(db, dir, scanOptions);
    },
    deleteRange: (range) =>
      new Promise((resolve, reject) => {
        assertOpen();
        db._clear(range, (error) => (error === null ? resolve() : reject(driverError(dir, error))));
      }),
    property: (name) => guarded(() => db.getProperty(name)),
    close: () => {
      if (!closed) {
        written?.close();
        forgetHolder(dir);
      }
      closed = true;
      return db.close();
    },
  };
}

function* scan(db: RocksLevel, dir: string, options: ScanOptions): Generator<readonly [Buffer, Buffer]> {
  const rangeOptions: RangeOptions = { ...options, keyEncoding: "buffer", valueEncoding: "buffer" };
  const iterator = db._iterator(rangeOptions);
  try {
    for (;;) {
      const { rows, finished } = iterator._nextvSync(SCAN_CHUNK_ROWS, {});
      for (let at = 0; at < rows.length; at += 2) yield [rows[at]!, rows[at + 1] ?? NO_VALUE];
      if (finished) return;
    }
  } catch (error) {
    throw driverError(dir, error);
  } finally {
    iterator._closeSync();
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return (error as Error & { code?: string }).code;
}

/** abstract-level wraps what the driver says in LEVEL_DATABASE_NOT_OPEN, with the cause inside. */
function openError(dir: string, error: unknown): AdtallyError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (codeOf(cause) === "LEVEL_LOCKED") {
    return new AdtallyError(
      "DATA_DIR_IN_USE",
      `${dir} is in use by ${readHolder(dir)}. Stop that one first, or give this one a folder of its own.`,
      { cause },
    );
  }
  if (isDiskError(cause)) return stopped(dir, cause);
  return new AdtallyError("STORE_CORRUPT", `${dir} cannot be opened: ${messageOf(cause)}`, { cause });
}

/** A file of the directory that is gone is damage, though RocksDB calls it an I/O error. */
function isDiskError(error: unknown): boolean {
  return codeOf(error) === "LEVEL_IO_ERROR" && !messageOf(error).includes("No such file");
}

function stopped(dir: string, cause: unknown): AdtallyError {
  const what = `${dir} stopped after the disk failed it (${messageOf(cause)})`;
  return new AdtallyError("STORE_STOPPED", `${what}; see to the disk, then start again`, { cause });
}

/** Damage and disk get their names; anything else is passed on as the driver said it. */
function driverError(dir: string, error: unknown): unknown {
  if (isDiskError(error)) return stopped(dir, error);
  return codeOf(error) === "LEVEL_CORRUPTION" || codeOf(error) === "LEVEL_IO_ERROR"
    ? new AdtallyError("STORE_CORRUPT", `${dir} is damaged: ${messageOf(error)}`, { cause: error })
    : error;
}
