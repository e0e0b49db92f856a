/**
 * The Bus of one process: messages by function call, counters in memory.
 *
 *  - A message is copied, queued and delivered after the publisher's own turn, so that a
 *    subscriber that publishes cannot come to itself before it is done.
 *  - The queue is bounded by `busPendingMaxBytes`; past it messages are dropped and counted.
 *  - A channel's history is in memory too, and told by the same queue.
 *  - Counters that ran out are removed whenever their number has doubled.
 */
import { messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Bus } from "../../ports/bus.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";

export interface LocalBusDeps {
  readonly clock: Clock;
  readonly limits: Pick<Limits, "busPendingMaxBytes" | "busHistoryMaxMessages">;
  readonly logger: Logger;
}

type OnMessage = (message: Uint8Array) => void;

/** What a message takes beside its payload. */
const MESSAGE_BYTES = 128;
const SWEEP_AT_LEAST = 1_024;

export function createLocalBus({ clock, limits, logger }: LocalBusDeps): Bus {
  const subscribers = new Map<string, Set<{ readonly onMessage: OnMessage }>>();
  const histories = new Map<string, { readonly atMs: number; readonly message: Uint8Array }[]>();
  const followers = new Set<{ readonly channels: () => readonly string[]; readonly onMessage: OnMessage }>();
  const counters = new Map<string, { sum: number; readonly untilMs: number }>();
  let queue: { readonly channel: string; readonly message: Uint8Array }[] = [];
  let pendingBytes = 0;
  let dropped = 0;
  let sweepAt = SWEEP_AT_LEAST;
  let isClosed = false;

  const deliver = (): void => {
    const due = queue;
    queue = [];
    pendingBytes = 0;
    for (const { channel, message } of due) {
      for (const { onMessage } of [...(subscribers.get(channel) ?? [])]) {
        try {
          onMessage(message);
        } catch (error) {
          logger.error({ channel, error: messageOf(error) }, "a subscriber threw");
        }
      }
    }
  };
  const sweep = (): void => {
    for (const [key, { untilMs }] of counters) if (untilMs <= clock.monotonic()) counters.delete(key);
    sweepAt = Math.max(SWEEP_AT_LEAST, 2 * counters.size);
  };

  const tell = (channel: string, onMessage: OnMessage, message: Uint8Array): void => {
    try {
      onMessage(message);
    } catch (error) {
      logger.error({ channel, error: messageOf(error) }, "a follower threw");
    }
  };

  return {
    isHistoryShared: false,

    async append(channel, message) {
      if (isClosed) return false;
      const kept = Uint8Array.from(message);
      const history = histories.get(channel) ?? [];
      histories.set(channel, history);
      history.push({ atMs: clock.now(), message: kept });
      if (history.length > limits.busHistoryMaxMessages) history.shift();
      queueMicrotask(() => {
        for (const { channels, onMessage } of [...followers])
          if (channels().includes(channel)) tell(channel, onMessage, kept);
      });
      return true;
    },

    async newest(channel) {
      return histories.get(channel)?.at(-1)?.message ?? null;
    },

    follow(channels, sinceMs, onMessage) {
      const own = { channels, onMessage };
      const past = channels().flatMap((channel) =>
        (histories.get(channel) ?? [])
          .filter(({ atMs }) => atMs >= sinceMs)
          .map(({ message }) => ({ channel, message })),
      );
      followers.add(own);
      queueMicrotask(() => {
        for (const { channel, message } of past) if (followers.has(own)) tell(channel, onMessage, message);
      });
      return { close: () => void followers.delete(own) };
    },

    publish(channel, message) {
      const size = message.length + MESSAGE_BYTES;
      if (isClosed || pendingBytes + size > limits.busPendingMaxBytes) {
        dropped += 1;
        return;
      }
      if (!subscribers.has(channel)) return;
      pendingBytes += size;
      if (queue.push({ channel, message: Uint8Array.from(message) }) === 1) queueMicrotask(deliver);
    },

    subscribe(channel, onMessage) {
      const own = { onMessage };
      const all = subscribers.get(channel) ?? new Set();
      subscribers.set(channel, all.add(own));
      return {
        close() {
          all.delete(own);
          if (all.size === 0 && subscribers.get(channel) === all) subscribers.delete(channel);
        },
      };
    },

    async count(key, by, ttlMs) {
      if (isClosed) return undefined;
      if (counters.size >= sweepAt) sweep();
      const now = clock.monotonic();
      const known = counters.get(key);
      const counter = known !== undefined && known.untilMs > now ? known : { sum: 0, untilMs: now + ttlMs };
      counter.sum += by;
      counters.set(key, counter);
      return counter.sum;
    },

    get dropped() {
      return dropped;
    },

    async close() {
      isClosed = true;
      subscribers.clear();
      followers.clear();
      histories.clear();
      counters.clear();
    },
  };
}
