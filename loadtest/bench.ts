/**
 * npm run bench -- [--only token,route] [--quick] [--json]: every benchmark, one table.
 *
 * Each runs in a process of its own, one after the other. Every line is added to
 * bench-DATE.ndjson in the folder --out as well; one that fails does not stop the others, and fails the
 * whole in the end.
 */
import { appendFile, mkdir } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join, relative } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { BENCHES, type BenchKind } from "./bench/benches.ts";
import { runBench } from "./bench/run.ts";
import { table, type Line } from "./lib/report.ts";

interface Flags {
  readonly only: readonly BenchKind[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly list: boolean;
  readonly out: string;
}

const nameWidth = Math.max(...BENCHES.map(({ name }) => name.length));
const list = BENCHES.map(({ name, what }) => `${name.padEnd(nameWidth)}  ${what}`);

function pick(text: string): readonly BenchKind[] {
  const wanted = text.split(",");
  const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    throw new InvalidArgumentError(`no bench ${unknown.join(", ")}: --list names those that there are.`);
  }
  return BENCHES.filter(({ name }) => wanted.includes(name));
}

const flags = new Command("npm run bench --")
  .description("Measures what a click costs, part by part and end to end.")
  .option("--only <names>", "these alone, separated by commas", pick, BENCHES)
  .option("--quick", "little of everything: shows that they run, not how fast", false)
  .option("--json", "a line of JSON for each line of the table", false)
  .option("--out <folder>", "where all lines are kept", "loadtest/out")
  .option("--list", "name them and end", false)
  .addHelpText("after", `\nBenches:\n${list.map((line) => `  ${line}`).join("\n")}`)
  .parse()
  .opts<Flags>();

const say = (line: string) => void process.stderr.write(`bench: ${line}\n`);

/** Of the line's figures, those that the table has room for. */
function shownOf({ test, figures }: Line, { shown }: BenchKind): Line {
  if (shown === undefined) return { test, figures };
  const kept = Object.entries(figures).filter(([name]) => shown.some((each) => name.startsWith(each)));
  return { test, figures: Object.fromEntries(kept) };
}

async function run(): Promise<void> {
  const startedAt = new Date();
  const machine = {
    node: process.version,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
  };
  const file = join(flags.out, `bench-${startedAt.toISOString().slice(0, 10)}.ndjson`);
  await mkdir(flags.out, { recursive: true });
  const shown: Line[] = [];
  const failed: string[] = [];
  for (const [i, bench] of flags.only.entries()) {
    say(`${bench.name} (${i + 1} of ${flags.only.length}): ${bench.what} …`);
    const begunAt = performance.now();
    const { lines, failure } = await runBench(bench, flags.quick);
    say(`${bench.name}: ${failure ?? "done"}, ${Math.round((performance.now() - begunAt) / 1_000)} s`);
    if (failure !== undefined) failed.push(`${bench.name} (${failure})`);
    for (const line of lines) {
      const at = new Date().toISOString();
      const json = JSON.stringify({ bench: bench.name, ...line, at, quick: flags.quick, ...machine });
      await appendFile(file, `${json}\n`);
      if (flags.json) process.stdout.write(`${json}\n`);
      shown.push(shownOf(line, bench));
    }
  }
  if (!flags.json && shown.length > 0) {
    const { node, cores, cpu } = machine;
    const how = flags.quick ? ", --quick: no figure to quote" : "";
    process.stdout.write(`${startedAt.toISOString()}, node ${node}, ${cores} cores (${cpu})${how}\n`);
    process.stdout.write(`${table(shown).join("\n")}\n`);
  }
  say(`all lines stand in ${relative(process.cwd(), file)}`);
  if (failed.length > 0) {
    say(`failed: ${failed.join(", ")}`);
    process.exitCode = 1;
  }
}

if (flags.list) process.stdout.write(`${list.join("\n")}\n`);
else await run();
