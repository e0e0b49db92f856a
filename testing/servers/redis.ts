/**
 * A Redis server that keeps nothing on disk: the one on the PATH, or Debian's, unpacked into the
 * cache (debian-package.ts).
 */
import { mkdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { reportToStderr, type Report } from "./cache.ts";
import { debianProgramLacks, installDebianProgram, type InstalledProgram } from "./debian-package.ts";
import { freePorts, startProcess, type ServerProcess } from "./process.ts";

const READY_MS = 15_000;
const LOOPBACK = "127.0.0.1";

const REDIS = {
  what: "Redis",
  package: "redis-server",
  command: "redis-server",
  folder: "redis-debian",
};

/** Why Redis cannot be had on this machine; undefined where it can. */
export const redisLacks = (): Promise<string | undefined> => debianProgramLacks(REDIS);

export const installRedis = (report: Report = reportToStderr): Promise<InstalledProgram> =>
  installDebianProgram(REDIS, report);

export interface RedisOptions {
  /** Where it may write; nothing is written as it is configured. */
  readonly dir: string;
  /** Of this machine, where clients reach it; loopback where nothing is said. */
  readonly host?: string;
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
  const { dir, host = LOOPBACK, args = [], tls } = options;
  mkdirSync(dir, { recursive: true });
  const port = options.port || (await freePorts(1))[0]!;
  const ports = tls === undefined ? ["--port", String(port)] : tlsArgs(port, tls);
  // Else it answers loopback alone for as long as it has no password.
  const open = host === LOOPBACK ? [] : ["--protected-mode", "no"];
  const launch = () =>
    startProcess({
      name: `Redis (port ${port})`,
      command,
      args: [...ports, "--bind", host, ...open, "--save", "", "--appendonly", "no", ...args],
      env,
      cwd: dir,
      ...(options.logFile !== undefined && { logFile: options.logFile }),
      isReady: () => answers(host, port, tls),
      readyMs: READY_MS,
    });
  let running: ServerProcess = await launch();
  return {
    address: `${host}:${port}`,
    url: `${tls === undefined ? "redis" : "rediss"}://${host}:${port}`,
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
function answers(host: string, port: number, tls: TlsFiles | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const place = { port, host, timeout: 500 };
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
