/** The command line as its users have it, in a folder of its own, and all of adtally in one process for it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
export const ADMIN_KEY = "cli-test-admin-key";

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly url: string;
  readonly grpcAddress: string;
  readonly clickhouseUrl: string;
  kill(): Promise<void>;
}

/** The file of package.json's `bin`, with an environment of its own. */
export async function runCli(
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = "",
): Promise<Ran> {
  const child = spawn(process.execPath, [join(ROOT, "scripts/adtally.mjs"), ...args], {
    cwd: dir,
    env: { PATH: process.env["PATH"] ?? "", HOME: dir, ...env },
  });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

/** `npm start` without demo, on any free ports. */
export async function startAdtally(dataDir: string): Promise<Started> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--clickhouse-port", "0", "--no-demo"];
  const child = spawn(
    process.execPath,
    ["cmd/local/main.ts", ...ports, "--data-dir", dataDir, "--admin-key", ADMIN_KEY],
    { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] },
  );
  const ended = once(child, "close");
  const kill = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  let said = "";
  return new Promise<Started>((ready, failed) => {
    const heard = (chunk: Buffer) => {
      said += chunk.toString();
      const [, url] = /^adtally ready (\S+)$/m.exec(said) ?? [];
      const [, grpcAddress] = /^ {2}gRPC {8}(\S+)$/m.exec(said) ?? [];
      const [, clickhouseUrl] = /^ {2}ClickHouse {2}(\S+)$/m.exec(said) ?? [];
      if (url === undefined || grpcAddress === undefined || clickhouseUrl === undefined) return;
      ready({ url, grpcAddress, clickhouseUrl, kill });
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    void ended.then(() => failed(new Error(`it ended: ${said}`)));
  });
}
