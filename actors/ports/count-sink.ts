/**
 * CountSink: where absolute, versioned counts go, for queries.
 *
 * Contract (count-sink.conformance.ts):
 *  S1 Any row may be sent twice, late or out of order: the highest version of
 *     (ad, minute, shard) is what a query sees.
 *  S2 A resolved call is visible to queries.
 *  S3 A checkpoint is written only after the counts it covers.
 *  S4 Windows are read back byte for byte as their newest version was written.
 */
export interface CountRow {
  readonly advertiserId: bigint;
  readonly campaignId: bigint;
  readonly adId: bigint;
  /** Minutes since 1970. */
  readonly minute: number;
  readonly shard: number;
  readonly clicks: number;
  readonly invalid: number;
  readonly duplicates: number;
  /** Offset of the last block folded into these counts. */
  readonly version: number;
}

export interface Checkpoint {
  readonly shard: number;
  readonly epoch: number;
  /** Offset of the last block that the sink's counts cover; -1 for none. */
  readonly offset: number;
  /** Windows that end at or before this are final (ms). */
  readonly watermarkMs: number;
}

/** Counts as RowBinary of COUNT_COLUMNS, so that a flush makes no object a window. */
export interface EncodedCounts {
  readonly rowCount: number;
  readonly bytes: Buffer;
}

/** Order and types of an encoded count row: 8+8+8+4+2+4+4+4+8 = 50 bytes. */
export const COUNT_COLUMNS: readonly (readonly [name: string, type: string])[] = [
  ["advertiser_id", "UInt64"],
  ["campaign_id", "UInt64"],
  ["ad_id", "UInt64"],
  ["minute", "DateTime('UTC')"],
  ["shard", "UInt16"],
  ["clicks", "UInt32"],
  ["invalid", "UInt32"],
  ["duplicates", "UInt32"],
  ["version", "UInt64"],
];
export const COUNT_ROW_BYTES = 50;

export interface CountSink {
  /** @throws COUNT_SINK_UNAVAILABLE (retry the same rows), COUNT_SINK_REJECTED */
  writeCounts(counts: EncodedCounts): Promise<void>;
  /** @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
  writeCheckpoints(checkpoints: readonly Checkpoint[]): Promise<void>;
  /** Newest checkpoint of each shard. @throws COUNT_SINK_UNAVAILABLE */
  readCheckpoints(): Promise<readonly Checkpoint[]>;
  /**
   * The newest version of each window of that shard from `fromMinute` (minutes since 1970) on, in
   * any order: what a shard whose store is lost begins with. @throws COUNT_SINK_UNAVAILABLE
   */
  readWindows(shard: number, fromMinute: number): Promise<EncodedCounts>;
}
