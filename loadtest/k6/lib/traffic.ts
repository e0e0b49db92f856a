/**
 * What every scenario is told and offers, inside k6: the tokens prepared for it, the rate at
 * which they are clicked, and the thresholds that fail the run.
 *
 *  K1 A token is clicked by one iteration alone, unless the scenario repeats it by intent.
 *  K2 The rate is an arrival rate: it does not wait for answers. A dropped iteration would leave
 *     the offered rate unproven, so one fails the run.
 *  K3 Latencies are judged after the warm-up; clicks are counted from the first on.
 *
 * k6 runs on the cores of what it measures, and at 10,000 iterations a second each microsecond of
 * an iteration is a hundredth of a core: what iterations have in common is made once a user here.
 */
import exec from "k6/execution";
import type { Options, Scenario } from "k6/options";

function setting(name: string): string {
  const value = __ENV[name];
  if (value === undefined) throw new Error(`${name} is not set: run npm run loadtest -- --help`);
  return value;
}

export const url = setting("ADTALLY_URL");
export const reportUrl = setting("ADTALLY_REPORT_URL");
export const grpcAddress = setting("ADTALLY_GRPC");
export const key = setting("ADTALLY_KEY");
export const rate = Number(setting("ADTALLY_RATE"));
export const durationSeconds = Number(setting("ADTALLY_SECONDS"));
export const advertisers = setting("ADTALLY_ADVERTISERS").split(",");
const knee = Number(setting("ADTALLY_RAMP_TO"));
const p99Ms = Number(setting("ADTALLY_P99_MS"));

const USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 k6";
export const WARM_UP_SECONDS = 5;
const RAMP_STEPS = 10;

/**
 * As k6-run/tokens.ts writes them. One constant of a module is one text for all users, and a part of it
 * is no copy. (A SharedArray parses and freezes a text character by character, a sixth of k6's time.)
 */
interface Prepared {
  readonly tokens: string;
  readonly tokenLength: number;
}

declare function require(path: string): Prepared;
const { tokens, tokenLength } = require(setting("ADTALLY_TOKENS"));

/** Token number `i` of those prepared. */
export function token(i: number): string {
  const from = i * tokenLength;
  if (from >= tokens.length)
    throw new Error(`token ${i} was not prepared: ${tokens.length / tokenLength} were`);
  return tokens.slice(from, from + tokenLength);
}

/** Clicks of the warm-up, which the load's own follow. */
export const warmUpClicks = (clicksASecond: number): number =>
  Math.ceil((clicksASecond / 2) * WARM_UP_SECONDS) + 1;

let scenario: typeof exec.scenario | undefined;

/** This iteration's number among all of its scenario. */
export const iteration = (): number => (scenario ??= exec.scenario).iterationInTest;

/**
 * How many virtual users an arrival rate needs while answers take up to 50 ms, and may need while they
 * take up to a quarter of a second. One that is made in mid-run costs more than many iterations do.
 */
const users = (iterationsASecond: number) => ({
  preAllocatedVUs: Math.min(1_000, Math.max(10, Math.ceil(iterationsASecond / 20))),
  maxVUs: Math.max(20, Math.ceil(iterationsASecond / 4)),
});

export function warmUp(run: string, iterationsASecond: number): Scenario {
  const each = Math.max(1, Math.round(iterationsASecond / 2));
  return {
    executor: "constant-arrival-rate",
    exec: run,
    rate: each,
    timeUnit: "1s",
    duration: `${WARM_UP_SECONDS}s`,
    ...users(each),
  };
}

interface When {
  /** Seconds after the warm-up. */
  readonly after?: number;
  readonly seconds?: number;
  /** The rate to which it is raised in steps; held where there is none. */
  readonly rampTo?: number;
}

/** The load itself: the rate held, or raised in steps to where it breaks. */
export function load(run: string, iterationsASecond: number, when: When = {}): Scenario {
  const { after = 0, seconds = durationSeconds, rampTo: most = 0 } = when;
  const timing = { exec: run, timeUnit: "1s", startTime: `${WARM_UP_SECONDS + after}s` };
  if (most <= iterationsASecond) {
    const held = { rate: Math.max(1, Math.round(iterationsASecond)), duration: `${seconds}s` };
    return { executor: "constant-arrival-rate", ...timing, ...held, ...users(iterationsASecond) };
  }
  const step = (most - iterationsASecond) / (RAMP_STEPS - 1);
  const targets = Array.from({ length: RAMP_STEPS }, (_, i) => Math.round(iterationsASecond + i * step));
  return {
    executor: "ramping-arrival-rate",
    ...timing,
    startRate: Math.round(iterationsASecond),
    stages: targets.map((target) => ({ target, duration: `${Math.ceil(seconds / RAMP_STEPS)}s` })),
    ...users(most),
  };
}

/** To what rate this run is raised; 0 where it is held. */
export const rampTo = (): number => knee;

/** Options of a run of these scenarios: those `judged` by their latency, and those only `shown` with it. */
export function offered(
  scenarios: Record<string, Scenario>,
  judged: readonly string[],
  shown: readonly string[] = [],
): Options {
  const of = (metric: string, scenario: string) => `${metric}{scenario:${scenario}}`;
  const thresholds: Record<string, string[]> = {
    clicks_refused: ["count==0"],
    clicks_unanswered: ["count==0"],
    checks: ["rate==1"],
    // No bound: k6 tells a scenario's figures apart only where a threshold asks for them.
    "clicks_sent{scenario:warm_up}": ["count>=0"],
  };
  for (const name of judged) {
    thresholds[of("click_ms", name)] = [`p(95)<${p99Ms / 2}`, `p(99)<${p99Ms}`];
    thresholds[of("dropped_iterations", name)] = ["count==0"];
  }
  for (const name of shown) {
    thresholds[of("click_ms", name)] = ["max>=0"];
    thresholds[of("dropped_iterations", name)] = ["count>=0"];
  }
  return {
    scenarios,
    thresholds,
    discardResponseBodies: true,
    maxRedirects: 0,
    noCookiesReset: true,
    userAgent: USER_AGENT,
    summaryTrendStats: ["min", "avg", "med", "p(95)", "p(99)", "p(99.9)", "max"],
    systemTags: ["scenario", "status", "error_code"],
  };
}

/** Writes k6's figures where the command that started it reads them. */
export function handleSummary(data: object): Record<string, string> {
  return { [setting("ADTALLY_SUMMARY")]: JSON.stringify(data) };
}
