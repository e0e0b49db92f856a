/**
 * Exactly once, on a cluster of processes, while each of them is killed again and again:
 *
 *   npm run test:exactly-once-cluster -- [--mode kills|all-at-once|down] [--clicks 500000]
 *       [--rate 5000] [--seed N] [--each 3] [--only actor,broker] [--steps pause,move]
 *       [--pause 60] [--ads 50] [--repeat-within 60] [--keep] [--json]
 *
 * `--rate` is what must be sent and answered each second on the average of the whole run, outages
 * included. Clients click a fifth faster, at a constant rate, and make up for what an outage held
 * back: who offers no more than is asked can never quite achieve it.
 *
 * Below 100,000 clicks each part is killed once and steps are shorter, unless told otherwise; the
 * rate is then what lets the clicks last as long as the faults, as a fault must find clicks under way.
 * Prints a table, and a line of JSON as well (alone with --json). Exits with 1 when anything differs.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { reportJson, reportLines } from "./exactly-once-cluster/report.ts";
import { MODES, runExactlyOnceCluster, type Mode } from "./exactly-once-cluster/run.ts";
import { KILLED, STEPS, type Killed, type Step } from "./exactly-once-cluster/schedule.ts";

const FULL_CLICKS = 100_000;
const OFFERED_SHARE = 1.2;
/** How long the clicks of a short run should last. */
const SHORT_RUN_SECONDS = 75;

const { values: flags } = parseArgs({
  options: {
    mode: { type: "string", default: "kills" },
    clicks: { type: "string", default: "500000" },
    rate: { type: "string" },
    seed: { type: "string", default: String(randomInt(0x7fff_ffff)) },
    each: { type: "string" },
    only: { type: "string", default: KILLED.join(",") },
    steps: { type: "string", default: STEPS.join(",") },
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

function someOf<T extends string>(flag: string, text: string, known: readonly T[]): readonly T[] {
  return text === "" ? [] : text.split(",").map((name) => oneOf(flag, name, known));
}

const clicks = Number(flags.clicks);
const isFull = clicks >= FULL_CLICKS;
const mode: Mode = oneOf("mode", flags.mode, MODES);
const kinds: readonly Killed[] = someOf("only", flags.only, KILLED);
const steps: readonly Step[] = someOf("steps", flags.steps, STEPS);
const rate = Number(flags.rate ?? (isFull ? 5_000 : Math.ceil(clicks / SHORT_RUN_SECONDS)));
const asked = { mode, seed: Number(flags.seed), rate, offered: Math.round(rate * OFFERED_SHARE) };

console.log(`seed ${flags.seed}`);
const result = await runExactlyOnceCluster({
  ...asked,
  clicks,
  kinds,
  steps,
  each: Number(flags.each ?? (isFull ? 3 : 1)),
  pauseMs: Number(flags.pause ?? (isFull ? 60 : 10)) * 1_000,
  engineAwayMs: isFull ? 12_000 : 3_000,
  logAndActorsAwayMs: isFull ? 4_000 : 2_000,
  ads: Number(flags.ads),
  repeatMostMs: Number(flags["repeat-within"] ?? (isFull ? 60 : 4)) * 1_000,
  explained: isFull ? 1_000 : 300,
  keep: flags.keep,
  say: (line) => console.log(line),
});
if (!flags.json) console.log(reportLines(asked, result).join("\n"));
console.log(reportJson(asked, result));
process.exit(result.invariants.some(({ faults }) => faults.length > 0) ? 1 : 0);
