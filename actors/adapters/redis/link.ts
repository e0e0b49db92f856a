/**
 * One TCP connection to Redis, kept up by ioredis: opened when first needed, opened again with
 * backoff whenever it breaks, until it is closed.
 *
 *  N1 Nothing is ever sent twice: no offline queue, no resending after a reconnect. A command
 *     whose connection broke is rejected at once; its caller decides.
 *  N2 ioredis' deadline of a command leaves the connection as it is: a half-open one would fail
 *     each command for ever. `socketTimeout` breaks a connection that is silent after a command.
 *  N3 ioredis' own resubscription is not awaited by anything: one failure of it ends the program
 *     as an unhandled rejection. subscriptions.ts subscribes.
 *  N4 A connection that cannot even be tried (a certificate that is none) makes ioredis stop for
 *     good: it is started again here.
 *  N5 After a failover by name the old primary, now a replica, refuses writes: the connection is
 *     given up, and the name asked again.
 *  N6 RESP2: what adtally sends needs no more, and all servers speak it without negotiation.
 */
import { Redis } from "ioredis";
import type { Limits } from "../../core/limits.ts";
import { AdtallyError } from "../../core/errors.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import type { Logger } from "../../runtime/log.ts";
import { withTlsFault } from "../tls/faults.ts";
import type { RedisPlace } from "./config.ts";

export type LinkState = "idle" | "connecting" | "ready" | "lost" | "closed";

export interface Link {
  readonly client: Redis;
  readonly state: LinkState;
  readonly lastError: string | undefined;
  /** Begins to connect, where that has not begun. */
  open(): void;
  /** Called each time that the connection begins to serve. */
  onReady(run: () => void): void;
  /** Waits for the attempt that is under way, not for the next one. @throws SHARED_STATE_UNAVAILABLE */
  ready(): Promise<void>;
  unavailable(why: string, cause?: unknown): AdtallyError;
  close(): Promise<void>;
}

export interface LinkDeps {
  readonly place: RedisPlace;
  readonly role: "commands" | "subscriber";
  readonly limits: Pick<Limits, "redisDeadlineMs" | "reconnectMinMs" | "reconnectMaxMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const DISCONNECT_MS = 500;
const LOADING_RETRY_MS = 500;

/** Wait before attempt 1, 2, 3 …: doubling, capped, and the upper half of it at random. */
export function reconnectDelayMs(
  attempt: number,
  random: number,
  { reconnectMinMs, reconnectMaxMs }: Pick<Limits, "reconnectMinMs" | "reconnectMaxMs">,
): number {
  const whole = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** (attempt - 1));
  return whole * (0.5 + random / 2);
}

export function createLink({ place, role, limits, clock, logger }: LinkDeps): Link {
  const { address } = place;
  const client = new Redis({
    host: place.host,
    port: place.port,
    db: place.database,
    ...(place.username !== undefined && { username: place.username }),
    ...(place.password !== undefined && { password: place.password }),
    ...(place.tls !== undefined && { tls: place.tls }),
    connectionName: `adtally-${role}`,
    disableClientInfo: true,
    protocol: 2,
    lazyConnect: true,
    connectTimeout: limits.redisDeadlineMs,
    commandTimeout: limits.redisDeadlineMs,
    socketTimeout: 2 * limits.redisDeadlineMs,
    disconnectTimeout: DISCONNECT_MS,
    maxLoadingRetryTime: LOADING_RETRY_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => reconnectDelayMs(attempt, Math.random(), limits),
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  });

  const onReady: (() => void)[] = [];
  let waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  let lastError: string | undefined;
  let isClosed = false;
  let isToldLost = false;
  let failedStarts = 0;
  let restart: Timer | undefined;

  const unavailable = (why: string, cause?: unknown): AdtallyError =>
    new AdtallyError("SHARED_STATE_UNAVAILABLE", `Redis at ${address}: ${why}`, { cause });

  const open = (): void => {
    // Its failure comes as the events below.
    if (!isClosed && (client.status === "wait" || client.status === "end"))
      client.connect().catch(() => undefined);
  };
  const onLost = (): void => {
    lastError ??= "the connection was closed by the other side";
    for (const { reject } of waiting.splice(0)) reject(unavailable(lastError));
    if (isClosed || isToldLost) return;
    isToldLost = true;
    logger.warn({ address, role, error: lastError }, "no connection to Redis; trying again and again");
  };

  client.on("error", (error: NodeJS.ErrnoException) => {
    // Node's error of several addresses that all refuse has a code and no message.
    lastError = withTlsFault(error.message || error.code || "unknown error", error, "redis");
  });
  client.on("ready", () => {
    lastError = undefined;
    isToldLost = false;
    failedStarts = 0;
    logger.info({ address, role }, "connected to Redis");
    const waited = waiting;
    waiting = [];
    for (const { resolve } of waited) resolve();
    for (const run of onReady) run();
  });
  client.on("close", onLost);
  client.on("end", () => {
    onLost();
    if (isClosed) return;
    failedStarts += 1;
    restart = clock.after(reconnectDelayMs(failedStarts, Math.random(), limits), open); // N4
  });

  return {
    client,
    get state() {
      if (isClosed) return "closed";
      if (client.status === "ready") return "ready";
      if (client.status === "wait") return "idle";
      return isToldLost ? "lost" : "connecting";
    },
    get lastError() {
      return lastError;
    },
    open,
    onReady: (run) => void onReady.push(run),

    async ready() {
      if (client.status === "ready") return;
      if (isClosed) throw unavailable("the connection was closed by this program");
      open();
      if (client.status !== "connecting" && client.status !== "connect") {
        throw unavailable(`no connection: ${lastError ?? "it was just lost"}`);
      }
      await new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }));
    },

    unavailable,

    async close() {
      if (isClosed) return;
      isClosed = true;
      restart?.cancel();
      for (const { reject } of waiting.splice(0)) reject(unavailable("closed by this program"));
      const isOpen = ["connecting", "connect", "ready"].includes(client.status);
      const ended = new Promise<void>((resolve) => client.once("end", resolve));
      client.disconnect();
      // Of a connection that is between two attempts ioredis tells no end.
      if (isOpen) await withDeadline(clock, 2 * DISCONNECT_MS, "disconnecting", ended).catch(() => undefined);
    },
  };
}
