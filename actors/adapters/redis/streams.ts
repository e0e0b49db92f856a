/** Reads capped streams of Redis from a time on, side by side, each behind what was read last. */
import type { Limits } from "../../core/limits.ts";
import type { Subscription } from "../../ports/bus.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { RedisConnection } from "./connection.ts";

export interface StreamsDeps {
  readonly redis: Pick<RedisConnection, "isReady" | "run">;
  readonly limits: Pick<Limits, "busHistoryPollMs">;
  readonly clock: Pick<Clock, "every">;
}

/** Of each stream, in one read. */
const READ_MESSAGES = 16;

export function followStreams(
  { redis, limits, clock }: StreamsDeps,
  keys: () => readonly string[],
  sinceMs: number,
  onMessage: (message: Uint8Array) => void,
): Subscription {
  const readTo = new Map<string, string>();
  const beginning = `${Math.max(0, Math.floor(sinceMs))}-0`;
  let isReading = false;
  let isClosed = false;

  /** Whether some stream may have more. */
  async function read(): Promise<boolean> {
    const all = keys();
    if (all.length === 0) return false;
    const from = all.map((key) => readTo.get(key) ?? beginning);
    const found = await redis.run("reading histories", (client) =>
      client.xreadBuffer("COUNT", READ_MESSAGES, "STREAMS", ...all, ...from),
    );
    let hasMore = false;
    for (const [key, entries] of found ?? []) {
      hasMore ||= entries.length === READ_MESSAGES;
      for (const [id, fields] of entries) {
        if (isClosed) return false;
        readTo.set(key.toString(), id.toString());
        if (fields[1] !== undefined) onMessage(fields[1]);
      }
    }
    return hasMore;
  }

  async function readOn(): Promise<void> {
    if (isReading || isClosed || !redis.isReady) return;
    isReading = true;
    try {
      while (!isClosed && (await read()));
    } catch {
      // The next turn reads on from the same place.
    } finally {
      isReading = false;
    }
  }

  const timer = clock.every(limits.busHistoryPollMs, () => void readOn());
  void readOn();
  return {
    close() {
      isClosed = true;
      timer.cancel();
    },
  };
}
