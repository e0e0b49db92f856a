/**
 * `npm run loadtest -- SCENARIO`: starts what is needed, lets k6 offer the traffic, compares what
 * was acked with what the reports count, prints one table and writes a page of plots.
 * Exits with 1 when a threshold was crossed or the counts disagree.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { installK6 } from "../testing/servers/k6-install.ts";
import { createAds } from "./lib/ads.ts";
import { cpuUsOf } from "./lib/processes.ts";
import { print, type Figures } from "./lib/report.ts";
import { cpuByPhase, sampleCpu } from "./k6-run/cpu-by-phase.ts";
import { disagreements, readCounted, settled } from "./k6-run/account.ts";
import { countOf, crossed, runK6, valueOf, type K6Summary } from "./k6-run/k6.ts";
import { SCENARIOS, type Offer, type ScenarioKind } from "./k6-run/scenarios.ts";
import { openTarget, type Target } from "./k6-run/target.ts";
import { writeTokens } from "./k6-run/tokens.ts";

const STILL_MS = 15_000;
/** Of a cluster's processes, those that an ad's place matters to. */
const TOLD_BY_PHASE = ["actor", "gateway", "clickhouse"];

interface Flags {
  readonly rate: number;
  readonly duration: number;
  readonly rampTo: number;
  readonly ads: number;
  readonly p99: number;
  readonly on: string;
  readonly grpc?: string;
  readonly reports?: string;
  readonly key?: string;
  readonly out: string;
  readonly json: boolean;
}

function number(text: string): number {
  const value = Number(text);
  if (!/^\d{1,7}$/.test(text) || value < 1) throw new InvalidArgumentError("a whole number from 1 on.");
  return value;
}

function seconds(text: string): number {
  const [, amount, unit] = /^(\d{1,5})(s|m|)$/.exec(text) ?? [];
  if (amount === undefined || Number(amount) < 1) throw new InvalidArgumentError("such as 60s or 5m.");
  return Number(amount) * (unit === "m" ? 60 : 1);
}

function readCommand(): { readonly name: string; readonly flags: Flags } {
  const width = Math.max(...Object.keys(SCENARIOS).map((name) => name.length));
  const list = Object.entries(SCENARIOS).map(([name, { what }]) => `  ${name.padEnd(width)}  ${what}`);
  const option = (flags: string, what: string) => new Option(flags, what);
  const command = new Command("npm run loadtest --")
    .description("Offers clicks by k6 and compares what was acked with what is counted.")
    .argument("<scenario>", Object.keys(SCENARIOS).join(", "))
    .addHelpText("after", `\nScenarios:\n${list.join("\n")}`)
    .addOption(option("--rate <clicks>", "clicks a second").argParser(number).default(10_000))
    .addOption(
      option("--duration <time>", "of the load, after 5 s of warm-up").argParser(seconds).default(60, "60s"),
    )
    .addOption(
      option("--ramp-to <clicks>", "http-clicks: raise the rate to this in ten steps")
        .argParser(number)
        .default(0, "hold it"),
    )
    .addOption(option("--ads <count>", "ads clicked on").argParser(number).default(200))
    .addOption(
      option("--p99 <ms>", "threshold of the 99th percentile; p95 has half of it")
        .argParser(number)
        .default(25),
    )
    .addOption(option("--on <target>", "local, cluster, or the URL of a gateway that runs").default("local"))
    .addOption(option("--grpc <host:port>", "with --on URL: its gRPC"))
    .addOption(option("--reports <url>", "with --on URL: the query service (default: the gateway)"))
    .addOption(option("--key <key>", "with --on URL: a key of scope admin").env("ADTALLY_ADMIN_KEY"))
    .addOption(option("--out <folder>", "where the page of plots goes").default("loadtest/out"))
    .option("--json", "the figures as one line of JSON", false)
    .parse();
  const name = command.args[0]!;
  if (SCENARIOS[name] === undefined)
    command.error(`error: no scenario ${name}: there are ${Object.keys(SCENARIOS).join(", ")}`);
  return { name, flags: command.opts<Flags>() };
}

/** CPU time of the target's processes so far, by name. */
async function cpuOf({ pids }: Target): Promise<Map<string, number>> {
  const each = [...pids].map(async ([name, pid]) => [name, await cpuUsOf(pid)] as const);
  return new Map(await Promise.all(each));
}

