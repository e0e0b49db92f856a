/** The end of an exactly-once run, for people: its pace, its faults with their times, its figures, each invariant by name. */
import type { Fault } from "./faults.ts";
import type { RunResult } from "./run.ts";

/** Differences named of each invariant. */
const NAMED = 20;

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")}`.trimEnd());
}

function faultRows(faults: readonly Fault[]): string[] {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  const inTime = [...faults].sort((a, b) => a.atMs - b.atMs);
  const rows = inTime.map(({ what, atMs, afterClicks, recoveryMs, proof }) => [
    seconds(atMs),
    String(afterClicks),
    what,
    seconds(recoveryMs),
    proof,
  ]);
  return table([["at", "after clicks", "fault", "served again in", "proof"], ...rows]);
}

function invariantLines({ invariants }: RunResult): string[] {
  return invariants.flatMap(({ name, checked, faults }) => [
    `  ${name.padEnd(9)}  ${faults.length === 0 ? "holds " : "BROKEN"}  ${checked}`,
    ...faults.slice(0, NAMED).map((fault) => `             DIFFERENT: ${fault}`),
    ...(faults.length > NAMED ? [`             … and ${faults.length - NAMED} more`] : []),
  ]);
}

export interface Asked {
  readonly mode: string;
  readonly seed: number;
  readonly rate: number;
  readonly offered: number;
}

export function reportLines({ mode, seed, rate, offered }: Asked, result: RunResult): readonly string[] {
  const { pace, faults, figures } = result;
  const number = (value: number | string) =>
    typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : value;
  return [
    `exactly once on a cluster: ${mode}, seed ${seed}`,
    ...(faults.length === 0 ? [] : ["faults", ...faultRows(faults)]),
    "figures",
    ...table([
      ["clicks a second asked", number(rate)],
      ["clicks a second offered", number(offered)],
      ["clicks a second achieved", number(Math.round(pace.perSecond))],
      ...Object.entries(figures).map(([name, value]) => [name, number(value)]),
    ]),
    "invariants",
    ...invariantLines(result),
  ];
}

/** The same for programs: one object. */
export function reportJson({ mode, seed, rate, offered }: Asked, result: RunResult): string {
  const { pace, faults, figures, invariants } = result;
  return JSON.stringify({
    test: "exactly-once-cluster",
    mode,
    seed,
    asked_per_second: rate,
    offered_per_second: offered,
    achieved_per_second: Math.round(pace.perSecond),
    figures,
    faults: faults.map(({ what, atMs, afterClicks, recoveryMs }) => ({
      what,
      at_ms: Math.round(atMs),
      after_clicks: afterClicks,
      recovery_ms: Math.round(recoveryMs),
    })),
    invariants: Object.fromEntries(invariants.map(({ name, faults: found }) => [name, found.length])),
    differences: invariants.reduce((sum, { faults: found }) => sum + found.length, 0),
  });
}
