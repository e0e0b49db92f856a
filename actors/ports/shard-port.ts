/**
 * ShardPort: how a gateway hands clicks to the shard that decides on them, whether the shard
 * lives in this process or behind gRPC. One conformance suite serves both.
 *
 * Contract (shard-port.conformance.ts):
 *  P1 A resolved submission is durable in the click log; its outcomes are those of the log.
 *  P2 Outcomes stand in the order of the rows.
 *  P3 A rejection with OVERLOADED, NOT_OWNER or SHARD_HALTED means that nothing was taken.
 *  P4 A rejection with DEADLINE_EXCEEDED or ABORTED leaves the outcome open: submitting the
 *     same rows again is safe (duplicates are found by id).
 *  P5 Memory is bounded: past the mailbox, submissions are refused at once.
 */
export interface Submission {
  readonly shard: number;
  /** Rows as block/row.ts lays them out, verdict UNDECIDED or preset by the gateway (EXPIRED). */
  readonly rows: Buffer;
  readonly count: number;
  /**
   * Aborted once the caller has put the rows elsewhere (the spill): what was not handed on yet
   * may be dropped. Only a saving: rows that count here all the same are found to be repeats there.
   */
  readonly signal?: AbortSignal;
}

export interface SubmissionResult {
  /** Offset of the block that holds these rows; undefined where they are DEFERRED. */
  readonly offset: number | undefined;
  /** Two bytes a row: verdict, reason. */
  readonly outcomes: Uint8Array;
}

export interface ShardPort {
  /** @throws OVERLOADED (with retryAfterMs), NOT_OWNER, SHARD_HALTED, DEADLINE_EXCEEDED, ABORTED */
  submit(submission: Submission): Promise<SubmissionResult>;
}
