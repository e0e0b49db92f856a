/**
 * A program's way to Redis: one connection for commands, one that listens. Made once by the
 * program, shared by its bus and its shared documents.
 *
 *  R1 Nothing waits for Redis longer than `redisDeadlineMs`, the connection's making included.
 *  R2 Making it never fails and never waits: a program starts, and lives, without Redis.
 *  R3 A command that was told as failed is not sent afterwards.
 */
import type { Redis } from "ioredis";
import { isAdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Subscription } from "../../ports/bus.ts";
import type { Clock } from "../../runtime/clock.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import type { Logger } from "../../runtime/log.ts";
import { parseRedisConfig, type RedisConfig } from "./config.ts";
import { createLink, type LinkState } from "./link.ts";
import { createSubscriptions, type Listener } from "./subscriptions.ts";

export interface RedisHealth {
  readonly address: string;
  readonly commands: LinkState;
  /** "idle" where nothing was ever subscribed. */
  readonly subscriber: LinkState;
  readonly lastError: string | undefined;
}

export interface RedisConnection {
  /** Stands before every key and channel. */
  readonly prefix: string;
  readonly health: RedisHealth;
  /** Whether a command sent now goes out at once. */
  readonly isReady: boolean;
  /** Sends one command that may be lost, and may be executed after its deadline. @throws SHARED_STATE_UNAVAILABLE */
  run<T>(what: string, command: (client: Redis) => Promise<T>): Promise<T>;
  /** Called each time that commands can be sent (again). */
  onReady(run: () => void): Subscription;
  listen(channel: string, listener: Listener): Subscription;
  close(): Promise<void>;
}

export interface RedisConnectionDeps {
  readonly config: RedisConfig;
  readonly limits: Pick<
    Limits,
    "redisDeadlineMs" | "reconnectMinMs" | "reconnectMaxMs" | "sharedStateRereadMs"
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** @throws CONFIG_INVALID */
export function createRedisConnection(deps: RedisConnectionDeps): RedisConnection {
  const { limits, clock, logger } = deps;
  const place = parseRedisConfig(deps.config);
  const commands = createLink({ place, role: "commands", limits, clock, logger });
  const subscriber = createLink({ place, role: "subscriber", limits, clock, logger });
  const subscriptions = createSubscriptions({ link: subscriber, limits, clock, logger });
  const ready = new Set<{ readonly run: () => void }>();
  commands.onReady(() => {
    for (const { run } of ready) run();
  });
  commands.open();

  return {
    prefix: place.prefix,
    get health() {
      return {
        address: place.address,
        commands: commands.state,
        subscriber: subscriber.state,
        lastError: commands.lastError ?? subscriber.lastError,
      };
    },
    get isReady() {
      return commands.state === "ready";
    },

    async run(what, command) {
      const giveUpAt = clock.monotonic() + limits.redisDeadlineMs;
      const work = async () => {
        await commands.ready();
        if (clock.monotonic() >= giveUpAt) throw commands.unavailable(`${what} came too late`);
        return command(commands.client);
      };
      try {
        return await withDeadline(clock, limits.redisDeadlineMs, what, work());
      } catch (error) {
        if (isAdtallyError(error, "SHARED_STATE_UNAVAILABLE")) throw error;
        throw commands.unavailable(`${what} failed: ${messageOf(error)}`, error);
      }
    },

    onReady(run) {
      const own = { run };
      ready.add(own);
      return { close: () => void ready.delete(own) };
    },
    listen: (channel, listener) => subscriptions.add(channel, listener),

    async close() {
      subscriptions.close();
      await Promise.all([commands.close(), subscriber.close()]);
    },
  };
}
