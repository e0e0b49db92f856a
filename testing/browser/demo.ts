/** `npm start` with its demo, as a visitor finds it: on free ports and a folder that is removed at the end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const MAIN = path.resolve(import.meta.dirname, "../../cmd/local/main.ts");

export interface RunningDemo {
  readonly url: string;
  /** By advertiser: what it prints as their keys to sign in with. */
  readonly keys: ReadonlyMap<string, string>;
  stop(): Promise<void>;
}

export async function startDemo(args: readonly string[] = []): Promise<RunningDemo> {
  const dataDir = await mkdtemp(path.join(tmpdir(), "adtally-demo-"));
  const ports = ["--http-port", "0", "--grpc-port", "0", "--clickhouse-port", "0"];
  const child = spawn(process.execPath, [MAIN, ...ports, "--data-dir", dataDir, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const onExit = () => child.kill("SIGKILL");
  process.once("exit", onExit);
  const ended = once(child, "close");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const heard = (chunk: Buffer) => {
      output += chunk.toString();
      const [, at] = /^adtally ready (\S+)$/m.exec(output) ?? [];
      // The folder is told last.
      if (at !== undefined && /^ {2}data {8}/m.test(output)) resolve(at);
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    void ended.then(([code]) => reject(new Error(`the demo ended with ${code}:\n${output}`)));
  });
  const told = output.matchAll(/^ {2}read key +(\S+) +\((.+), demo\)$/gm);
  return {
    url,
    keys: new Map([...told].map(([, key, advertiser]) => [advertiser!, key!])),
    async stop() {
      child.kill("SIGTERM");
      await ended;
      process.off("exit", onExit);
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}
