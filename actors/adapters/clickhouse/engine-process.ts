/**
 * The embedded ClickHouse as a child process under supervision. The program that runs adtally
 * in its embedded form calls `startEngine`; everything else knows only the URL.
 *
 *  P1 The child ends with its parent, however the parent ends (IPC disconnect).
 *  P2 A child that dies is started again on the same port and folder, after a back-off that
 *     doubles to its bound and falls back to its start once a child has lived long enough.
 *  P3 `close` lets the child drain; one that does not end in time is killed.
 *  P4 The child leads a process group of its own: what it signals to its group reaches no one else.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AdtallyError, type ErrorCode } from "../../core/errors.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import { defaultEngineLimits } from "./engine/limits.ts";

export interface Engine {
  /** http://127.0.0.1:PORT; the same for the engine's whole life, restarts included. */
  readonly url: string;
  readonly port: number;
  /** ClickHouse's version. */
  readonly version: string;
  /** The child's process id; undefined between two lives. */
  pid(): number | undefined;
  restarts(): number;
  close(): Promise<void>;
}

export interface EngineProcessOptions {
  readonly dataDir: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Ready {
  readonly port: number;
  readonly version: string;
}

type ChildMessage =
  ({ readonly ready: true } & Ready) | { readonly failed: string; readonly message: string };

const MAIN = fileURLToPath(new URL("../../../cmd/clickhouse/main.ts", import.meta.url));
const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 5_000;
const STABLE_AFTER_MS = 30_000;
const READY_DEADLINE_MS = 30_000;

function forkEngine(options: EngineProcessOptions, port: number): ChildProcess {
  const child = fork(MAIN, ["--port", String(port), "--data-dir", options.dataDir], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [],
    detached: true,
    env: { ...process.env, UV_THREADPOOL_SIZE: String(defaultEngineLimits.maxRunning + 4) },
  });
  // Read whatever happens: a full pipe would stop the engine.
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      options.logger.warn({ engine: line }, "clickhouse engine wrote to its standard error");
    });
  }
  return child;
}

/** Resolves when the child serves; rejects when it says why it cannot, ends, or takes too long. */
function untilReady(child: ChildProcess, clock: Clock): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void) => {
      timer.cancel();
      child.off("message", onMessage);
      child.off("exit", onExit);
      run();
    };
    const onMessage = (message: unknown) => {
      const said = message as ChildMessage;
      if ("ready" in said) settle(() => resolve(said));
      else {
        const code: ErrorCode =
          said.failed === "DATA_DIR_IN_USE" || said.failed === "PORT_IN_USE"
            ? said.failed
            : "COUNT_SINK_UNAVAILABLE";
        settle(() => reject(new AdtallyError(code, said.message)));
      }
    };
    const onExit = (code: number | null, signal: string | null) =>
      settle(() =>
        reject(
          new AdtallyError(
            "COUNT_SINK_UNAVAILABLE",
            `the ClickHouse engine ended before it served (exit ${code ?? signal ?? "?"})`,
          ),
        ),
      );
    const timer = clock.after(READY_DEADLINE_MS, () =>
      settle(() => {
        child.kill("SIGKILL");
        reject(
          new AdtallyError(
            "COUNT_SINK_UNAVAILABLE",
            `the ClickHouse engine did not serve within ${READY_DEADLINE_MS} ms`,
          ),
        );
      }),
    );
    child.on("message", onMessage);
    child.on("exit", onExit);
  });
}

async function endChild(child: ChildProcess, clock: Clock): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const killer = clock.after(defaultEngineLimits.drainDeadlineMs + 3_000, () => child.kill("SIGKILL"));
  await ended;
  killer.cancel();
}

/** @throws DATA_DIR_IN_USE, PORT_IN_USE, COUNT_SINK_UNAVAILABLE */
export async function startEngine(options: EngineProcessOptions): Promise<Engine> {
  const { clock, logger } = options;
  let child = forkEngine(options, options.port);
  let restarts = 0;
  let backoffMs = BACKOFF_FIRST_MS;
  let closing = false;
  let restart: Timer | undefined;

  const { port, version } = await untilReady(child, clock);

  function supervise(watched: ChildProcess): void {
    const startedAt = clock.monotonic();
    watched.once("exit", (code, signal) => {
      if (closing) return;
      if (clock.monotonic() - startedAt > STABLE_AFTER_MS) backoffMs = BACKOFF_FIRST_MS;
      logger.error(
        { exit: code ?? signal, backoffMs },
        "clickhouse engine ended by itself; starting it again",
      );
      restart = clock.after(backoffMs, startAgain);
      backoffMs = Math.min(backoffMs * 2, BACKOFF_LAST_MS);
    });
  }

  function startAgain(): void {
    restarts += 1;
    child = forkEngine(options, port);
    supervise(child);
    untilReady(child, clock).then(
      () => logger.info({ port, restarts }, "clickhouse engine serves again"),
      (error: unknown) => logger.error({ error }, "clickhouse engine did not come back; trying again"),
    );
  }

  supervise(child);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    version,
    pid: () => (child.exitCode === null && child.signalCode === null ? child.pid : undefined),
    restarts: () => restarts,
    async close() {
      closing = true;
      restart?.cancel();
      await endChild(child, clock);
    },
  };
}
