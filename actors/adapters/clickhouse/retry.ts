/** One call to ClickHouse, tried again while that can help and its deadline lasts. */
import { AdtallyError } from "../../core/errors.ts";
import { sleep } from "../../runtime/clock.ts";
import { asSinkError, classifyError } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

const FIRST_MS = 50;
const LAST_MS = 2_000;

/** Wait before retry 1, 2, 3 …: doubling and capped, the upper half at random so that many clients do not come in step. */
export function retryWaitMs(retry: number, random: number): number {
  const full = Math.min(LAST_MS, FIRST_MS * 2 ** (retry - 1));
  return full / 2 + (full / 2) * random;
}

export interface RetryOptions extends Pick<ResolvedOptions, "deadlineMs" | "attempts" | "clock" | "random"> {
  /** What is asked, for the error's text. */
  readonly doing: string;
  /** True once the client is closed: nothing is tried again then. */
  readonly isClosed: () => boolean;
}

/** @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function withRetries<T>(
  { deadlineMs, attempts, clock, random, doing, isClosed }: RetryOptions,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const giveUpAt = clock.monotonic() + deadlineMs;
  const timer = clock.after(deadlineMs, () => controller.abort());
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(controller.signal);
      } catch (error) {
        if (controller.signal.aborted)
          throw new AdtallyError(
            "COUNT_SINK_UNAVAILABLE",
            `ClickHouse did not answer ${doing} within ${deadlineMs} ms`,
            { cause: error },
          );
        const failure = asSinkError(error, doing);
        if (tries >= attempts || isClosed() || classifyError(error) !== "soon") throw failure;
        const waitMs = retryWaitMs(tries, random(2).readUInt16LE() / 65_536);
        if (clock.monotonic() + waitMs >= giveUpAt) throw failure;
        await sleep(clock, waitMs);
      }
    }
  } finally {
    timer.cancel();
  }
}
