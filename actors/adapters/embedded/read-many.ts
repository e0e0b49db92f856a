/**
 * Reads of many partitions at once, for journal.ts: what memory has of the newest records, and in
 * front of it what only files have, one pass over a segment for all partitions together.
 *
 * It goes on until it has all, or `maxBytes`. One that stopped where memory begins would never
 * catch up under load: what memory has let go is little each time, and what a reader is behind by
 * stays, so that ClickHouse got four small inserts a second in place of one large one.
 */
import type { LogRecord } from "../../block/block.ts";
import type { LogKey } from "./frame.ts";
import type { Wanted } from "./segment-reader.ts";

export interface ManyByKey {
  readonly records: ReadonlyMap<LogKey, readonly LogRecord[]>;
  readonly isAll: boolean;
}

export interface ManySource {
  /** Offset behind the newest record. */
  next(key: LogKey): number;
  /** Newest records from `from` on; none where memory does not hold that one. */
  fromMemory(key: LogKey, from: number, maxBytes: number): readonly LogRecord[];
  /** From one segment, the oldest that holds any of these; none where retention has just taken it. */
  fromFiles(
    due: readonly Pick<Wanted, "key" | "from">[],
    maxBytes: number,
  ): Promise<ReadonlyMap<LogKey, readonly LogRecord[]>>;
}

interface Read {
  readonly key: LogKey;
  due: number;
  bytes: number;
  readonly records: LogRecord[];
}

function take(read: Read, records: readonly LogRecord[]): void {
  for (const record of records) {
    read.records.push(record);
    read.bytes += record.value.length;
  }
  read.due += records.length;
}

/** `from`: offsets that are there, or the next ones. */
export async function readMany(
  source: ManySource,
  from: ReadonlyMap<LogKey, number>,
  maxBytes: number,
): Promise<ManyByKey> {
  const share = Math.ceil(maxBytes / from.size);
  const reads = [...from].map(([key, due]): Read => ({ key, due, bytes: 0, records: [] }));
  for (let pass = 1; ; pass++) {
    const onFiles: Read[] = [];
    let isAll = true;
    let bytes = 0;
    for (const read of reads) {
      const before = read.due;
      if (read.bytes < share) take(read, source.fromMemory(read.key, read.due, share - read.bytes));
      if (read.due < source.next(read.key)) isAll = false;
      if (read.due === before && read.due < source.next(read.key) && read.bytes < share) onFiles.push(read);
      bytes += read.bytes;
    }
    // What is on files alone gets its turn, however much memory brings.
    const found =
      onFiles.length > 0 && (bytes < maxBytes || pass === 1)
        ? await source.fromFiles(
            onFiles.map(({ key, due }) => ({ key, from: due })),
            Math.max(share, maxBytes - bytes),
          )
        : undefined;
    for (const read of onFiles) take(read, found?.get(read.key) ?? []);
    if (![...(found?.values() ?? [])].some((records) => records.length > 0)) {
      const brought = reads.filter(({ records }) => records.length > 0);
      return { records: new Map(brought.map(({ key, records }) => [key, records])), isAll };
    }
  }
}