function latencyFigures(summary: K6Summary, { judged }: ScenarioKind): Figures {
  const figures: Record<string, number> = {};
  for (const name of judged) {
    for (const [title, which] of [
      ["p50", "med"],
      ["p95", "p(95)"],
      ["p99", "p(99)"],
      ["p99.9", "p(99.9)"],
      ["max", "max"],
    ] as const) {
      const value = valueOf(summary, `click_ms{scenario:${name}}`, which);
      figures[`${name}: latency ${title} ms`] = Math.round(value * 10) / 10;
    }
    figures[`${name}: dropped iterations`] = countOf(summary, `dropped_iterations{scenario:${name}}`);
  }
  return figures;
}

async function run(name: string, flags: Flags): Promise<boolean> {
  const scenario = SCENARIOS[name]!;
  const say = (line: string) => void process.stderr.write(`loadtest: ${line}\n`);
  const offer: Offer = { rate: flags.rate, seconds: flags.duration, rampTo: flags.rampTo };
  const k6 = await installK6(say);
  const dir = await mkdtemp(join(tmpdir(), "adtally-k6-run-"));
  await mkdir(flags.out, { recursive: true });
  const startedMs = Date.now();
  const htmlFile = join(flags.out, `${name}-${new Date(startedMs).toISOString().replace(/[:.]/g, "-")}.html`);
  say(`starting the target (${flags.on})`);
  const { on, grpc, reports, key } = flags;
  const target = await openTarget({ on, grpc, reports, key, say, splits: scenario.splits });
  try {
    const ads = await createAds(target.url, flags.ads);
    const advertisers = [...new Set(ads.map(({ advertiserId }) => advertiserId))];
    const read = () => readCounted(target, advertisers, startedMs);
    const before = await read();
    const tokens = join(dir, "tokens");
    const groups = scenario.tokens(offer);
    say(`issuing ${groups.reduce((sum, { count }) => sum + count, 0)} impressions`);
    await writeTokens(tokens, target.url, ads, groups);
    say(`k6 offers ${name} for ${flags.duration + 5} s`);
    const cpuBefore = await cpuOf(target);
    const { phases = [] } = scenario;
    const samples = phases.length > 0 ? sampleCpu(() => cpuOf(target)) : undefined;
    const summary = await runK6({
      command: k6,
      script: scenario.file,
      summaryFile: join(dir, "summary.json"),
      htmlFile,
      settings: {
        ADTALLY_URL: target.url,
        ADTALLY_REPORT_URL: target.reportUrl,
        ADTALLY_GRPC: target.grpcAddress,
        ADTALLY_KEY: target.key,
        ADTALLY_RATE: String(flags.rate),
        ADTALLY_RAMP_TO: String(flags.rampTo),
        ADTALLY_SECONDS: String(flags.duration),
        ADTALLY_P99_MS: String(flags.p99),
        ADTALLY_ADVERTISERS: advertisers.join(","),
        ADTALLY_TOKENS: tokens,
      },
    }).finally(() => samples?.stop());
    const cpuAfter = await cpuOf(target);
    const acked = countOf(summary, "clicks_acked");
    const sent = countOf(summary, "clicks_sent");
    const unanswered = countOf(summary, "clicks_unanswered");
    const warmUp = countOf(summary, "clicks_sent{scenario:warm_up}");
    const firsts = warmUp + scenario.firsts(sent - warmUp);
    const expected = {
      clicks: before.clicks + firsts,
      duplicates: before.duplicates + Math.max(0, acked - firsts),
    };
    const now = await settled(read, expected, STILL_MS);
    const counted = { clicks: now.clicks - before.clicks, duplicates: now.duplicates - before.duplicates };
    const wrong = [...crossed(summary), ...disagreements({ sent, acked, unanswered, firsts }, counted)];
    const perClick = [...cpuAfter].map(([each, us]): [string, number] => [
      `CPU µs a click: ${each}`,
      Math.round(((us - (cpuBefore.get(each) ?? 0)) / acked) * 100) / 100,
    ]);
    print(
      `${name} on ${target.name}`,
      {
        "offered clicks a second": flags.rampTo > 0 ? `${flags.rate} to ${flags.rampTo}` : flags.rate,
        "seconds of load": flags.duration,
        ...latencyFigures(summary, scenario),
        sent,
        acked,
        refused: countOf(summary, "clicks_refused"),
        unanswered,
        "counted (reports)": counted.clicks,
        "duplicates (reports)": counted.duplicates,
        ...Object.fromEntries(perClick),
        ...(samples && cpuByPhase(samples, summary, phases, TOLD_BY_PHASE)),
        plots: relative(process.cwd(), htmlFile),
        verdict: wrong.length === 0 ? "all thresholds hold, acked = counted" : wrong.join("; "),
      },
      flags.json,
    );
    return wrong.length === 0;
  } finally {
    await target.close();
    await rm(dir, { recursive: true, force: true });
  }
}

const { name, flags } = readCommand();
try {
  if (!(await run(name, flags))) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`loadtest: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
