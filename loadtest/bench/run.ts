/** Runs one benchmark in a process of its own, so that none warms or spoils another. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Line } from "../lib/report.ts";
import type { BenchKind } from "./benches.ts";

const FOLDER = fileURLToPath(new URL("../", import.meta.url));
const DEADLINE_MS = 30 * 60_000;

/** A line says what it did as `test`, one of bench-reports.ts as the `question` that it asked. */
const printed = z
  .object({ test: z.string().optional(), question: z.string().optional() })
  .catchall(z.union([z.string(), z.number()]));

export interface BenchRun {
  readonly lines: readonly Line[];
  /** Why it failed; undefined where it did not. */
  readonly failure: string | undefined;
}

/** What it prints besides its lines, and its standard error, goes to this process' standard error. */
export async function runBench(bench: BenchKind, isQuick: boolean): Promise<BenchRun> {
  const { script, args = [], quickArgs = args, nodeArgs = [] } = bench;
  const command = [...nodeArgs, `${FOLDER}${script}`, ...(isQuick ? quickArgs : args), "--json"];
  const child = spawn(process.execPath, command, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: DEADLINE_MS,
  });
  const ended = once(child, "close");
  const lines: Line[] = [];
  for await (const text of createInterface({ input: child.stdout })) {
    const line = parse(text);
    if (line === undefined) process.stderr.write(`${text}\n`);
    else lines.push(line);
  }
  const [code, signal] = (await ended) as [number | null, string | null];
  const failure =
    code !== 0 ? `it ended with ${code ?? signal}` : lines.length === 0 ? "it measured nothing" : undefined;
  return { lines, failure };
}

function parse(text: string): Line | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const { test, question, ...figures } = printed.parse(JSON.parse(text));
    const name = test ?? (question === undefined ? undefined : `report: ${question}`);
    return name === undefined ? undefined : { test: name, figures };
  } catch {
    return undefined;
  }
}
