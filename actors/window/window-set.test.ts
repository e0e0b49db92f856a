import fc from "fast-check";
import { expect, test } from "vitest";
import { rowsOf } from "../sim/clicks.ts";
import { RowAt } from "../block/row.ts";
import { WINDOW_MS } from "../core/time.ts";
import { advanceWatermark } from "./watermark.ts";
import { WindowSet, type Eviction, type MinuteSave, type StoredMinute, type UnderWay } from "./window-set.ts";
import { CHUNK_ROWS, CountKind, STORED_ROW_BYTES } from "./window-table.ts";

const seed = process.env["ADTALLY_SEED"];
const params = seed === undefined ? {} : { seed: Number(seed) };

/** A store that keeps what it is given, as the real one does. */
function shelf() {
  const minutes = new Map<number, StoredMinute & { chunks: Map<number, Buffer> }>();
  return {
    save(saves: readonly MinuteSave[]): void {
      for (const { chunks, ...header } of saves) {
        const kept = minutes.get(header.minute)?.chunks ?? [];
        const changed = chunks.map(({ chunk, bytes }) => [chunk, bytes] as const);
        minutes.set(header.minute, { ...header, chunks: new Map([...kept, ...changed]) });
      }
    },
    stored: () => [...minutes.values()],
    readMinute: (minute: number, fromChunk = 0, most = Infinity) =>
      [...(minutes.get(minute)?.chunks ?? [])]
        .filter(([chunk]) => chunk >= fromChunk)
        .sort(([a], [b]) => a - b)
        .slice(0, most)
        .map(([, bytes]) => bytes),
  };
}

const row = (adId: number) => rowsOf([{ id: Buffer.alloc(16), adId, clickMs: 0, receivedMs: 0 }], 0);
const clickOn = (windows: WindowSet, ad: number, minute: number, offset: number) =>
  windows.count(row(ad), RowAt.adId, minute * WINDOW_MS + 5, CountKind.CLICK, offset);

/** Takes some of what ClickHouse lacks, memory first, as a flush does; `arrive` or `fail` ends it. */
function take(windows: WindowSet, mostRows: number) {
  const rows = new Map<string, string>();
  const parts: UnderWay[] = [];
  let room = mostRows;
  for (const table of windows.unflushedTables()) {
    const numbers = table.takeUnflushed(room, (ids, at, clicks, invalid, duplicates) => {
      rows.set(`${ids[at]!}@${table.minute}`, `${clicks}/${invalid}/${duplicates}`);
    });
    room -= numbers.length;
    if (numbers.length > 0) parts.push({ minute: table.minute, rows: numbers, fromRow: 0 });
  }
  for (const { minute, fromRow, chunks } of windows.takeParked(room)) {
    for (const bytes of chunks) {
      for (let at = 0; at < bytes.length; at += STORED_ROW_BYTES) {
        const counts = [24, 28, 32].map((of) => bytes.readUInt32LE(at + of));
        rows.set(`${bytes.readUInt32LE(at)}@${minute}`, counts.join("/"));
      }
    }
    parts.push({ minute, fromRow });
  }
  for (const part of parts) windows.sent(part);
  return {
    complete: windows.unflushed === 0,
    arrive(into: Map<string, string>): void {
      for (const [key, counts] of rows) into.set(key, counts);
      for (const part of parts) windows.flushed(part);
    },
    fail(): void {
      for (const part of parts) windows.notFlushed(part);
    },
  };
}

function flush(windows: WindowSet, into: Map<string, string>): void {
  for (;;) {
    const taken = take(windows, 512);
    taken.arrive(into);
    if (taken.complete) return;
  }
}

/** Nothing leaves that is not asked for. */
const NO_EVICTION: Eviction = { restBeforeMs: 0, closedBeforeMs: 10 * WINDOW_MS, mostRows: Infinity };

