import fc from "fast-check";
import { expect, test } from "vitest";
import { rowsOf } from "../sim/clicks.ts";
import { RowAt } from "../block/row.ts";
import { WINDOW_MS } from "../core/time.ts";
import { advanceWatermark } from "./watermark.ts";
import { WindowSet, type MinuteSave } from "./window-set.ts";
import { CHUNK_ROWS, CountKind } from "./window-table.ts";

const seed = process.env["ADTALLY_SEED"];
const params = seed === undefined ? {} : { seed: Number(seed) };

/** A store that keeps what it is given, as the real one does. */
function shelf() {
  const minutes = new Map<number, { lastChangeOffset: number; chunks: Map<number, Buffer> }>();
  return {
    save(saves: readonly MinuteSave[]): void {
      for (const { minute, lastChangeOffset, chunks } of saves) {
        const stored = minutes.get(minute) ?? { lastChangeOffset, chunks: new Map<number, Buffer>() };
        stored.lastChangeOffset = lastChangeOffset;
        for (const { chunk, bytes } of chunks) stored.chunks.set(chunk, bytes);
        minutes.set(minute, stored);
      }
    },
    stored: () => [...minutes].map(([minute, { lastChangeOffset }]) => ({ minute, lastChangeOffset })),
    readMinute: (minute: number) =>
      [...(minutes.get(minute)?.chunks ?? [])].sort(([a], [b]) => a - b).map(([, bytes]) => bytes),
  };
}

const row = (adId: number) => rowsOf([{ id: Buffer.alloc(16), adId, clickMs: 0, receivedMs: 0 }], 0);

function flush(windows: WindowSet, into: Map<string, string>): void {
  for (const table of windows.unflushedTables()) {
    table.takeUnflushed(Number.MAX_SAFE_INTEGER, (ids, at, clicks, invalid, duplicates) => {
      into.set(`${ids[at]!}@${table.minute}`, `${clicks}/${invalid}/${duplicates}`);
    });
  }
}

test("counts agree with a plain map through flushes, saves, evictions and restarts, in any order", () => {
  const step = fc.oneof(
    {
      weight: 30,
      arbitrary: fc.record({ ad: fc.integer({ min: 1, max: 600 }), minute: fc.nat(4), kind: fc.nat(2) }),
    },
    { weight: 1, arbitrary: fc.constantFrom("flush" as const, "save" as const, "evict" as const) },
    { weight: 1, arbitrary: fc.constant("restart" as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500 }), (steps) => {
      const store = shelf();
      let windows = new WindowSet(store);
      const oracle = new Map<string, [number, number, number]>();
      const sink = new Map<string, string>();
      let offset = 0;
      let flushedOffset = -1;
      for (const item of steps) {
        if (item === "flush") {
          flush(windows, sink);
          flushedOffset = offset - 1;
        } else if (item === "save") store.save(windows.takeUnsaved());
        else if (item === "evict") windows.evictBefore(3 * WINDOW_MS);
        else if (item === "restart") {
          store.save(windows.takeUnsaved());
          windows = new WindowSet(store);
          windows.restore(store.stored(), flushedOffset);
        } else {
          const { ad, minute, kind } = item;
          windows.count(row(ad), RowAt.adId, minute * WINDOW_MS + 5, kind as CountKind, offset++);
          const counts = oracle.get(`${ad}@${minute}`) ?? [0, 0, 0];
          counts[kind]! += 1;
          oracle.set(`${ad}@${minute}`, counts);
        }
      }
      flush(windows, sink);
      expect(Object.fromEntries(sink)).toEqual(
        Object.fromEntries([...oracle].map(([key, counts]) => [key, counts.join("/")])),
      );
    }),
    params,
  );
});

test("a save after one more click rewrites the chunk that changed, not the minute", () => {
  const windows = new WindowSet(shelf());
  const ads = CHUNK_ROWS * 3;
  for (let ad = 1; ad <= ads; ad++) windows.count(row(ad), RowAt.adId, 0, CountKind.CLICK, 0);
  expect(windows.takeUnsaved()[0]!.chunks).toHaveLength(3);
  windows.count(row(CHUNK_ROWS + 1), RowAt.adId, 0, CountKind.CLICK, 1);
  expect(windows.takeUnsaved()[0]!.chunks.map(({ chunk }) => chunk)).toEqual([1]);
});

test("a minute that ClickHouse or the store lacks does not leave memory (W2)", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  windows.count(row(1), RowAt.adId, 0, CountKind.CLICK, 0);
  windows.evictBefore(10 * WINDOW_MS);
  expect(windows.stats.windows).toBe(1);
  flush(windows, new Map());
  windows.evictBefore(10 * WINDOW_MS);
  expect(windows.stats.windows).toBe(1);
  store.save(windows.takeUnsaved());
  windows.evictBefore(WINDOW_MS - 1);
  expect(windows.stats.windows).toBe(1);
  windows.evictBefore(WINDOW_MS);
  expect(windows.stats.windows).toBe(0);
});

test("the watermark follows events, moves with the clock only while idle, and never steps back", () => {
  const base = {
    watermarkMs: 0,
    eventTimeMs: 1_000_000,
    nowMs: 2_000_000,
    allowedLatenessMs: 300_000,
    transitMs: 10_000,
  };
  expect(advanceWatermark({ ...base, idle: false })).toBe(700_000);
  expect(advanceWatermark({ ...base, idle: true })).toBe(1_690_000);
  expect(advanceWatermark({ ...base, idle: false, watermarkMs: 1_690_000 })).toBe(1_690_000);
});
