/**
 * ClickLog: partitioned, append-only, durable; the truth of everything counted.
 *
 * Contract (held by click-log.conformance.ts for every adapter):
 *  L1 A resolved append is on disk (or on all replicas) and is read back unchanged for ever,
 *     up to retention.
 *  L2 Offsets of one partition are 0, 1, 2 … without a hole, in append order.
 *  L3 A rejected append with APPEND_UNKNOWN may or may not have been applied; the caller reads
 *     from the offset it expected to find out. Any other rejection means: not applied.
 *  L4 `read` never invents, skips or reorders; a damaged record is LOG_CORRUPT naming where.
 *  L5 An offset before the earliest kept, or past the end, is OFFSET_OUT_OF_RANGE, never a jump.
 *  L6 A restart, or a torn write at the tail, loses no resolved append.
 */
import type { Block, LogRecord } from "../block/block.ts";

/** The topics that carry blocks: clicks with their verdicts, clicks without, and those that did not count. */
export type ClickTopic = "clicks" | "clicks-spill" | "clicks-dead-letter";

export interface LogBounds {
  /** First offset still kept. */
  readonly earliest: number;
  /** Offset that the next append will get. */
  readonly next: number;
}

/** What `readMany` found. */
export interface ManyRecords {
  /** By partition; one that is absent brought nothing this time. */
  readonly records: ReadonlyMap<number, readonly LogRecord[]>;
  /** Whether that is all that there was. */
  readonly isAll: boolean;
}

export interface ClickLog {
  /**
   * Appends one block and resolves with its offset once it is durable.
   * @throws APPEND_UNKNOWN, LOG_UNAVAILABLE, OVERLOADED; LOG_STOPPED where no retry can help
   */
  append(partition: number, block: Block): Promise<number>;

  /**
   * Records from `fromOffset` on, at least one where there is one, until `maxBytes` is passed;
   * empty at the end of the partition.
   * @throws OFFSET_OUT_OF_RANGE, LOG_CORRUPT, LOG_UNAVAILABLE, LOG_STOPPED
   */
  read(partition: number, fromOffset: number, maxBytes: number): Promise<readonly LogRecord[]>;

  /**
   * `read` of many partitions at once, each from its own offset: where all of them lie together,
   * reading one by one would walk over everything once a partition. At least one record where
   * there is one; which partitions it is of, and how it stops at `maxBytes`, is the log's affair.
   * @throws as `read`, where that holds for any of them: reading one by one tells which
   */
  readMany?(from: ReadonlyMap<number, number>, maxBytes: number): Promise<ManyRecords>;

  /** @throws LOG_UNAVAILABLE, LOG_STOPPED */
  bounds(partition: number): Promise<LogBounds>;
}
