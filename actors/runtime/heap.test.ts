import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

const HEAP = new URL("./heap.ts", import.meta.url).href;

/** Full collections of a process that keeps a heap of objects and lets 3 GB of Buffers go by. */
function fullCollections(prologue: string): number {
  const script = `
    ${prologue}
    import { PerformanceObserver, constants } from "node:perf_hooks";
    import { setImmediate as turn } from "node:timers/promises";
    let full = 0;
    new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full += 1;
    }).observe({ entryTypes: ["gc"] });
    globalThis.live = Array.from({ length: 200_000 }, (_, i) => ({ i, of: { i } }));
    await turn();
    full = 0;
    const kept = new Array(100);
    for (let i = 0; i < 15_000; i++) {
      kept[i % kept.length] = Buffer.allocUnsafeSlow(200_000);
      if (i % 10 === 0) await turn();
    }
    await turn();
    console.log(full);
  `;
  return Number(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }));
}

it("Buffers that die young begin no full collections: they took a third of a gateway's CPU", () => {
  const before = fullCollections("");
  const after = fullCollections(`import { tuneCollector } from "${HEAP}"; tuneCollector();`);
  // 20 and 1 where the machine is free; each takes longer, and so there are fewer, where it is not.
  expect(before).toBeGreaterThanOrEqual(3);
  expect(after).toBeLessThanOrEqual(before / 2);
});
