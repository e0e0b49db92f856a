/** The end of an exactly-once run, for people: its pace, its faults with their times, its figures, each invariant by name. */
import type { Fault } from "./faults.ts";
import type { Invariant } from "./invariants.ts";
import type { RunResult } from "./run.ts";

/** Differences named of each invariant. */
const NAMED = 20;

/** Rows of as many cells, each column as wide as its widest. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")}`.trimEnd());
}

function faultRows(faults: readonly Fault[]): readonly string[] {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  const inTime = [...faults].sort((a, b) => a.atMs - b.atMs);
  const rows = inTime.map(({ what, atMs, afterClicks, recoveryMs, proof }) => [
    seconds(atMs),
    String(afterClicks),
    what,
    seconds(recoveryMs),
    proof,
  ]);
  return columns([["at", "after clicks", "fault", "served again in", "proof"], ...rows]);
}

export const numberText = (value: number | string): string =>
  typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : value;

export function invariantLines(invariants: readonly Invariant[]): readonly string[] {
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
  return [
    `exactly once on a cluster: ${mode}, seed ${seed}`,
    ...(faults.length === 0 ? [] : ["faults", ...faultRows(faults)]),
    "figures",
    ...columns([
      ["clicks a second asked", numberText(rate)],
      ["clicks a second offered", numberText(offered)],
      ["clicks a second achieved", numberText(Math.round(pace.perSecond))],
      ...Object.entries(figures).map(([name, value]) => [name, numberText(value)]),
    ]),
    "invariants",
    ...invariantLines(result.invariants),
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
