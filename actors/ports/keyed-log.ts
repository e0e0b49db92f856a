/**
 * KeyedLog: one ordered log of keyed records, of which the newest of each key is kept for ever:
 * the truth of what every program holds whole (the catalogue, the API keys).
 *
 * It has one partition: a total order, so that "who came first" has one answer, and a number of
 * partitions that nobody can change under it. Ten million ads are about 3 GB.
 *
 * Contract (keyed-log.conformance.ts)
 *  E1 The records of a resolved append are on all replicas, in their order, nothing between them;
 *     it resolves with the offset behind the last.
 *  E2 Of one key's records the newest stays for ever; older ones may be gone (compaction). Those
 *     that stay keep their offsets and their order.
 *  E3 A rejected append with APPEND_UNKNOWN may or may not have been applied, whole or not at all.
 *     Any other rejection means: not applied.
 *  E4 `read` never invents or reorders, and skips nothing but what compaction took. A record that
 *     cannot be had is LOG_CORRUPT with its offset; all behind it can be read.
 *  E5 An offset below 0 or past the end is OFFSET_OUT_OF_RANGE: it is another log than the one
 *     that the offset came from.
 *
 * Whether a value is intact, and what it means, is for its reader to say (actors/replica).
 */
/** The compacted topics: the catalogue's ads, the API keys. */
export type KeyedTopic = "ads" | "keys";

export interface KeyedRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface StoredRecord extends KeyedRecord {
  readonly offset: number;
}

export interface KeyedRead {
  readonly records: readonly StoredRecord[];
  /** The offset to read from next. */
  readonly next: number;
  /** The offset that the next append will get, as far as this read knows. */
  readonly end: number;
}

export interface KeyedLog {
  /**
   * Appends all or nothing; at most `blockMaxBytes` at once.
   * @throws APPEND_UNKNOWN, LOG_UNAVAILABLE, OVERLOADED
   */
  append(records: readonly KeyedRecord[]): Promise<number>;
  /**
   * At least one record where there is one, until `maxBytes` is passed.
   * @throws OFFSET_OUT_OF_RANGE, LOG_CORRUPT, LOG_UNAVAILABLE
   */
  read(fromOffset: number, maxBytes: number): Promise<KeyedRead>;
  /** @throws LOG_UNAVAILABLE */
  end(): Promise<number>;
}
