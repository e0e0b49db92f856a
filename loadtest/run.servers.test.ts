/** That each k6 scenario runs and balances its account. How fast anything is, no test says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { installK6, k6Lacks } from "../testing/servers/k6-install.ts";
import { SCENARIOS } from "./k6-run/scenarios.ts";

const lacks = await k6Lacks();
if (lacks !== undefined) {
  if (process.env["CI"] === "true") throw new Error(lacks);
  console.warn(`skipped: ${lacks}`);
}

async function loadtest(...args: readonly string[]) {
  const out = mkdtempSync(join(tmpdir(), "adtally-k6-test-"));
  onTestFinished(() => rmSync(out, { recursive: true }));
  const script = join(import.meta.dirname, "run.ts");
  const child = spawn(process.execPath, [script, ...args, "--json", "--out", out], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  const line = stdout.split("\n").find((each) => each.startsWith("{"));
  const figures = line === undefined ? {} : (JSON.parse(line) as Record<string, number | string>);
  return { code, figures, stderr, pages: readdirSync(out) };
}

describe.skipIf(lacks !== undefined)("npm run loadtest", () => {
  beforeAll(() => installK6());

  it.each(Object.keys(SCENARIOS))("%s: what was acked is what the reports count", async (name) => {
    const on = SCENARIOS[name]!.splits === undefined ? "local" : "cluster";
    const small = ["--rate", "60", "--duration", "6s", "--p99", "60000", "--ads", "5", "--on", on];
    const { code, figures, stderr, pages } = await loadtest(name, ...small);
    expect(stderr).not.toContain("k6 ended");
    const { acked, sent } = figures;
    expect(acked, stderr).toBeGreaterThan(300);
    expect(acked).toBe(sent);
    expect(Number(figures["counted (reports)"]) + Number(figures["duplicates (reports)"])).toBe(acked);
    expect(Number(figures["duplicates (reports)"]) > 0).toBe(name === "replays");
    expect(pages.filter((each) => each.endsWith(".html"))).toHaveLength(1);
    expect(code, String(figures["verdict"])).toBe(0);
  });

  it("ends with 1 and says which threshold was crossed", async () => {
    const { code, figures } = await loadtest("http-clicks", "--rate", "50", "--duration", "3s", "--p99", "1");
    expect(figures["verdict"]).toContain("click_ms{scenario:load}");
    expect(code).toBe(1);
  });

  it("says which scenarios there are when it is asked for another", async () => {
    const { code, stderr } = await loadtest("htp-clicks");
    expect(stderr).toContain("no scenario htp-clicks");
    expect(stderr).toContain("http-clicks");
    expect(code).toBe(1);
  });
});
