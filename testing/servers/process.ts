/**
 * A server's process: started and waited for until it says that it serves, ended by its pid.
 *
 *  W1 It ends with its parent, however that ends: a watcher holds the other end of a pipe, and
 *     kills the server when the pipe closes.
 *  W2 `stop` and `kill` resolve when the process is gone, so that its port is free again.
 *  W3 It leads a process group of its own: Ctrl-C in a terminal reaches the parent alone, which
 *     decides in what order things end.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";

const OUTPUT_LINES = 60;
const STOP_MS = 15_000;

export interface ServerProcess {
  readonly pid: number;
  readonly isRunning: boolean;
  /** Null while it runs, and where a signal ended it. */
  readonly exitCode: number | null;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM, then SIGKILL where that does not do. */
  stop(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

export interface ServerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Set beside our own variables, or taken from them where undefined. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** All that it says is added to this file as well. */
  readonly logFile?: string;
  /** Resolves when the server answers; asked again and again. */
  readonly isReady: (output: readonly string[]) => boolean | Promise<boolean>;
  readonly readyMs: number;
  /** How long `stop` waits before it kills. */
  readonly stopMs?: number;
  /** Ends the wait, and the server with it. */
  readonly signal?: AbortSignal;
}

export async function startProcess(start: ServerCommand): Promise<ServerProcess> {
  const { name, command, args, env = {}, cwd, isReady, readyMs, stopMs = STOP_MS } = start;
  const log = start.logFile === undefined ? undefined : createWriteStream(start.logFile, { flags: "a" });
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      log?.write(chunk);
      output.push(...chunk.split("\n").filter((line) => line !== ""));
      output.splice(0, output.length - OUTPUT_LINES);
    });
  }
  const gone = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      output.push(error.message);
      resolve();
    });
    child.on("exit", () => resolve());
  });
  const watcher = child.pid === undefined ? undefined : watch(child.pid);
  child.on("close", () => log?.end());
  void gone.then(() => watcher?.kill("SIGKILL"));
  const isRunning = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;

  const end = async (first: NodeJS.Signals): Promise<void> => {
    if (!isRunning()) return gone;
    child.kill(first);
    const last = setTimeout(() => child.kill("SIGKILL"), stopMs);
    await gone;
    clearTimeout(last);
  };

  const giveUpAt = performance.now() + readyMs;
  while (!(await isReady(output))) {
    const why = !isRunning()
      ? "ended at its start"
      : start.signal?.aborted
        ? "was stopped at its start"
        : performance.now() > giveUpAt
          ? `did not serve within ${readyMs} ms`
          : "";
    if (why !== "") {
      await end("SIGKILL");
      throw new Error(`${name} ${why}; the last that it said:\n${output.slice(-20).join("\n")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return {
    pid: child.pid!,
    get isRunning() {
      return isRunning();
    },
    get exitCode() {
      return child.exitCode;
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    signal: (signal) => void child.kill(signal),
  };
}

/** Its standard input closes when we end, by whatever means. */
function watch(pid: number): ChildProcess {
  const watcher = spawn("/bin/sh", ["-c", 'cat >/dev/null; kill -9 "$0" 2>/dev/null', String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watcher.on("error", () => undefined);
  watcher.stdin!.on("error", () => undefined);
  watcher.unref();
  return watcher;
}

/** Whether we could listen on it now. */
export function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
