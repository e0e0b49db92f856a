/**
 * The real program (cmd/local/main.ts) as a process of its own: started on free ports and a
 * folder, killed or drained by its id, started again on the same folder. What it wrote to its
 * standard error is kept for whoever must explain a failure.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { childRunning } from "./processes.ts";
import { within } from "./wait.ts";

export const ADMIN_KEY = "loadtest-admin-key";
const MAIN = fileURLToPath(new URL("../../cmd/local/main.ts", import.meta.url));
const ENGINE_MAIN = fileURLToPath(new URL("../../cmd/clickhouse/main.ts", import.meta.url));
const READY_DEADLINE_MS = 60_000;
const DRAIN_DEADLINE_MS = 60_000;
const KEPT_LINES = 200;

export interface Place {
  readonly dataDir: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly clickhousePort: number;
}

export interface Program extends Place {
  readonly pid: number;
  readonly url: string;
  readonly grpcAddress: string;
  readonly clickhouseUrl: string;
  /** From the spawn to "adtally ready". */
  readonly startMs: number;
  readonly running: () => boolean;
  /** The last lines of its standard error. */
  readonly stderr: () => string;
  /** kill -9; resolves once the process is gone. The engine's process ends by itself. */
  kill(): Promise<void>;
  /** SIGTERM; resolves once it has drained. Rejects unless it exits with 0. */
  stop(): Promise<void>;
}

/** Ports that were free a moment ago; kept by the caller, so that a restart takes them again. */
export async function freePlace(dataDir: string): Promise<Place> {
  const servers = [createServer(), createServer(), createServer()];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const [httpPort, grpcPort, clickhousePort] = servers.map(
    (server) => (server.address() as AddressInfo).port,
  ) as [number, number, number];
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return { dataDir, httpPort, grpcPort, clickhousePort };
}

interface Watched {
  readonly child: ChildProcess;
  readonly stderr: () => string;
  readonly ready: Promise<void>;
}

function watch(command: readonly string[], readyLine: RegExp): Watched {
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  });
  const stderr = () => lines.join("\n");
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (readyLine.test(line)) resolve();
    });
    child.once("error", reject);
    // "close": its last words have been read by then.
    child.once("close", (code, signal) => {
      reject(new Error(`it ended (${code ?? signal}) before it was ready:\n${stderr()}`));
    });
  });
  ready.catch(() => undefined);
  return { child, stderr, ready };
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

async function killChild(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function stopChild(child: ChildProcess, what: string, stderr: () => string): Promise<void> {
  if (!hasEnded(child)) {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await within(`${what} draining`, DRAIN_DEADLINE_MS, ended).catch(async (error: unknown) => {
      await killChild(child);
      throw error;
    });
  }
  if (child.exitCode !== 0) {
    throw new Error(`${what} exited with ${child.exitCode ?? child.signalCode}:\n${stderr()}`);
  }
}

export interface Starting {
  readonly pid: number;
  readonly ready: Promise<Program>;
  kill(): Promise<void>;
}

/** Spawns the program and gives it back at once: it can be killed before it is ready. */
export function beginProgram(
  place: Place,
  nodeArguments: readonly string[] = [],
  args: readonly string[] = [],
): Starting {
  const startedAt = performance.now();
  const ports = ["--http-port", place.httpPort, "--grpc-port", place.grpcPort].map(String);
  const folder = ["--clickhouse-port", String(place.clickhousePort), "--data-dir", place.dataDir];
  const rest = ["--admin-key", ADMIN_KEY, "--no-demo", ...args];
  const command = [...nodeArguments, MAIN, ...ports, ...folder, ...rest];
  const { child, stderr, ready } = watch(command, /^adtally ready /);
  const pid = child.pid ?? -1;
  const kill = () => killChild(child);
  const program = async (): Promise<Program> => {
    try {
      await within("the program's start", READY_DEADLINE_MS, ready);
    } catch (error) {
      await kill();
      throw error;
    }
    return {
      ...place,
      pid,
      url: `http://127.0.0.1:${place.httpPort}`,
      grpcAddress: `127.0.0.1:${place.grpcPort}`,
      clickhouseUrl: `http://127.0.0.1:${place.clickhousePort}`,
      startMs: performance.now() - startedAt,
      running: () => !hasEnded(child),
      stderr,
      kill,
      stop: () => stopChild(child, "the program", stderr),
    };
  };
  const started = program();
  started.catch(() => undefined);
  return { pid, ready: started, kill };
}

export function startProgram(
  place: Place,
  nodeArguments: readonly string[] = [],
  args: readonly string[] = [],
): Promise<Program> {
  return beginProgram(place, nodeArguments, args).ready;
}

/** Process id of the program's ClickHouse engine; undefined between two of its lives. */
export function enginePid(program: Pick<Program, "pid">): Promise<number | undefined> {
  return childRunning(program.pid, "cmd/clickhouse/main.ts");
}

/** Runs `work` on the engine alone, on the data of a program that is not running. */
export async function withEngineAlone<T>(place: Place, work: (url: string) => Promise<T>): Promise<T> {
  const folder = ["--data-dir", `${place.dataDir}/clickhouse`];
  const command = [ENGINE_MAIN, "--port", String(place.clickhousePort), ...folder];
  const { child, stderr, ready } = watch(command, /^clickhouse ready /);
  try {
    await within("the engine's start", READY_DEADLINE_MS, ready);
    return await work(`http://127.0.0.1:${place.clickhousePort}`);
  } finally {
    await stopChild(child, "the engine", stderr);
  }
}
