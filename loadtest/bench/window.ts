/**
 * What it costs to count a click in its window, and to hand the windows on:
 * node loadtest/bench/window.ts [--quick] [--json]
 */
import { RowAt, rowEnd } from "../../actors/block/row.ts";
import { WINDOW_MS } from "../../actors/core/time.ts";
import { rowsOf } from "../../actors/sim/clicks.ts";
import { seededRandom } from "../../actors/sim/random.ts";
import { WindowSet } from "../../actors/window/window-set.ts";
import { CountKind } from "../../actors/window/window-table.ts";
import { createBench } from "../lib/microbench.ts";

const CALLS = 2_000_000;
const ROWS = 20_000;
const MINUTE_MS = 29_000_000 * WINDOW_MS;
/** Flushes are 400 ms apart, so that a window is sent at most so often. */
const FLUSHES = 20;

const random = seededRandom(1);
const bench = createBench("window", "a click");
const emptyStore = { readMinute: () => [] };

function rowsOver(ads: number): { readonly rows: Buffer; readonly idsAt: readonly number[] } {
  const clicks = Array.from({ length: ROWS }, () => ({
    id: Buffer.alloc(16),
    adId: 1 + random.below(ads),
    clickMs: 0,
    receivedMs: 0,
  }));
  const rows = rowsOf(clicks, 0);
  const idsAt: number[] = [];
  for (let at = 0; at < rows.length; at = rowEnd(rows, at)) idsAt.push(at + RowAt.adId);
  return { rows, idsAt };
}

for (const [ads, minutes] of [
  [1, 1],
  [10_000, 1],
  [10_000, 6],
] as const) {
  const { rows, idsAt } = rowsOver(ads);
  const windows = new WindowSet(emptyStore);
  const title = `${ads.toLocaleString("en")} ${ads === 1 ? "ad" : "ads"}, ${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  bench.measure(title, CALLS, (calls) => {
    for (let i = 0; i < calls; i++) {
      const timeMs = MINUTE_MS + (i % minutes) * WINDOW_MS;
      windows.count(rows, idsAt[i % ROWS]!, timeMs, CountKind.CLICK, i);
    }
    return windows.stats.windows;
  });
}

// Handing on: every ad has been clicked since the last time.
const { rows, idsAt } = rowsOver(10_000);
const windows = new WindowSet(emptyStore);
const handedOn = (what: string, handOn: () => number) => {
  let ns = 0;
  let count = 0;
  for (let i = 0; i < FLUSHES; i++) {
    for (const at of idsAt) windows.count(rows, at, MINUTE_MS, CountKind.CLICK, i);
    const startedAt = process.hrtime.bigint();
    count += handOn();
    ns += Number(process.hrtime.bigint() - startedAt);
  }
  bench.add(what, { "ns a window": Math.round((ns / count) * 10) / 10 });
};
handedOn("changed windows are taken for ClickHouse", () => {
  let taken = 0;
  for (const each of windows.unflushedTables()) {
    each.takeUnflushed(Number.MAX_SAFE_INTEGER, () => {
      taken += 1;
    });
  }
  return taken;
});
handedOn("changed windows are taken for the store", () => {
  windows.takeUnsaved();
  return windows.stats.windows;
});
bench.print();
