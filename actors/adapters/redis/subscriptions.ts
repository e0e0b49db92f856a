/**
 * The channels that this program listens to, on a connection of their own (a connection that
 * subscribes can do nothing else).
 *
 *  S1 After each reconnect all channels are subscribed anew; `onListening` says when a channel's
 *     messages flow (again): what was said before is lost.
 *  S2 All channels are subscribed anew every `sharedStateRereadMs` too: that changes nothing for
 *     Redis, repairs a subscription that failed, and its answer shows that the connection lives.
 */
import type { Limits } from "../../core/limits.ts";
import { messageOf } from "../../core/errors.ts";
import type { Subscription } from "../../ports/bus.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Link } from "./link.ts";

export interface Listener {
  onMessage(message: Uint8Array): void;
  onListening?(): void;
}

export interface Subscriptions {
  add(channel: string, listener: Listener): Subscription;
  close(): void;
}

export interface SubscriptionsDeps {
  readonly link: Link;
  readonly limits: Pick<Limits, "sharedStateRereadMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createSubscriptions({ link, limits, clock, logger }: SubscriptionsDeps): Subscriptions {
  const listeners = new Map<string, Set<Listener>>();
  const listening = new Set<string>();
  let repeat: Timer | undefined;

  const call = (channel: string, run: () => void): void => {
    try {
      run();
    } catch (error) {
      logger.error({ channel, error: messageOf(error) }, "a subscriber threw");
    }
  };
  const subscribe = async (channels: readonly string[]): Promise<void> => {
    if (link.state !== "ready" || channels.length === 0) return;
    try {
      await link.client.subscribe(...channels);
    } catch (error) {
      logger.warn({ channels, error: messageOf(error) }, "subscribing at Redis failed; trying again");
      return;
    }
    for (const channel of channels) {
      if (listening.has(channel) || !listeners.has(channel)) continue;
      listening.add(channel);
      for (const listener of listeners.get(channel)!) call(channel, () => listener.onListening?.());
    }
  };
  const subscribeAll = (): void => void subscribe([...listeners.keys()]);

  link.client.on("messageBuffer", (name: Buffer, message: Buffer) => {
    const channel = name.toString();
    for (const listener of listeners.get(channel) ?? []) call(channel, () => listener.onMessage(message));
  });
  link.client.on("close", () => listening.clear());
  link.onReady(subscribeAll);

  const remove = (channel: string, listener: Listener): void => {
    const own = listeners.get(channel);
    if (own?.delete(listener) !== true || own.size > 0) return;
    listeners.delete(channel);
    listening.delete(channel);
    if (link.state === "ready") link.client.unsubscribe(channel).catch(() => undefined);
  };

  return {
    add(channel, listener) {
      const own = listeners.get(channel) ?? new Set();
      listeners.set(channel, own.add(listener));
      repeat ??= clock.every(limits.sharedStateRereadMs, subscribeAll);
      link.open();
      if (own.size === 1) void subscribe([channel]);
      return { close: () => remove(channel, listener) };
    },
    close() {
      repeat?.cancel();
      listeners.clear();
    },
  };
}
