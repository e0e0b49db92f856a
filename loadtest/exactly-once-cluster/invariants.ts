/** I1 to I5 of an exactly-once run: what was held against what, and what differs. */
import type { Pace } from "../exactly-once/pace.ts";
import type { PlannedClick } from "../exactly-once/plan.ts";
import type { SentClick } from "../exactly-once/send.ts";
import type { Fault } from "./faults.ts";
import { KILLED, type Killed } from "./schedule.ts";
import type { Absence } from "./steps.ts";

export interface Invariant {
  readonly name: "I1" | "I2" | "I3" | "I4" | "I5" | "pace" | "redirects" | "uninstall";
  /** What it was held against, with its figures. */
  readonly checked: string;
  /** Empty: it holds. */
  readonly faults: readonly string[];
}

/** A process of ours may hold so much more than before the first click: buffers and caches have bounds. */
const GROWTH_MOST_MB = 384;

/** I4: the lag has drained (what is measured is the time), and no process keeps what the faults piled up. */
export function drained(
  settledMs: number,
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): Invariant {
  const grown = [...after].map(([name, mb]) => ({ name, mb, by: mb - (before.get(name) ?? 0) }));
  const most = grown.reduce((a, b) => (b.by > a.by ? b : a), { name: "no process", mb: 0, by: 0 });
  return {
    name: "I4",
    checked:
      `queues, spill, spool and unflushed windows empty after ${(settledMs / 1_000).toFixed(1)} s; ` +
      `memory grew most in ${most.name}, by ${most.by} MB to ${most.mb}`,
    faults: grown
      .filter(({ by }) => by > GROWTH_MOST_MB)
      .map(({ name, mb, by }) => `${name} has ${mb} MB, ${by} more than before the first click`),
  };
}

/** Over the whole run, faults included: a client that was refused asks again, and its wait counts. */
export function paceKept({ answered, tookMs, perSecond }: Pace, wanted: number): Invariant {
  return {
    name: "pace",
    checked: `${answered} clicks sent and answered in ${(tookMs / 1_000).toFixed(1)} s: ${Math.round(perSecond)} a second, ${wanted} were asked`,
    faults: perSecond < wanted ? [`${perSecond.toFixed(1)} clicks a second on average, below ${wanted}`] : [],
  };
}

const kindOf = ({ what }: Fault): Killed | undefined =>
  KILLED.find((kind) => what.startsWith(`SIGKILL ${kind}`));

/** I5: each kind of kill as often as was asked, each fault with its proof, and with clicks coming meanwhile. */
export function fired(
  faults: readonly Fault[],
  kinds: readonly Killed[],
  each: number,
  clicks: number,
): Invariant {
  const found: string[] = [];
  const kills = faults.filter(({ kind }) => kind === "kill");
  const counts = kinds.map((kind) => [kind, kills.filter((fault) => kindOf(fault) === kind).length] as const);
  for (const [kind, count] of counts)
    if (count < each) found.push(`${kind}: killed ${count} times of ${each}`);
  for (const { what, atMs, afterClicks, duringClicks } of faults) {
    // The one after the last click is meant to be.
    if (duringClicks === 0 && afterClicks < clicks)
      found.push(`${what} at ${(atMs / 1_000).toFixed(1)} s: no click came meanwhile`);
  }
  const late = faults.filter(({ afterClicks }) => afterClicks >= clicks);
  for (const { what } of late.slice(0, -1)) found.push(`${what}: only after the last click`);
  const times = counts.map(([kind, count]) => `${kind} × ${count}`).join(", ");
  const others = faults.length - kills.length;
  return {
    name: "I5",
    checked: `killed: ${times}; ${others} longer faults; each with its proof`,
    faults: found,
  };
}

const isValid = ({ kind }: PlannedClick) => kind === "valid";

/** While gateways had nothing behind them, each browser was redirected at its first attempt. */
export function redirects(all: readonly SentClick[], { fromMs, untilMs }: Absence): Invariant {
  const attempts = all
    .filter(({ click }) => isValid(click))
    .flatMap(({ attempts }) => attempts)
    .filter(({ way, sentMs }) => way === "http" && sentMs >= fromMs && sentMs < untilMs);
  const refused = attempts.filter(({ answer }) => answer !== "redirected").length;
  const faults = refused > 0 ? [`${refused} of ${attempts.length} were not redirected`] : [];
  if (attempts.length === 0) faults.push("no browser clicked meanwhile");
  const checked = `${attempts.length - refused} of ${attempts.length} valid clicks over HTTP redirected while broker and actor hosts were away for ${((untilMs - fromMs) / 1_000).toFixed(1)} s`;
  return { name: "redirects", checked, faults };
}
