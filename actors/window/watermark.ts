/**
 * The watermark of a shard: event time up to which its windows are final, barring clicks that
 * the pipeline itself held back (those reopen a window and raise its version).
 *
 * It stands `allowedLatenessMs` behind the shard's newest event time, and moves on with the
 * clock while nothing comes, so that the last minute of a quiet ad becomes final as well.
 */
export interface WatermarkInput {
  readonly watermarkMs: number;
  /** Newest click time folded so far; -1 for none. */
  readonly eventTimeMs: number;
  readonly nowMs: number;
  /** Nothing waits in the mailbox or is being appended. */
  readonly idle: boolean;
  readonly allowedLatenessMs: number;
  /** How long a click may be under way between a gateway and its shard when nothing is wrong. */
  readonly transitMs: number;
}

export function advanceWatermark(input: WatermarkInput): number {
  const byEvents = input.eventTimeMs - input.allowedLatenessMs;
  const byClock = input.idle ? input.nowMs - input.allowedLatenessMs - input.transitMs : -1;
  return Math.max(input.watermarkMs, byEvents, byClock);
}
