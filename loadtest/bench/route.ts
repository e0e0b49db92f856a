/** What routing costs, and whether it allocates: node --expose-gc loadtest/bench/route.ts [--quick] [--json] */
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { route, type Generation } from "../../actors/routing/generation.ts";
import { addGeneration, emptyTable, generationAt } from "../../actors/routing/table.ts";
import { createBench } from "../lib/microbench.ts";

const CALLS = 5_000_000;
const UNMEASURED = 100_000;

const whole: Generation = { number: 1, inForceFromMs: 0, shardCount: 64, splits: new Map() };
const split: Generation = { ...whole, splits: new Map(Array.from({ length: 100 }, (_, i) => [i * 31, 8])) };
const generations = addGeneration(emptyTable(0), { shardCount: 64 }, 0, DEFAULT_LIMITS);

const routeAll = (generation: Generation, adHigh: number, adOf: (i: number) => number) => (calls: number) => {
  let sum = 0;
  for (let i = 0; i < calls; i++) sum += route(generation, adHigh, adOf(i), 0x18c0_1234, i, 0x8000_0001, 17);
  return sum;
};
const routeSplit = routeAll(split, 0, (i) => i * 31);

const bench = createBench("route", "a click");
bench.measure(
  "nothing is split",
  CALLS,
  routeAll(whole, 0, (i) => i),
);
bench.measure(
  "100 ads are split, and it is another",
  CALLS,
  routeAll(split, 0, (i) => i * 31 + 1),
);
bench.measure(
  "100 ads are split, and it is one of them",
  CALLS,
  routeAll(split, 0, (i) => (i % 100) * 31),
);
bench.measure(
  "100 ads are split, ad ids of 53 bits",
  CALLS,
  routeAll(split, 0x1f_0000, (i) => i),
);
bench.measure("generation in force at a time", CALLS, (calls) => {
  let sum = 0;
  for (let i = 0; i < calls; i++) {
    const generation = generationAt(generations, i % 1_000, 0, DEFAULT_LIMITS);
    if (typeof generation !== "string") sum += generation.number;
  }
  return sum;
});

routeSplit(UNMEASURED);
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
routeSplit(UNMEASURED);
const grown = process.memoryUsage().heapUsed - before;
bench.add("what it allocates", { "heap bytes a click": Math.round((grown / UNMEASURED) * 10) / 10 });
bench.print();
