/** What routing costs, and whether it allocates: `node --expose-gc loadtest/bench-route.ts`. */
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { route } from "../actors/routing/generation.ts";
import type { Generation } from "../actors/routing/generation.ts";
import { addGeneration, emptyTable, generationAt } from "../actors/routing/table.ts";
import { measure, printTable } from "./microbench.ts";

const CALLS = 5_000_000;

const whole: Generation = { number: 1, inForceFromMs: 0, shardCount: 64, splits: new Map() };
const split: Generation = { ...whole, splits: new Map(Array.from({ length: 100 }, (_, i) => [i * 31, 8])) };
const table = addGeneration(emptyTable(0), { shardCount: 64 }, 0, DEFAULT_LIMITS);

const routeAll = (generation: Generation, adHigh: number, adOf: (i: number) => number) => (calls: number) => {
  let sum = 0;
  for (let i = 0; i < calls; i++) sum += route(generation, adHigh, adOf(i), 0x18c0_1234, i, 0x8000_0001, 17);
  return sum;
};

printTable("routing", [
  measure(
    "nothing split",
    CALLS,
    routeAll(whole, 0, (i) => i),
  ),
  measure(
    "100 ads split, another ad",
    CALLS,
    routeAll(split, 0, (i) => i * 31 + 1),
  ),
  measure(
    "100 ads split, one of them",
    CALLS,
    routeAll(split, 0, (i) => (i % 100) * 31),
  ),
  measure(
    "100 ads split, 53-bit ad ids",
    CALLS,
    routeAll(split, 0x1f_0000, (i) => i),
  ),
  measure("generationAt", CALLS, (calls) => {
    let sum = 0;
    for (let i = 0; i < calls; i++) {
      const generation = generationAt(table, i % 1_000, 0, DEFAULT_LIMITS);
      if (typeof generation !== "string") sum += generation.number;
    }
    return sum;
  }),
]);

const heapAfter = (run: () => void): number => {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  run();
  return process.memoryUsage().heapUsed - before;
};
const grown = heapAfter(() => void routeAll(split, 0, (i) => i * 31)(100_000));
process.stdout.write(`  100,000 routes grew the heap by ${grown} bytes\n`);
