/**
 * Times small synchronous functions: warm-up, then the best of a few rounds. A benchmark is a
 * program that prints a line for each; all of them know --quick (less of everything, to see that
 * it runs) and --json.
 */
import { parseArgs } from "node:util";
import { printLines, type Figures, type Line } from "./report.ts";

const ROUNDS = 5;
const QUICK_ROUNDS = 2;
const QUICK_SHARE = 0.05;

export interface Bench {
  readonly isQuick: boolean;
  /** `run(n)` calls the function under test n times and returns something that depends on each call. */
  measure(what: string, calls: number, run: (calls: number) => number): void;
  /** A line that was measured otherwise. */
  add(what: string, figures: Figures): void;
  print(): void;
}

/** @param each what is done in a call: "a token" */
export function createBench(name: string, each = "a call"): Bench {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
  });
  const lines: Line[] = [];
  const add = (what: string, figures: Figures) => void lines.push({ test: `${name}: ${what}`, figures });
  return {
    isQuick: values.quick,
    add,
    measure(what, most, run) {
      const calls = values.quick ? Math.ceil(most * QUICK_SHARE) : most;
      let sink = run(Math.ceil(calls / 10));
      let best = Infinity;
      for (let round = 0; round < (values.quick ? QUICK_ROUNDS : ROUNDS); round++) {
        const start = process.hrtime.bigint();
        sink ^= run(calls);
        best = Math.min(best, Number(process.hrtime.bigint() - start));
      }
      if (Number.isNaN(sink)) throw new Error(`${what}: nothing was computed`);
      const ns = best / calls;
      add(what, { [`ns ${each}`]: Math.round(ns * 10) / 10, "a second": Math.round(1e9 / ns) });
    },
    print: () => printLines(lines, values.json),
  };
}
