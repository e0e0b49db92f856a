import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const KEY = "start-test-admin-key";
const AD = { ad_id: "77", campaign_id: "7", advertiser_id: "1", title: "Test" };
const READY_MS = 40_000;

interface Started {
  readonly url: string;
  readonly clickhouseUrl: string;
  readonly pid: number;
  readonly output: () => string;
  kill(): Promise<void>;
}

/** The program as `npm start` runs it, on any free ports. */
function run(dataDir: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--clickhouse-port", "0"];
  const child = spawn(
    process.execPath,
    [MAIN, ...ports, "--data-dir", dataDir, "--admin-key", KEY, ...args],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
  );
  let output = "";
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const ready = new Promise<Started>((resolve, reject) => {
    const heard = (chunk: Buffer) => {
      output += chunk.toString();
      const [, url] = /^adtally ready (\S+)$/m.exec(output) ?? [];
      const [, clickhouseUrl] = /^ {2}ClickHouse {2}(\S+)$/m.exec(output) ?? [];
      if (url === undefined || clickhouseUrl === undefined) return;
      const kill = async () => {
        child.kill("SIGKILL");
        await ended;
      };
      resolve({ url, clickhouseUrl, pid: child.pid ?? -1, output: () => output, kill });
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    void ended.then((code) => reject(new Error(`ended with ${code}:\n${output}`)));
  });
  ready.catch(() => undefined);
  return { ready, ended: ended.then((code) => ({ code, output })) };
}

const post = (url: string, body: unknown) =>
  fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function clickUrl(url: string): Promise<string> {
  await post(`${url}/v1/ads`, { ...AD, destination_url: "https://example.com/" });
  const issued = await post(`${url}/v1/impressions`, { ad_id: AD.ad_id });
  return ((await issued.json()) as { impressions: { click_url: string }[] }).impressions[0]!.click_url;
}

async function clicksCounted(url: string): Promise<number> {
  const response = await fetch(`${url}/v1/reports/clicks?ad_id=${AD.ad_id}`);
  return ((await response.json()) as { total: { clicks: number } }).total.clicks;
}

describe("npm start", () => {
  let dataDir: string;
  let program: Started;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "adtally-start-"));
    program = await run(dataDir, ["--host", "0.0.0.0"]).ready;
  }, READY_MS);
  afterAll(async () => {
    await program.kill();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  test("--http-port 0 and --host 0.0.0.0 made click URLs that lead nowhere", async () => {
    expect(program.url).toMatch(/^http:\/\/localhost:[1-9]\d*$/);
    const clicked = await fetch(await clickUrl(program.url), { redirect: "manual" });
    expect(clicked.status).toBe(302);
    expect(program.output()).toContain(`click URLs  ${program.url}/click… work on this machine alone`);
  });

  test("/ answered 404, is the dashboard, which names files that are there", async () => {
    const page = await fetch(`${program.url}/`);
    const names = [...(await page.text()).matchAll(/(?:href|src)="(\/[^"]+)"/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect((await fetch(`${program.url}${name}`)).status, name).toBe(200);
  });

  test("a second start on the folder did not say which process has it", async () => {
    const { code, output } = await run(dataDir, []).ended;
    expect(code).toBe(1);
    expect(output).toMatch(new RegExp(`DATA_DIR_IN_USE: .* is in use by process ${program.pid}\\.`));
  });

  test("was ready, after kill -9, before its reports had the clicks of its last moment", async () => {
    const before = await clicksCounted(program.url);
    const urls = await Promise.all(Array.from({ length: 50 }, () => clickUrl(program.url)));
    await Promise.all(urls.map((url) => fetch(url, { redirect: "manual" })));
    await program.kill();
    program = await run(dataDir, ["--host", "0.0.0.0"]).ready;
    expect(await clicksCounted(program.url)).toBeGreaterThanOrEqual(before + 50);
  });

  test("a dropped table made reports answer 500 while /readyz said ready", async () => {
    const send = (sql: string) => fetch(program.clickhouseUrl, { method: "POST", body: sql });
    await send("RENAME TABLE adtally.click_counts TO adtally.click_counts_away");
    const readyz = () => fetch(`${program.url}/readyz`);
    await expect.poll(async () => (await readyz()).status, { timeout: 15_000 }).toBe(503);
    const { detail } = (await (await readyz()).json()) as { detail: string };
    expect(detail).toMatch(/reports: ClickHouse's database 'adtally' lacks click_counts.*restore/);
    const report = await fetch(`${program.url}/v1/reports/clicks?ad_id=${AD.ad_id}`);
    expect([report.status, ((await report.json()) as { code: string }).code]).toEqual([
      503,
      "COUNT_SINK_REJECTED",
    ]);
    await send("RENAME TABLE adtally.click_counts_away TO adtally.click_counts");
    await expect.poll(async () => (await readyz()).status, { timeout: 15_000 }).toBe(200);
  });
});

describe("what npm start is told wrongly", () => {
  const nowhere = join(tmpdir(), "adtally-never-made");
  test.each([
    ["--shards 9999 was found out in mid-start", ["--shards", "9999"], {}, /from 1 to 4096/],
    ["--host that is none was PORT_IN_USE", ["--host", "192.0.2.1"], {}, /CONFIG_INVALID.*--host/],
    ["a --data-dir that is a file", ["--data-dir", MAIN], {}, /CONFIG_INVALID.*is a file.*--data-dir/],
    ["an empty --host listened on all", ["--host", ""], {}, /--host.*is empty/],
    // Of an empty variable nothing is said: what is wrong here is another.
    [
      "an empty variable was a value",
      ["--shards", "9999"],
      { ADTALLY_LOG_LEVEL: "", ADTALLY_HOST: "" },
      /--shards/,
    ],
  ])("%s", async (_, args, env, said) => {
    const { code, output } = await run(nowhere, args, env).ended;
    await rm(nowhere, { recursive: true, force: true });
    expect(code).toBe(1);
    expect(output).toMatch(said);
    expect(output).not.toContain("starting");
  });
});
