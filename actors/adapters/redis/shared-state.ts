/**
 * A SharedState on Redis: a hash of version and text, a channel that tells of its change.
 *
 *  D1 A text's version is given by its publisher before it is sent: above all that it knows, and
 *     its clock's milliseconds at the least. The store takes only a version above its own. So a
 *     publication that was held up, or sent again, never undoes a later one.
 *  D2 What is taken up, from whatever answer, has a version above what is held: an older text
 *     never follows a newer one.
 *  D3 A store that forgot (flushed, restarted empty, failed over to a replica that lagged) is
 *     given back its newest text, under its old version, by whoever holds it, publisher or
 *     watcher: no publisher needs to stay alive for that.
 *  D4 A notice only shortens the wait: the document is read again at each reconnect and every
 *     `sharedStateRereadMs` besides.
 *
 * After a loss of all of Redis a publisher that was started anew, and whose clock is behind that
 * of the last one, is not heard until its clock has passed the last version.
 */
import { messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Subscription } from "../../ports/bus.ts";
import type { SharedState } from "../../ports/shared-state.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { RedisConnection } from "./connection.ts";

export interface RedisSharedState extends SharedState {
  /** Ends the re-reading; the connection is its owner's. */
  close(): void;
}

export interface RedisSharedStateDeps {
  readonly redis: RedisConnection;
  readonly key: string;
  readonly limits: Pick<Limits, "sharedStateRereadMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Held {
  readonly version: number;
  readonly text: string;
}

interface Watcher {
  readonly onText: (text: string) => void;
  seen: number;
}

/** Answers 0 where it was taken, else the version that stands there. */
const PUT = `
local held = tonumber(redis.call('HGET', KEYS[1], 'version') or '0') or 0
if held >= tonumber(ARGV[1]) then return held end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'text', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 0`;

/** As PUT, where the version that stands is the one given (H4 of ports/shared-state.ts). */
const REPLACE = `
if (tonumber(redis.call('HGET', KEYS[1], 'version') or '0') or 0) ~= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'text', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1`;

const PUBLISH_ATTEMPTS = 5;

export function createRedisSharedState(deps: RedisSharedStateDeps): RedisSharedState {
  const { redis, key, limits, clock, logger } = deps;
  const at = `${redis.prefix}state:${key}`;
  const channel = `${at}:changed`;
  const watchers = new Set<Watcher>();
  const watching: Subscription[] = [];
  let held: Held = { version: 0, text: "" };
  let lastOffered = 0;
  let publishing: Promise<void> = Promise.resolve();
  let rereading: Timer | undefined;
  let isRefreshing = false;
  let isStale = false;
  let isClosed = false;

  const tell = (watcher: Watcher): void => {
    if (held.version <= watcher.seen || !watchers.has(watcher)) return;
    watcher.seen = held.version;
    try {
      watcher.onText(held.text);
    } catch (error) {
      logger.error({ key: at, error: messageOf(error) }, "a watcher of a shared document threw");
    }
  };
  const takeUp = (offered: Held): void => {
    if (offered.version <= held.version) return; // D2
    held = offered;
    for (const watcher of watchers) tell(watcher);
  };

  const put = async ({ version, text }: Held): Promise<number> =>
    Number(await redis.run(`writing ${at}`, (client) => client.eval(PUT, 1, at, version, text, channel)));

  const refresh = async (): Promise<void> => {
    const [version, text] = await redis.run(`reading ${at}`, (client) => client.hmget(at, "version", "text"));
    const stored = Number(version ?? 0);
    if (stored > held.version) takeUp({ version: stored, text: text ?? "" });
    else if (stored < held.version) {
      logger.warn({ key: at, stored, held: held.version }, "Redis lost a shared document: giving it back");
      await put(held).catch((error: unknown) =>
        logger.warn({ key: at, error: messageOf(error) }, "giving back a shared document failed"),
      );
    }
  };
  const refreshSoon = (): void => {
    if (isClosed) return;
    isStale = true;
    if (isRefreshing) return;
    isRefreshing = true;
    isStale = false;
    void refresh()
      // The connection itself says that it is lost; the next reading heals.
      .catch((error: unknown) => logger.debug({ key: at, error: messageOf(error) }, "reading again failed"))
      .finally(() => {
        isRefreshing = false;
        if (isStale) refreshSoon();
      });
  };
  /** From the first watcher or publication on. */
  const keepCurrent = (): void => {
    if (isClosed || rereading !== undefined) return;
    rereading = clock.every(limits.sharedStateRereadMs, refreshSoon);
    const onMessage = (message: Uint8Array): void => {
      if (Number(message.toString()) > held.version) refreshSoon();
    };
    watching.push(redis.onReady(refreshSoon), redis.listen(channel, { onMessage, onListening: refreshSoon }));
  };

  const publish = async (text: string): Promise<void> => {
    for (let attempt = 1; attempt <= PUBLISH_ATTEMPTS; attempt += 1) {
      lastOffered = Math.max(clock.now(), held.version + 1, lastOffered + 1); // D1
      const offered: Held = { version: lastOffered, text };
      const stands = await put(offered);
      if (stands === 0) return takeUp(offered);
      lastOffered = Math.max(lastOffered, stands);
    }
    await redis.run(`writing ${at}`, () => Promise.reject(new Error("others publish at the same time")));
  };

  const replace = async (current: string | undefined, text: string): Promise<boolean> => {
    await refresh();
    const { version } = held;
    if ((version === 0 ? undefined : held.text) !== current) return false;
    lastOffered = Math.max(clock.now(), version + 1, lastOffered + 1); // D1
    const offered: Held = { version: lastOffered, text };
    const taken = await redis.run(`replacing ${at}`, (client) =>
      client.eval(REPLACE, 1, at, offered.version, text, channel, version),
    );
    if (Number(taken) !== 1) return false;
    takeUp(offered);
    return true;
  };

  /** One after the other: the last one called is the one that stays. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    keepCurrent();
    const own = publishing.then(work);
    publishing = own.then(
      () => undefined,
      () => undefined,
    );
    return own;
  };

  return {
    async read() {
      await refresh();
      return held.version === 0 ? undefined : held.text;
    },

    publish: (text) => inTurn(() => publish(text)),
    replace: (current, text) => inTurn(() => replace(current, text)),

    watch(onText) {
      const watcher: Watcher = { onText, seen: 0 };
      watchers.add(watcher);
      keepCurrent();
      queueMicrotask(() => tell(watcher));
      refreshSoon();
      return { close: () => void watchers.delete(watcher) };
    },

    close() {
      isClosed = true;
      rereading?.cancel();
      for (const each of watching) each.close();
      watchers.clear();
    },
  };
}