test("counts agree with a plain map through flushes that fail, saves, evictions and restarts, in any order", () => {
  const step = fc.oneof(
    {
      weight: 30,
      arbitrary: fc.record({ ad: fc.integer({ min: 1, max: 600 }), minute: fc.nat(4), kind: fc.nat(2) }),
    },
    { weight: 2, arbitrary: fc.constantFrom("take" as const, "arrive" as const, "fail" as const) },
    {
      weight: 2,
      arbitrary: fc.constantFrom("save" as const, "rest" as const, "park" as const, "drop" as const),
    },
    { weight: 1, arbitrary: fc.constant("restart" as const) },
  );
  let parked = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500 }), (steps) => {
      const store = shelf();
      let windows = new WindowSet(store);
      const oracle = new Map<string, [number, number, number]>();
      const sink = new Map<string, string>();
      let offset = 0;
      let flushedOffset = -1;
      let underWay: (ReturnType<typeof take> & { covers: number }) | undefined;
      for (const item of steps) {
        if (item === "take") underWay ??= { ...take(windows, 300), covers: offset - 1 };
        else if (item === "arrive") {
          underWay?.arrive(sink);
          if (underWay?.complete === true) flushedOffset = underWay.covers;
          underWay = undefined;
        } else if (item === "fail") {
          underWay?.fail();
          underWay = undefined;
        } else if (item === "save") store.save(windows.takeUnsaved());
        else if (item === "rest") windows.evict({ ...NO_EVICTION, restBeforeMs: 3 * WINDOW_MS });
        else if (item === "park") {
          store.save(windows.takeUnsaved());
          windows.evict({ ...NO_EVICTION, mostRows: 40 });
          expect(windows.stats.windows).toBeLessThanOrEqual(40);
          parked += windows.unflushed;
        } else if (item === "drop") {
          const { minutes } = windows.stats;
          const kept = windows.dropBefore(-WINDOW_MS);
          expect([kept <= 0, windows.stats.minutes]).toEqual([true, minutes]);
        } else if (item === "restart") {
          underWay = undefined;
          store.save(windows.takeUnsaved());
          windows = new WindowSet(store);
          windows.restore(store.stored(), flushedOffset);
          expect(windows.stats.windows).toBe(0);
        } else {
          const { ad, minute, kind } = item;
          windows.count(row(ad), RowAt.adId, minute * WINDOW_MS + 5, kind as CountKind, offset++);
          const counts = oracle.get(`${ad}@${minute}`) ?? [0, 0, 0];
          counts[kind]! += 1;
          oracle.set(`${ad}@${minute}`, counts);
        }
      }
      underWay?.fail();
      flush(windows, sink);
      expect(Object.fromEntries(sink)).toEqual(
        Object.fromEntries([...oracle].map(([key, counts]) => [key, counts.join("/")])),
      );
    }),
    params,
  );
  expect(parked).toBeGreaterThan(0);
});

test("a save after one more click rewrites the chunk that changed, not the minute", () => {
  const windows = new WindowSet(shelf());
  const ads = CHUNK_ROWS * 3;
  for (let ad = 1; ad <= ads; ad++) windows.count(row(ad), RowAt.adId, 0, CountKind.CLICK, 0);
  expect(windows.takeUnsaved()[0]!.chunks).toHaveLength(3);
  windows.count(row(CHUNK_ROWS + 1), RowAt.adId, 0, CountKind.CLICK, 1);
  expect(windows.takeUnsaved()[0]!.chunks.map(({ chunk }) => chunk)).toEqual([1]);
});

test("a minute that the store lacks does not leave memory (W2)", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  clickOn(windows, 1, 0, 0);
  flush(windows, new Map());
  const evict = (restBeforeMs: number) => windows.evict({ ...NO_EVICTION, restBeforeMs, mostRows: 0 });
  evict(10 * WINDOW_MS);
  expect(windows.stats.windows).toBe(1);
  store.save(windows.takeUnsaved());
  windows.evict({ ...NO_EVICTION, restBeforeMs: WINDOW_MS - 1 });
  expect(windows.stats.windows).toBe(1);
  windows.evict({ ...NO_EVICTION, restBeforeMs: WINDOW_MS });
  expect(windows.stats.windows).toBe(0);
});

