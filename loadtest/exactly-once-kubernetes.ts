/**
 * Exactly once on a real Kubernetes node of this machine, from helm install to helm uninstall:
 *
 *   npm run test:cluster -- [--short] [--seed N] [--steps scale-up,split,upgrade]
 *       [--rate 300] [--calm 120] [--operator-away 10m] [--screens FILE] [--keep]
 *
 * Needs root on Linux, Go, Java and Maven; installs the rest into .cache/servers. Where the node cannot
 * run it says what the kernel lacks, and ends with 1. So it does when anything differs.
 */
import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { nodeLacks } from "../testing/kubernetes/node-install.ts";
import { kafkaLacks } from "../testing/servers/kafka-install.ts";
import { redisLacks } from "../testing/servers/redis.ts";
import { COMPONENTS } from "./exactly-once-kubernetes/kube.ts";
import { reportLines } from "./exactly-once-kubernetes/report.ts";
import { runExactlyOnceKubernetes } from "./exactly-once-kubernetes/run.ts";
import { STEPS, type StepName } from "./exactly-once-kubernetes/scenario.ts";

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000 };
const MOST_SEED = 0x7fff_ffff;

function duration(text: string): number {
  const [, count, unit] = /^(\d{1,4})(s|m)$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) throw new InvalidArgumentError("a time such as 30s or 10m.");
  return Number(count) * UNITS[unit]!;
}

function whole(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a whole number.");
}

function stepsOf(text: string): readonly StepName[] {
  return text
    .split(",")
    .filter(Boolean)
    .map((name) => {
      const step = STEPS.find((each) => each === name);
      if (step === undefined) throw new InvalidArgumentError(`some of ${STEPS.join(", ")}.`);
      return step;
    });
}

interface Flags {
  readonly short: boolean;
  readonly seed: number;
  readonly steps?: readonly StepName[];
  readonly rate: number;
  readonly calm: number;
  readonly operatorAway?: number;
  readonly screens?: string;
  readonly keep: boolean;
}

const flags = new Command("npm run test:cluster --")
  .description("Exactly once on a real Kubernetes node of this machine, from helm install to helm uninstall.")
  .allowExcessArguments(false)
  .option("--short", "as CI runs it: no merge, no power cut, everything else for less long", false)
  .option("--seed <number>", "of all that is drawn", whole, randomInt(MOST_SEED))
  .option("--steps <names>", `some of ${STEPS.join(", ")}`, stepsOf)
  .option("--rate <clicks>", "a second, while one ad gets 60 % of them", whole, 300)
  .option("--calm <clicks>", "a second, while none is hot", whole, 120)
  .option("--operator-away <time>", "such as 10m (default: 30s, with --short 15s)", duration)
  .option("--screens <file>", "writes what kubectl shows meanwhile, as Markdown")
  .option("--keep", "leaves the folder, with all logs", false)
  .parse()
  .opts<Flags>();

const lacks = (await nodeLacks()) ?? (await kafkaLacks()) ?? (await redisLacks());
if (lacks !== undefined) {
  console.error(`npm run test:cluster cannot run here: ${lacks}`);
  process.exit(1);
}
const { short, seed } = flags;
const shortSteps = STEPS.filter((step) => !["merge", "node-cut", "scale-down", "api-away"].includes(step));
console.log(`seed ${seed}`);
try {
  const result = await runExactlyOnceKubernetes({
    seed,
    steps: flags.steps ?? (short ? shortSteps : STEPS),
    hotPerSecond: flags.rate,
    calmPerSecond: flags.calm,
    operatorAwayMs: flags.operatorAway ?? (short ? 15_000 : 30_000),
    apiAwayMs: 15_000,
    nodeAwayMs: 5_000,
    // Longer than a host that was started again takes to know its load.
    mergeAfterSeconds: 45,
    deleted: short ? ["gateways", "actors"] : COMPONENTS,
    lateMostMs: short ? 15_000 : 20_000,
    measureMs: short ? 10_000 : 20_000,
    ads: 20,
    repeatMostMs: short ? 20_000 : 30_000,
    explained: 200,
    keep: flags.keep,
    say: (line) => console.log(line),
  });
  console.log(reportLines(seed, result).join("\n"));
  if (flags.screens !== undefined) writeFileSync(flags.screens, result.played.screens.text);
  process.exit(result.invariants.some(({ faults }) => faults.length > 0) ? 1 : 0);
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exit(1);
}
