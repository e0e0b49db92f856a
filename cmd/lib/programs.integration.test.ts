/** Every program as a real process, without any of the backends. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts } from "../../testing/servers/process.ts";
import { runToEnd, startProgram } from "./program.fixture.ts";

let dir: string;
let keysFile: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-programs-"));
  keysFile = join(dir, "token-keys.json");
  expect((await runToEnd("token-keys", ["--token-keys-file", keysFile])).code).toBe(0);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Nothing listens on port 1: every backend is refused. */
const NOBODY = "127.0.0.1:1";
const kafka = ["--kafka-brokers", NOBODY];
const clickhouse = ["--clickhouse-url", `http://${NOBODY}`];
const PROGRAMS = {
  actor: { port: "--admin-port", names: "Kafka", args: [...kafka, ...clickhouse, "--grpc-port", 0] },
  ingest: { port: "--admin-port", names: "the routing table", args: [...kafka, ...clickhouse] },
  query: { port: "--http-port", names: "ClickHouse", args: [...kafka, ...clickhouse] },
  gateway: { port: "--http-port", names: "the catalogue", args: [...kafka, "--grpc-port", 0] },
} as const;
const names = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];

function argsOf(name: keyof typeof PROGRAMS, port: number): (string | number)[] {
  const own = name === "gateway" ? ["--token-keys-file", keysFile] : [];
  const data = name === "ingest" ? [] : ["--data-dir", join(dir, `${name}-${port}`)];
  const state = ["--state-dir", join(dir, "state")];
  return [...PROGRAMS[name].args, ...own, ...data, ...state, PROGRAMS[name].port, port];
}

describe.concurrent.each([...names, "assign", "token-keys"])("%s", (name) => {
  test("--help names every setting, and nothing else is needed", async ({ expect }) => {
    const { code, output } = await runToEnd(name, ["--help"]);
    expect(code).toBe(0);
    expect(output).toContain(`Usage: ${name} [print-config] [options]`);
    expect(output).toContain("ADTALLY_LOG_LEVEL");
  });

  test("without what it requires it says all of it at once, and ends with 1", async ({ expect }) => {
    const { code, output } = await runToEnd(name, ["--log-level", "loud"]);
    expect(code).toBe(1);
    expect(output).toContain(`${name} cannot start: `);
    expect(output).toContain("--log-level loud: must be one of");
    expect(output).toContain(" is not set: ");
  });
});

test("print-config of a real process masks the secrets of its environment", async () => {
  const secrets = {
    ADTALLY_ADMIN_KEY: "hush-hush-1",
    ADTALLY_KAFKA_USER: "u",
    ADTALLY_KAFKA_PASSWORD: "hush-hush-2",
  };
  const { code, output } = await runToEnd("gateway", ["print-config", ...argsOf("gateway", 0)], secrets);
  expect(code).toBe(0);
  expect(output).not.toContain("hush");
  expect(output).toMatch(/^admin_key: "\*{8}" +# env ADTALLY_ADMIN_KEY$/m);
});

test.runIf(process.platform === "linux").each(["actor", "gateway", "query"] as const)(
  "%s with a --data-dir in /proc went on for ever without a word",
  async (name) => {
    const [port = 0] = await freePorts(1);
    const { code, output } = await runToEnd(name, [...argsOf(name, port), "--data-dir", "/proc/adtally"]);
    expect(code).toBe(1);
    expect(output).toMatch(/CONFIG_INVALID: the data folder \/proc\/adtally cannot be used.*--data-dir/);
  },
);

describe.each(names)("%s without its backends", (name) => {
  test("is alive and not ready, says what it waits for, and ends with 0 on SIGTERM", async () => {
    const [port = 0] = await freePorts(1);
    const program = startProgram(name, argsOf(name, port));
    const url = `http://127.0.0.1:${port}`;
    await expect
      .poll(
        () =>
          fetch(`${url}/healthz`).then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(200);
    await program.line("waiting");
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    const { waiting_for: waitingFor } = (await ready.json()) as { waiting_for: string[] };
    expect(waitingFor.join("\n")).toContain(PROGRAMS[name].names);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    if (name === "gateway") {
      const click = await fetch(`${url}/click?i=x`);
      expect([click.status, click.headers.get("retry-after")]).toEqual([503, "1"]);
    }
    const { code, tookMs } = await program.stop();
    expect(program.output()).not.toContain('"level":"error"');
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(20_000);
  });

  test("names a port that is in use, with its flag, and ends with 1", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const { code, output } = await runToEnd(name, argsOf(name, port));
    taken.close();
    expect(code).toBe(1);
    expect(output).toContain(`${name} cannot start: PORT_IN_USE: HTTP cannot listen on 127.0.0.1:${port}`);
    expect(output).toContain(PROGRAMS[name].port);
  });
});

test("assign publishes once, and the same again changes nothing", async () => {
  const state = join(dir, "assigned");
  const args = ["--hosts", "a=127.0.0.1:1,b=127.0.0.1:2", "--shards", 4, "--state-dir", state];
  const first = await runToEnd("assign", args);
  expect(first).toMatchObject({
    code: 0,
    output: expect.stringContaining("assignment 1: 4 shards on 2 hosts") as string,
  });
  expect(await runToEnd("assign", args)).toEqual({ code: 0, output: "as it was: nothing to publish\n" });
  const more = await runToEnd("assign", [...args, "--shards", 6]);
  expect(more.output).toContain("routing generation 2: 6 shards, in force from ");
  expect(more.output).toContain("assignment 2: 6 shards on 2 hosts");
});
