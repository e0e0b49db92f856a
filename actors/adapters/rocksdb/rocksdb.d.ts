/** The part of @nxtedition/rocksdb that rocks.ts uses; the package ships no types. */
declare module "@nxtedition/rocksdb" {
  export interface ColumnOptions {
    readonly cacheSize?: number;
    readonly cacheIndexAndFilterBlocks?: boolean;
    readonly memtableMemoryBudget?: number;
    readonly compaction?: "level" | "universal";
    readonly compression?: boolean;
    readonly optimize?: "point-lookup";
    readonly blockSize?: number;
  }

  export interface OpenOptions extends ColumnOptions {
    readonly createIfMissing?: boolean;
    readonly parallelism?: number;
    readonly walCompression?: boolean;
  }

  export interface RangeOptions {
    readonly gt?: Buffer;
    readonly gte?: Buffer;
    readonly lt?: Buffer;
    readonly lte?: Buffer;
    readonly reverse?: boolean;
    readonly limit?: number;
    readonly keys?: boolean;
    readonly values?: boolean;
    readonly highWaterMarkBytes?: number;
    readonly fillCache?: boolean;
    readonly keyEncoding?: "buffer";
    readonly valueEncoding?: "buffer";
  }

  export interface Rows {
    /** key, value, key, value … */
    readonly rows: readonly (Buffer | undefined)[];
    readonly finished: boolean;
  }

  export interface ReadOptions {
    readonly valueEncoding: "buffer";
    readonly fillCache?: boolean;
  }

  export interface ChainedBatch {
    _put(key: Buffer, value: Buffer): void;
    _del(key: Buffer): void;
    _writeSync(options: { readonly sync: boolean }): void;
    /** Empties the batch for its next use; its native memory stays. */
    _clear(): void;
    readonly length: number;
  }

  export interface NativeIterator {
    _nextvSync(size: number, options: object): Rows;
    _closeSync(): void;
  }

  export class RocksLevel {
    constructor(location: string, options: { keyEncoding: "buffer"; valueEncoding: "buffer" });
    open(options: OpenOptions): Promise<void>;
    close(): Promise<void>;
    /** Number of the newest write. */
    readonly sequence: number;
    _chainedBatch(): ChainedBatch;
    _getManySync(keys: readonly Buffer[], options: ReadOptions): (Buffer | undefined)[];
    _getManyAsync(keys: readonly Buffer[], options: ReadOptions): Promise<(Buffer | undefined)[]>;
    _iterator(options: RangeOptions): NativeIterator;
    _clear(
      options: Pick<RangeOptions, "gt" | "gte" | "lt" | "lte">,
      callback: (error: Error | null) => void,
    ): void;
    getProperty(name: string): string;
  }
}