test("a minute that ClickHouse lacks leaves memory a save later than one that it has, and is not dropped (W3)", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  const evict = () => windows.evict({ ...NO_EVICTION, restBeforeMs: 10 * WINDOW_MS });
  clickOn(windows, 1, 0, 0);
  store.save(windows.takeUnsaved());
  evict();
  expect(windows.stats.windows).toBe(1);
  store.save(windows.takeUnsaved());
  evict();
  expect([windows.stats.windows, windows.unflushed]).toEqual([0, 1]);
  expect(windows.dropBefore(10 * WINDOW_MS)).toBe(0);
  const taken = take(windows, 1_000);
  expect([windows.unflushed, windows.dropBefore(10 * WINDOW_MS)]).toEqual([0, 0]);
  taken.fail();
  expect([windows.unflushed, windows.dropBefore(10 * WINDOW_MS)]).toEqual([1, 0]);
  flush(windows, new Map());
  expect(windows.dropBefore(10 * WINDOW_MS)).toBe(10);
});

test("a flush that fails after its minute has left memory loses nothing: it was lost until the next restart", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  clickOn(windows, 1, 0, 0);
  const taken = take(windows, 10);
  store.save(windows.takeUnsaved());
  windows.evict({ ...NO_EVICTION, restBeforeMs: 10 * WINDOW_MS });
  expect(windows.stats.windows).toBe(0);
  taken.fail();
  const sink = new Map<string, string>();
  flush(windows, sink);
  expect([...sink]).toEqual([["1@0", "1/0/0"]]);
});

test("past the bound the oldest closed minutes leave, those first that ClickHouse has; open ones stay (W4)", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  for (let minute = 0; minute < 6; minute++) {
    for (let ad = 1; ad <= 10; ad++) clickOn(windows, ad, minute, minute);
    if (minute === 2) flush(windows, new Map());
  }
  store.save(windows.takeUnsaved());
  const inMemory = (mostRows: number) => {
    windows.evict({ restBeforeMs: 0, closedBeforeMs: 5 * WINDOW_MS, mostRows });
    return windows.unflushedTables().map(({ minute }) => minute);
  };
  expect([inMemory(25), windows.stats.minutes, windows.unflushed]).toEqual([[3, 4, 5], 3, 30]);
  expect([inMemory(0), windows.stats.minutes, windows.unflushed]).toEqual([[5], 1, 30]);
  // A held-back click brings its minute back, whole.
  clickOn(windows, 1, 4, 9);
  expect([windows.stats.windows, windows.unflushed]).toEqual([20, 30]);
});

test("a long minute leaves the store chunk by chunk, and goes on where it was", () => {
  const store = shelf();
  const windows = new WindowSet(store);
  const ads = CHUNK_ROWS * 3;
  for (let ad = 1; ad <= ads; ad++) clickOn(windows, ad, 0, 0);
  store.save(windows.takeUnsaved());
  windows.evict({ ...NO_EVICTION, mostRows: 0 });
  const sink = new Map<string, string>();
  take(windows, CHUNK_ROWS).arrive(sink);
  expect([sink.size, windows.unflushed, windows.stats.windows]).toEqual([CHUNK_ROWS, 2 * CHUNK_ROWS, 0]);
  clickOn(windows, 1, 0, 1);
  expect([windows.unflushed, windows.stats.windows]).toEqual([2 * CHUNK_ROWS + 1, ads]);
  flush(windows, sink);
  expect([sink.size, sink.get("1@0"), windows.unflushed]).toEqual([ads, "2/0/0", 0]);
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
