/**
 * When a shard's former owner may let it go. While its next owner gets ready (opens its store, or
 * makes it again from the log), the former one goes on serving: two owners at once cost time, not
 * correctness, and no click waits. The next owner's first block, under its higher epoch, tells the
 * former one that it is no longer needed; they need no other word between them.
 *
 *   serving ──block of a higher epoch───────────────► "succeeded"
 *           ──no block for shardHandOverQuietMs─────► "quiet"   (nobody clicks, nobody waits)
 *           ──shardHandOverMs are over──────────────► "late"    (the next owner cannot, or is not there)
 *           ──signal─────────────────────────────────► "withdrawn"
 *
 * Called by the shard host. It reads the log for itself, so that the shard is not held up.
 */
import { isAdtallyError } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { ClickLog } from "../ports/click-log.ts";
import { sleep, type Clock } from "../runtime/clock.ts";

const READ_BYTES = 4 * 1024 * 1024;

export interface SuccessionDeps {
  readonly clicks: Pick<ClickLog, "read">;
  readonly limits: Pick<Limits, "shardHandOverMs" | "shardHandOverLookMs" | "shardHandOverQuietMs">;
  readonly clock: Clock;
}

export interface Held {
  readonly shard: number;
  readonly epoch: number;
  /** Behind the last block that its owner has folded. */
  readonly nextOffset: number;
}

export type Succession = "succeeded" | "quiet" | "late" | "withdrawn";

export async function untilSucceeded(
  { clicks, clock, limits }: SuccessionDeps,
  { epoch, nextOffset, shard }: Held,
  signal: AbortSignal,
): Promise<Succession> {
  const giveUpAtMs = clock.monotonic() + limits.shardHandOverMs;
  let offset = nextOffset;
  let heardAtMs = clock.monotonic();
  while (!signal.aborted) {
    try {
      const records = await clicks.read(shard, offset, READ_BYTES);
      if (records.some(({ header }) => header.epoch > epoch)) return "succeeded";
      if (records.length > 0) heardAtMs = clock.monotonic();
      offset = (records.at(-1)?.offset ?? offset - 1) + 1;
    } catch (error) {
      // What cannot be read says nothing: not that it is quiet, either.
      heardAtMs = clock.monotonic();
      if (isAdtallyError(error, "LOG_CORRUPT") && error.offset === offset) offset += 1;
    }
    const nowMs = clock.monotonic();
    if (nowMs >= giveUpAtMs) return "late";
    if (nowMs - heardAtMs >= limits.shardHandOverQuietMs) return "quiet";
    await sleep(clock, limits.shardHandOverLookMs);
  }
  return "withdrawn";
}
