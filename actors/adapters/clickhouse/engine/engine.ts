/** The engine of one data folder: chdb's sessions, opened once the folder is free. */
import { mkdir, rm } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join, resolve } from "node:path";
import { AdtallyError, messageOf } from "../../../core/errors.ts";
import { sleep, type Clock } from "../../../runtime/clock.ts";
import { createConnectionPool, type EngineSession } from "./connection-pool.ts";
import { createHttpServer } from "./http-server.ts";
import type { EngineLimits } from "./limits.ts";

export interface EngineServer {
  readonly port: number;
  readonly version: string;
  /** Ends running queries' work, refuses new ones, lets go of the folder. */
  drain(): Promise<void>;
}

const LOCK_RETRY_MS = 250;
/** All that chdb says of a data folder that another process still holds; the cause goes to stderr. */
const LOCKED = /Failed to create connection/;

async function openFirstSession(
  openSession: () => EngineSession,
  path: string,
  { limits, clock }: { limits: EngineLimits; clock: Clock },
): Promise<EngineSession> {
  const giveUpAt = clock.monotonic() + limits.lockWaitMs;
  for (;;) {
    try {
      return openSession();
    } catch (error) {
      if (!LOCKED.test(messageOf(error)) || clock.monotonic() > giveUpAt)
        throw new AdtallyError(
          "DATA_DIR_IN_USE",
          `the ClickHouse engine cannot open ${path}: ${messageOf(error)}; end the process that uses it, or choose another --data-dir`,
          { cause: error },
        );
      await sleep(clock, LOCK_RETRY_MS);
    }
  }
}

export async function startEngineServer(options: {
  readonly dataDir: string;
  readonly port: number;
  readonly limits: EngineLimits;
  readonly clock: Clock;
  /** A config.xml of ClickHouse's own; the engine needs none. */
  readonly configFile?: string;
  /** The engine will answer no query any more. */
  readonly onFatal: (reason: string) => void;
}): Promise<EngineServer> {
  const { limits, clock } = options;
  const path = resolve(options.dataDir, "engine");
  const incoming = resolve(options.dataDir, "incoming");
  // Bodies of a killed predecessor were never acknowledged.
  await rm(incoming, { recursive: true, force: true });
  await mkdir(incoming, { recursive: true, mode: 0o700 });
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { Session } = await import("chdb");
  const connectionArgs = options.configFile === undefined ? [] : [`--config-file=${options.configFile}`];
  const openSession = () => new Session(path, { connectionArgs });
  const first = await openFirstSession(openSession, path, { limits, clock });
  const facts = await first.queryAsync("SELECT version(), timezone()", { format: "TabSeparated" });
  const [version = "", timezone = ""] = Buffer.from(facts.bytes()).toString("utf8").trim().split("\t");

  // The first session stays open: the engine leaves the folder with its last one.
  const pool = createConnectionPool({
    openSession,
    limits,
    clock,
    onFatal: (error) => options.onFatal(error.message),
  });
  const server = createHttpServer({
    pool,
    limits,
    version,
    timezone,
    newQueryId: randomUUID,
    newFilePath: () => join(incoming, `${randomUUID()}.body`),
  });
  await new Promise<void>((done, failed) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      failed(
        error.code === "EADDRINUSE"
          ? new AdtallyError(
              "PORT_IN_USE",
              `ClickHouse cannot listen on port ${options.port}: it is taken; choose another (npm start: --clickhouse-port)`,
              {
                cause: error,
              },
            )
          : error,
      ),
    );
    server.listen(options.port, "127.0.0.1", done);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    version,
    async drain() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      server.closeIdleConnections();
      await Promise.race([pool.drain(), sleep(clock, limits.drainDeadlineMs)]);
      server.closeIdleConnections();
      await Promise.race([closed, sleep(clock, 1_000)]);
      server.closeAllConnections();
      first.close();
    },
  };
}
