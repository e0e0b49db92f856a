/** The smoke test, as `helm test` runs it, against all of adtally in one process. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const KEY = "smoke-test-admin-key";

function start(args: readonly string[]) {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const listeners: (() => void)[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      for (const each of listeners) each();
    });
  }
  const ended = new Promise<number | null>((done) => child.once("close", done));
  return { child, said: () => said, ended, onSaid: (run: () => void) => listeners.push(run) };
}

describe("the smoke test", () => {
  let dir: string;
  let url: string;
  let local: ReturnType<typeof start>;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "adtally-smoke-"));
    await writeFile(join(dir, "admin-key"), `${KEY}\n`);
    const ports = ["--http-port", "0", "--grpc-port", "0", "--clickhouse-port", "0"];
    const own = ["--data-dir", join(dir, "data"), "--admin-key", KEY];
    local = start(["cmd/local/main.ts", ...ports, ...own]);
    url = await new Promise<string>((ready, failed) => {
      local.onSaid(() => {
        const [, found] = /^adtally ready (\S+)$/m.exec(local.said()) ?? [];
        if (found !== undefined) ready(found);
      });
      void local.ended.then((code) => failed(new Error(`ended with ${code}: ${local.said()}`)));
    });
  });
  afterAll(async () => {
    local?.child.kill("SIGKILL");
    await local?.ended;
    await rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  const smoke = (...more: readonly string[]) =>
    start(["cmd/smoke/main.ts", "--gateway-url", url, "--query-url", url, ...more]);

  it("sees its click counted once, and its repeat as a duplicate", async () => {
    const { ended, said } = smoke("--admin-key-file", join(dir, "admin-key"), "--deadline-seconds", "30");
    expect(await ended, said()).toBe(0);
    expect(said()).toContain("repeat: redirected\nreport: 1 click, 1 duplicate");
  });

  it("fails, and says at which step, where it is not let in", async () => {
    await writeFile(join(dir, "wrong-key"), "wrong");
    const { ended, said } = smoke("--admin-key-file", join(dir, "wrong-key"), "--deadline-seconds", "1");
    expect(await ended).toBe(1);
    expect(said()).toMatch(/^smoke: the ad: not within 1 s: \/v1\/ads answered 401/m);
  });
});
