/**
 * A Redis server that keeps nothing on disk: the one on the PATH, or Debian's, unpacked into the
 * cache (its packages are downloaded, not installed: no service of the machine is started).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import path from "node:path";
import { cached, reportToStderr, type Report } from "./cache.ts";
import { hasCommand, runCommand } from "./command.ts";
import { freePorts, startProcess, type ServerProcess } from "./process.ts";

const READY_MS = 15_000;
const FOLDER = "redis-debian";

export interface RedisInstallation {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Why Redis cannot be had on this machine; undefined where it can. */
export async function redisLacks(): Promise<string | undefined> {
  if (await hasCommand("redis-server", "--version")) return undefined;
  if (!(await hasCommand("apt-get", "--version"))) {
    return "redis-server is missing, and so is apt-get to fetch it: install Redis (redis-server), then start again";
  }
  if (process.getuid?.() !== 0) {
    return "redis-server is missing, and apt-get needs root: install Redis (redis-server), then start again";
  }
  return undefined;
}

export async function installRedis(report: Report = reportToStderr): Promise<RedisInstallation> {
  if (await hasCommand("redis-server", "--version")) return { command: "redis-server", env: {} };
  const folder = await cached(FOLDER, "Redis", report, unpack);
  const libraries = readdirSync(path.join(folder, "usr", "lib"))
    .map((name) => path.join(folder, "usr", "lib", name))
    .filter((each) => readdirSync(each).some((name) => name.includes(".so")));
  return {
    command: path.join(folder, "usr", "bin", "redis-server"),
    env: { LD_LIBRARY_PATH: libraries.join(":") },
  };
}

async function unpack(folder: string): Promise<void> {
  const lacking = await redisLacks();
  if (lacking !== undefined) throw new Error(`Redis cannot be installed: ${lacking}`);
  const archives = path.join(folder, "archives");
  mkdirSync(path.join(archives, "partial"), { recursive: true });
  await runCommand("apt-get", ["update", "-qq"]);
  const to = ["-o", `Dir::Cache::archives=${archives}`];
  const how = ["-y", "-qq", "--no-install-recommends", "--download-only"];
  await runCommand("apt-get", ["install", ...how, ...to, "redis-server"]);
  for (const name of readdirSync(archives).filter((each) => each.endsWith(".deb"))) {
    await runCommand("dpkg", ["-x", path.join(archives, name), folder]);
  }
  if (!existsSync(path.join(folder, "usr", "bin", "redis-server"))) {
    throw new Error("apt-get fetched no package that holds redis-server");
  }
}

export interface RedisOptions {
  /** Where it may write; nothing is written as it is configured. */
  readonly dir: string;
  readonly port?: number;
  readonly args?: readonly string[];
  /** With: the port speaks TLS alone, with those who show a certificate of this authority. */
  readonly tls?: { readonly caPath: string; readonly certPath: string; readonly keyPath: string };
  /** What it says is added to this file. */
  readonly logFile?: string;
}

export interface RedisServer {
  readonly address: string;
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly isRunning: boolean;
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Starts it again, empty, on the same port. */
  restart(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const { command, env } = await installRedis();
  const { dir, args = [], tls } = options;
  mkdirSync(dir, { recursive: true });
  const port = options.port || (await freePorts(1))[0]!;
  const ports = tls === undefined ? ["--port", String(port)] : tlsArgs(port, tls);
  const launch = () =>
    startProcess({
      name: `Redis (port ${port})`,
      command,
      args: [...ports, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", ...args],
      env,
      cwd: dir,
      ...(options.logFile !== undefined && { logFile: options.logFile }),
      isReady: () => answers(port, tls),
      readyMs: READY_MS,
    });
  let running: ServerProcess = await launch();
  return {
    address: `127.0.0.1:${port}`,
    url: `${tls === undefined ? "redis" : "rediss"}://127.0.0.1:${port}`,
    port,
    get pid() {
      return running.pid;
    },
    get isRunning() {
      return running.isRunning;
    },
    kill: () => running.kill(),
    stop: () => running.stop(),
    async restart() {
      await running.stop();
      running = await launch();
    },
    signal: (name) => running.signal(name),
  };
}

type TlsFiles = NonNullable<RedisOptions["tls"]>;

function tlsArgs(port: number, { caPath, certPath, keyPath }: TlsFiles): string[] {
  const files = ["--tls-cert-file", certPath, "--tls-key-file", keyPath, "--tls-ca-cert-file", caPath];
  return ["--port", "0", "--tls-port", String(port), ...files];
}

/** PING in Redis' own words; over TLS with the server's own certificate, which serves for both ends. */
function answers(port: number, tls: TlsFiles | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const place = { port, host: "127.0.0.1", timeout: 500 };
    const ping = () => socket.write("PING\r\n");
    const socket =
      tls === undefined
        ? connect(place, ping)
        : connectTls(
            {
              ...place,
              ca: readFileSync(tls.caPath),
              cert: readFileSync(tls.certPath),
              key: readFileSync(tls.keyPath),
            },
            ping,
          );
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.on("data", (chunk) => end(chunk.toString().startsWith("+PONG")));
    socket.on("error", () => end(false)).on("timeout", () => end(false));
  });
}
