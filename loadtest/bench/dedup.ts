/**
 * What it costs to know whether an id was counted: the Bloom filter alone, and the whole index
 * over the real store. node loadtest/bench/dedup.ts [--quick] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rocksShardStores } from "../../actors/adapters/rocksdb/shard-store.ts";
import { mix32 } from "../../actors/core/hash.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { createBloom } from "../../actors/dedup/bloom.ts";
import { DedupIndex } from "../../actors/dedup/dedup-index.ts";
import { createBench } from "../lib/microbench.ts";

const CALLS = 1_000_000;
const { bloomFalsePositiveRate, dedupRunIds, dedupSliceMs } = DEFAULT_LIMITS;

const bench = createBench("dedup", "an id");

// The filter: 1 % of what it does not hold passes it.
const filter = createBloom(CALLS, bloomFalsePositiveRate);
for (let i = 0; i < CALLS; i++) filter.add(mix32(i), mix32(~i) | 1);
const asked = (first: number) => (calls: number) => {
  let passed = 0;
  for (let i = first; i < first + calls; i++) if (filter.mayContain(mix32(i), mix32(~i) | 1)) passed += 1;
  return passed;
};
bench.measure("Bloom filter, an id that it holds", CALLS, asked(0));
bench.measure("Bloom filter, an id that it does not hold", CALLS, asked(CALLS));
const fresh = createBloom(CALLS * 10, bloomFalsePositiveRate);
bench.measure("Bloom filter, an id is added", CALLS, (calls) => {
  for (let i = 0; i < calls; i++) fresh.add(mix32(i), mix32(~i) | 1);
  return fresh.count;
});

// The index: ids of one slice, a save to the store whenever a shard would.
const dir = await mkdtemp(join(tmpdir(), "adtally-bench-dedup-"));
const store = await rocksShardStores(dir).open(0);
try {
  const index = new DedupIndex(
    { sliceMs: dedupSliceMs, falsePositiveRate: bloomFalsePositiveRate, runIds: dedupRunIds },
    store,
  );
  const [w0, w1] = [0x0192_a1b2, 0x4000_7000];
  let added = 0;
  let runs = 0;
  const save = () => {
    const taken = index.takeRuns(runs++);
    store.saveIds(taken);
    index.saved(taken, []);
  };
  const find = (i: number) => index.find(w0, w1, mix32(i), i) !== undefined;
  /** New ids, each asked for before; those that are found are the wrong ones. */
  const addNew = (count: number): number => {
    let found = 0;
    for (let i = 0; i < count; i++) {
      if (find(added)) found += 1;
      index.add(w0, w1, mix32(added), added, runs, i);
      added += 1;
      if (index.unsavedIds >= dedupRunIds) save();
    }
    if (found > 0) throw new Error(`${found} of ${count} new ids were taken for repeats`);
    return added;
  };
  const repeats = (what: string, calls: number, idOf: (i: number) => number) =>
    bench.measure(`exact, a repeat ${what}`, calls, (count) => {
      let found = 0;
      for (let i = 0; i < count; i++) if (find(idOf(i))) found += 1;
      if (found !== count) throw new Error(`${count - found} of ${count} ids were forgotten`);
      return found;
    });
  // A slice that fills: what the filter cannot tell is looked up in each of its runs.
  for (const before of bench.isQuick ? [0, 300_000] : [0, 2_000_000]) {
    addNew(before - added);
    const name = `a slice of ${before === 0 ? "no" : before.toLocaleString("en")} ids`;
    bench.measure(`exact, a new id looked up, added, saved; ${name}`, CALLS / 5, addNew);
    save();
    const stored = added;
    repeats(`from the store, runs in its slice: ${runs}`, CALLS / 1_000, (i) => mix32(i) % stored);
  }
  const stored = added;
  for (let i = 0; i < 10_000; i++) index.add(w0, w1, mix32(stored + i), stored + i, runs, i);
  repeats("of an id that came since the last save", CALLS, (i) => stored + (i % 10_000));
  bench.add("memory", {
    "Bloom bytes an id": Math.round((index.stats.bloomBytes / index.stats.ids) * 100) / 100,
  });
} finally {
  await store.close();
  await rm(dir, { recursive: true, force: true });
}
bench.print();
