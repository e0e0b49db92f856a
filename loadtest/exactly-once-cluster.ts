/**
 * Exactly once, on a cluster of processes, while each of them is killed again and again:
 *
 *   npm run test:exactly-once-cluster -- [--mode kills|all-at-once|down] [--clicks 500000]
 *       [--rate 5000] [--seed N] [--each 3] [--only actor,broker] [--pause 60] [--ads 50]
 *       [--repeat-within 60] [--keep] [--json]
 *
 * Below 100,000 clicks each part is killed once, the pause takes 10 s and the rate is 1,500, unless
 * told otherwise: the faults must find clicks under way.
 * Exits with 1 when anything differs, naming the first differences.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { KILLED, type Killed } from "./exactly-once-cluster/faults.ts";
import { MODES, runExactlyOnceCluster, type Mode } from "./exactly-once-cluster/run.ts";
import { print } from "./lib/report.ts";

const NAMED = 20;
const FULL_CLICKS = 100_000;

const { values: flags } = parseArgs({
  options: {
    mode: { type: "string", default: "kills" },
    clicks: { type: "string", default: "500000" },
    rate: { type: "string" },
    seed: { type: "string", default: String(randomInt(0x7fff_ffff)) },
    each: { type: "string" },
    only: { type: "string", default: KILLED.join(",") },
    pause: { type: "string" },
    ads: { type: "string", default: "50" },
    "repeat-within": { type: "string" },
    keep: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function oneOf<T extends string>(flag: string, text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text);
  if (found === undefined) throw new Error(`--${flag} ${text}: it must be one of ${known.join(", ")}`);
  return found;
}

const clicks = Number(flags.clicks);
const isFull = clicks >= FULL_CLICKS;
const mode: Mode = oneOf("mode", flags.mode, MODES);
const kinds: readonly Killed[] = flags.only.split(",").map((name) => oneOf("only", name, KILLED));

console.log(`seed ${flags.seed}`);
const { faults, figures } = await runExactlyOnceCluster({
  mode,
  clicks,
  kinds,
  rate: Number(flags.rate ?? (isFull ? 5_000 : 1_500)),
  each: Number(flags.each ?? (isFull ? 3 : 1)),
  pauseMs: Number(flags.pause ?? (isFull ? 60 : 10)) * 1_000,
  ads: Number(flags.ads),
  repeatMostMs: Number(flags["repeat-within"] ?? (isFull ? 60 : 4)) * 1_000,
  explained: isFull ? 1_000 : 300,
  seed: Number(flags.seed),
  keep: flags.keep,
  say: (line) => console.log(line),
});
print(
  `exactly once on a cluster: ${mode}`,
  { seed: flags.seed, ...figures, differences: faults.length },
  flags.json,
);
for (const fault of faults.slice(0, NAMED)) console.error(`DIFFERENT: ${fault}`);
if (faults.length > NAMED) console.error(`… and ${faults.length - NAMED} more`);
process.exit(faults.length > 0 ? 1 : 0);
