/**
 * The Bus on Redis: its publish and subscribe for messages, expiring numbers for counters, a capped
 * stream for each channel's history.
 *
 * Histories are read by position, in turns of `busHistoryPollMs`, not by blocking: whatever became of
 * the connection, the next read goes on behind the last.
 *
 * A count is the one command here that is not idempotent: it is sent once, and never again (N1
 * of link.ts), so that it may be lost but not doubled (U3 of ports/bus.ts).
 */
import { Buffer } from "node:buffer";
import type { Limits } from "../../core/limits.ts";
import type { Bus, Subscription } from "../../ports/bus.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { RedisConnection } from "./connection.ts";
import { followStreams } from "./streams.ts";

export interface RedisBusDeps {
  readonly redis: RedisConnection;
  readonly limits: Pick<Limits, "busPendingMaxBytes" | "busHistoryMaxMessages" | "busHistoryPollMs">;
  readonly clock: Pick<Clock, "every">;
}

/** The time to live is set with the first increment alone, in the same step. */
const COUNT = `
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum`;

/** A history that nobody adds to is forgotten. */
const APPEND = `
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;
const HISTORY_TTL_MS = 600_000;

/** What a command takes beside its payload, in the connection's buffer and in ioredis. */
const COMMAND_BYTES = 256;

/** Closing the bus leaves the connection to its owner. */
export function createRedisBus({ redis, limits, clock }: RedisBusDeps): Bus {
  const channelOf = (channel: string) => `${redis.prefix}bus:${channel}`;
  const streamOf = (channel: string) => `${redis.prefix}history:${channel}`;
  const subscriptions = new Set<Subscription>();
  let pendingBytes = 0;
  let dropped = 0;
  let isClosed = false;

  /** Undefined, and one more dropped, where Redis cannot take it now (U2 of ports/bus.ts). */
  const offer = async <T>(bytes: number, send: () => Promise<T>): Promise<T | undefined> => {
    const size = bytes + COMMAND_BYTES;
    if (isClosed || !redis.isReady || pendingBytes + size > limits.busPendingMaxBytes) {
      dropped += 1;
      return undefined;
    }
    pendingBytes += size;
    try {
      return await send();
    } catch {
      dropped += 1;
      return undefined;
    } finally {
      pendingBytes -= size;
    }
  };

  const track = (close: () => void): Subscription => {
    const subscription: Subscription = {
      close() {
        close();
        subscriptions.delete(subscription);
      },
    };
    subscriptions.add(subscription);
    return subscription;
  };

  return {
    publish(channel, message) {
      const bytes = Buffer.from(message);
      const to = channelOf(channel);
      void offer(bytes.length, () => redis.run("publishing", (client) => client.publish(to, bytes)));
    },

    subscribe(channel, onMessage) {
      const listening = redis.listen(channelOf(channel), { onMessage });
      return track(() => listening.close());
    },

    isHistoryShared: true,

    async append(channel, message) {
      const { busHistoryMaxMessages: most } = limits;
      const bytes = Buffer.from(message);
      const added = await offer(bytes.length, () =>
        redis.run("appending to a history", (client) =>
          client.eval(APPEND, 1, streamOf(channel), most, HISTORY_TTL_MS, bytes),
        ),
      );
      return added !== undefined;
    },

    async newest(channel) {
      if (isClosed || !redis.isReady) return undefined;
      try {
        const entries = await redis.run("reading a history's end", (client) =>
          client.xrevrangeBuffer(streamOf(channel), "+", "-", "COUNT", 1),
        );
        return entries[0]?.[1][1] ?? null;
      } catch {
        return undefined;
      }
    },

    follow(channels, sinceMs, onMessage) {
      const following = followStreams(
        { redis, limits, clock },
        () => channels().map(streamOf),
        sinceMs,
        onMessage,
      );
      return track(() => following.close());
    },

    async count(key, by, ttlMs) {
      const at = `${redis.prefix}count:${key}`;
      const sum = await offer(at.length, () =>
        redis.run("counting", (client) => client.eval(COUNT, 1, at, by, ttlMs)),
      );
      return typeof sum === "number" ? sum : undefined;
    },

    get dropped() {
      return dropped;
    },

    async close() {
      isClosed = true;
      for (const subscription of subscriptions) subscription.close();
    },
  };
}
