/**
 * The cost of a click over 1, 4, 16 and 64 shards: the same clicks, a fresh program each time, CPU
 * by process. A cost that rises with the shards is a cost of the shards, and not of the clicks.
 *
 *   node loadtest/shards-cost.ts [--shards 1,4,16,64] [--clicks 600000] [--rounds 1] [--cluster] [--json]
 *
 * With more rounds each count of shards runs once a round, and its cheapest run is told: what others
 * do on the machine makes a click dearer, never cheaper.
 *
 * Runs stream-clicks.ts, with --cluster stream-clicks-cluster.ts, once a count of shards; exits
 * with 1 where one of them does, or where the dearest is more than a tenth above the cheapest.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({
  options: {
    shards: { type: "string", default: "1,4,16,64" },
    clicks: { type: "string", default: "600000" },
    rounds: { type: "string", default: "1" },
    cluster: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const ALLOWED = 1.1;
const RUN_DEADLINE_MS = 300_000;
const total = `CPU µs a click: ${flags.cluster ? "adtally in all" : "program and engine"}`;

type Figures = Readonly<Record<string, number>>;

const script = fileURLToPath(
  new URL(flags.cluster ? "stream-clicks-cluster.ts" : "stream-clicks.ts", import.meta.url),
);

/** @throws Error where the run fails, or its counts do not agree */
function run(shards: string): Figures {
  const args = [script, "--json", "--clicks", flags.clicks, "--shards", shards];
  // Time is not to end the run: every row of the table is about the same clicks.
  if (!flags.cluster) args.push("--duration", "600");
  const output = execFileSync(process.execPath, args, {
    encoding: "utf8",
    timeout: RUN_DEADLINE_MS,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = output.split("\n").find((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`${script} with ${shards} shards said nothing:\n${output}`);
  return JSON.parse(line) as Figures;
}

const totalOf = (figures: Figures): number => figures[total] ?? NaN;

const cheapest = new Map<string, Figures>();
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const shards of flags.shards.split(",")) {
    const figures = run(shards);
    const before = cheapest.get(shards);
    if (before === undefined || totalOf(figures) < totalOf(before)) cheapest.set(shards, figures);
  }
}
const runs = [...cheapest];
const names = Object.keys(runs[0]![1]).filter((name) => /^CPU|last ack|p99/.test(name));
if (flags.json) {
  for (const [shards, figures] of runs) {
    console.log(
      JSON.stringify({ test: "shards cost", cluster: flags.cluster, ...figures, shards: Number(shards) }),
    );
  }
} else {
  const width = Math.max(...names.map((name) => name.length));
  const columns = (texts: readonly string[]) => texts.map((text) => text.padStart(9)).join("");
  console.log(`${"shards".padEnd(width)}${columns(runs.map(([shards]) => shards))}`);
  for (const name of names) {
    const row = runs.map(([, figures]) => (figures[name] ?? NaN).toLocaleString("en"));
    console.log(`${name.padEnd(width)}${columns(row)}`);
  }
}
const costs = runs.map(([, figures]) => totalOf(figures));
const spread = Math.max(...costs) / Math.min(...costs);
console.log(`the dearest costs ${((spread - 1) * 100).toFixed(1)} % more than the cheapest (${total})`);
if (!(spread <= ALLOWED)) process.exitCode = 1;
