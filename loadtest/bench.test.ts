/** The command of all benchmarks runs, and prints what its readers rely on. No speed is asserted. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { BENCHES } from "./bench/benches.ts";
import { runBench } from "./bench/run.ts";
import { table } from "./lib/report.ts";

const COMMAND = fileURLToPath(new URL("bench.ts", import.meta.url));

async function bench(...args: readonly string[]) {
  const out = await mkdtemp(join(tmpdir(), "adtally-bench-test-"));
  onTestFinished(() => rm(out, { recursive: true, force: true }));
  const child = spawn(process.execPath, [COMMAND, "--out", out, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr, out };
}

test("prints each line of the quick benches as JSON, and keeps it", { timeout: 120_000 }, async () => {
  const names = ["token", "route", "dedup", "window", "block"];
  const { code, stdout, stderr, out } = await bench("--only", names.join(","), "--quick", "--json");
  expect(stderr).not.toContain("failed");
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  const parsed = lines.map((line) => JSON.parse(line));
  expect([...new Set(parsed.map((line) => line.bench))]).toEqual(names);
  for (const line of parsed) {
    expect(line).toMatchObject({
      test: expect.stringMatching(new RegExp(`^${line.bench}: .`)),
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      quick: true,
      node: process.version,
      cores: expect.any(Number),
    });
    const figures = Object.values(line.figures);
    expect(figures.length).toBeGreaterThan(0);
    for (const figure of figures) expect(figure).toBeGreaterThanOrEqual(0);
  }
  const [kept] = readdirSync(out);
  expect(kept).toMatch(/^bench-\d{4}-\d\d-\d\d\.ndjson$/);
  expect(await readFile(join(out, kept!), "utf8")).toBe(`${lines.join("\n")}\n`);
});

test("refuses a bench that there is not, and says how they are named", async () => {
  const { code, stderr } = await bench("--only", "token,tokens");
  expect(code).toBe(1);
  expect(stderr).toMatch(/no bench tokens.*--list/);
});

test("a bench that ends with an error, or measures nothing, has failed", async () => {
  const failing = { name: "x", what: "x", script: "bench/log.ts", args: ["--no-such-flag"] };
  expect((await runBench(failing, false)).failure).toBe("it ended with 1");
  const silent = { name: "x", what: "x", script: "bench/benches.ts" };
  expect((await runBench(silent, false)).failure).toBe("it measured nothing");
});

test("every bench has a name of its own and a script that is there", () => {
  expect(new Set(BENCHES.map(({ name }) => name)).size).toBe(BENCHES.length);
  for (const { script } of BENCHES) expect(existsSync(new URL(script, import.meta.url)), script).toBe(true);
});

test("a line of the table goes on below where its figures do not fit", () => {
  const figures = { first: 1_000, second: 2.345, third: "x", none: undefined };
  expect(table([{ test: "a bench", figures }], 40)).toEqual([
    "a bench  first 1,000 · second 2.35",
    "         third x",
  ]);
});
