import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { route } from "./generation.ts";
import { decodeTable, encodeTable } from "./table-json.ts";
import {
  addGeneration,
  emptyTable,
  generationAt,
  shardsEver,
  shardsInUse,
  tableOf,
  withoutRetired,
} from "./table.ts";
import type { RoutingChange, RoutingTable } from "./table.ts";

const limits = DEFAULT_LIMITS;
const { routingLeadMs: lead, clockSkewMs: skew } = limits;
const startMs = 1_700_000_000_000;

const first = (shardCount = 8) => addGeneration(emptyTable(startMs), { shardCount }, startMs, limits);
const readAt = (table: RoutingTable, readAtMs: number): RoutingTable => ({ ...table, readAtMs });
const numberAt = (table: RoutingTable, timeMs: number, nowMs: number) => {
  const generation = generationAt(table, timeMs, nowMs, limits);
  return typeof generation === "string" ? generation : generation.number;
};

/** A change that the table can take: another shard count, a split, or a merge of what is split. */
function fittingChange(table: RoutingTable, kind: number, pick: number): RoutingChange {
  const { splits, shardCount } = table.newestFirst[0]!;
  const split = [...splits.keys()];
  const widest = Math.max(1, ...splits.values());
  if (kind === 0) return { shardCount: widest + (pick % (limits.maxShards - widest)) };
  if (kind === 1 && split.length > 0) return { merge: [split[pick % split.length]!] };
  return shardCount < 2 ? { shardCount: 2 } : { split: new Map([[pick % 5, 2 + (pick % (shardCount - 1))]]) };
}

const changes = fc.array(
  fc.record({
    afterMs: fc.integer({ min: 0, max: 2 * lead }),
    clockOffMs: fc.integer({ min: -skew, max: skew }),
    kind: fc.integer({ min: 0, max: 2 }),
    pick: fc.nat(1_000_000),
  }),
  { minLength: 1, maxLength: 12 },
);

interface Published {
  readonly atMs: number;
  readonly table: RoutingTable;
}

/** Every table that was ever to be read, with the true time of its publication. */
function history(steps: typeof changes extends fc.Arbitrary<infer T> ? T : never): Published[] {
  const published: Published[] = [{ atMs: startMs, table: first() }];
  for (const { afterMs, clockOffMs, kind, pick } of steps) {
    const last = published.at(-1)!;
    const atMs = last.atMs + afterMs;
    const change = fittingChange(last.table, kind, pick);
    published.push({ atMs, table: addGeneration(last.table, change, atMs + clockOffMs, limits) });
  }
  return published;
}

describe("copies of one click", () => {
  it("meet on one shard by their token, whatever generations came since", () => {
    const words = fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat());
    fc.assert(
      fc.property(changes, fc.nat(4), words, fc.nat(), (steps, adLow, impression, pinnedAt) => {
        const published = history(steps);
        const pinned = published[pinnedAt % published.length]!.table.newestFirst[0]!;
        const shards = published
          .map(({ table }) => table.generations.get(pinned.number))
          .filter((generation) => generation !== undefined)
          .map((generation) => route(generation, 0, adLow, ...impression));
        expect(shards.length).toBeGreaterThan(0);
        expect(new Set(shards).size).toBe(1);
      }),
    );
  });

  it("get one generation by their id's time from any two gateways that answer, clocks off and tables old", () => {
    const gateway = fc.record({
      nowAfterMs: fc.integer({ min: 0, max: 12 * lead }),
      tableAgeMs: fc.integer({ min: 0, max: 2 * lead }),
    });
    const idAfterMs = fc.integer({ min: -lead, max: 12 * lead });
    let answered = 0;
    fc.assert(
      fc.property(changes, gateway, gateway, idAfterMs, (steps, one, other, idAfter) => {
        const published = history(steps);
        const answers = [one, other].map(({ nowAfterMs, tableAgeMs }) => {
          const nowMs = startMs + nowAfterMs;
          const readMs = Math.max(startMs, nowMs - tableAgeMs);
          const seen = published.findLast(({ atMs }) => atMs <= readMs)!.table;
          return numberAt(readAt(seen, readMs), startMs + idAfter, nowMs);
        });
        const [a, b] = answers;
        if (typeof a !== "number" || typeof b !== "number") return;
        answered += 1;
        expect(a).toBe(b);
      }),
      { numRuns: 2_000 },
    );
    expect(answered).toBeGreaterThan(100);
  });
});

describe("generationAt", () => {
  it("answers an id of a client with the fastest clock while the table is younger than the lead less both skews", () => {
    const table = readAt(first(), startMs);
    const oldestMs = startMs + lead - 2 * skew;
    expect(numberAt(table, oldestMs - 1 + skew, oldestMs - 1)).toBe(1);
    expect(numberAt(table, oldestMs + skew, oldestMs)).toBe("ROUTING_TABLE_STALE");
  });

  it("refuses any time when the table was read longer ago than the lead", () => {
    expect(numberAt(first(), startMs, startMs + lead)).toBe(1);
    expect(numberAt(first(), startMs, startMs + lead + 1)).toBe("ROUTING_TABLE_STALE");
  });

  it("changes over exactly when the newer generation takes force", () => {
    const table = readAt(addGeneration(first(), { shardCount: 16 }, startMs, limits), startMs + lead);
    expect(numberAt(table, startMs + lead - 1, startMs + lead)).toBe(1);
    expect(numberAt(table, startMs + lead, startMs + lead)).toBe(2);
  });

  it("says so when nothing was ever published", () => {
    expect(numberAt(emptyTable(startMs), startMs, startMs)).toBe("NO_GENERATION");
  });
});

describe("addGeneration", () => {
  it("puts the first in force at once and every later one after the lead", () => {
    expect(numberAt(first(), startMs - limits.tokenLifeMs, startMs)).toBe(1);
    const second = addGeneration(first(), { shardCount: 9 }, startMs + 5, limits).newestFirst[0]!;
    expect(second).toMatchObject({ number: 2, inForceFromMs: startMs + 5 + lead, shardCount: 9 });
  });

  it("keeps numbers and times rising when the publisher's clock steps back an hour", () => {
    const second = addGeneration(first(), { shardCount: 9 }, startMs, limits);
    const third = addGeneration(second, { shardCount: 10 }, startMs - 3_600_000, limits).newestFirst[0]!;
    expect(third).toMatchObject({ number: 3, inForceFromMs: startMs + lead + 1 });
  });

  it("carries splits over, changes them and merges them", () => {
    const split = addGeneration(
      first(),
      {
        split: new Map([
          [1, 2],
          [2, 8],
        ]),
      },
      startMs,
      limits,
    );
    const wider = addGeneration(split, { split: new Map([[1, 4]]) }, startMs, limits);
    const merged = addGeneration(wider, { merge: [2] }, startMs, limits);
    expect([...merged.newestFirst[0]!.splits]).toEqual([[1, 4]]);
    expect([...split.newestFirst[0]!.splits]).toEqual([
      [1, 2],
      [2, 8],
    ]);
  });

  it.each<[string, RoutingChange, RegExp]>([
    ["no shards", { shardCount: 0 }, /shard count 0 is not/],
    ["half a shard", { shardCount: 1.5 }, /shard count 1.5 is not/],
    ["more shards than the limit", { shardCount: limits.maxShards + 1 }, /from 1 to 4096/],
    ["a split 1 way", { split: new Map([[7, 1]]) }, /ad 7 cannot be split 1 ways/],
    [
      "a split wider than the shards",
      { split: new Map([[7, 9]]) },
      /ad 7 cannot be split 9 ways over 8 shards/,
    ],
    ["a merge of what is whole", { merge: [7] }, /ad 7 is to be merged but is not split/],
    [
      "a split and a merge at once",
      { split: new Map([[7, 2]]), merge: [7] },
      /ad 7 is to be split and merged/,
    ],
  ])("refuses %s", (_, change, message) => {
    expect(() => addGeneration(first(8), change, startMs, limits)).toThrow(message);
  });

  it("refuses to shrink below the widest split, naming its ad", () => {
    const split = addGeneration(first(8), { split: new Map([[7, 8]]) }, startMs, limits);
    expect(() => addGeneration(split, { shardCount: 4 }, startMs, limits)).toThrow(
      /ad 7 cannot be split 8 ways/,
    );
    expect(
      addGeneration(split, { shardCount: 4, merge: [7] }, startMs, limits).newestFirst[0]!.shardCount,
    ).toBe(4);
  });

  it("refuses a first generation without shards", () => {
    expect(() => addGeneration(emptyTable(0), {}, startMs, limits)).toThrow(/first generation needs/);
  });
});

describe("generations that are out of use", () => {
  const remembered = limits.tokenLifeMs + limits.dedupRetentionMs + skew;
  const numbers = ({ newestFirst }: RoutingTable) => newestFirst.map(({ number }) => number);
  const grown = addGeneration(first(8), { shardCount: 16 }, startMs, limits);
  const shrunk = addGeneration(grown, { shardCount: 4 }, startMs, limits);
  const supersededMs = shrunk.newestFirst[0]!.inForceFromMs;

  it("never left the table; they leave it with a later change, and their shards are not forgotten", () => {
    const soon = addGeneration(shrunk, { shardCount: 5 }, supersededMs + remembered, limits);
    expect(numbers(soon)).toEqual([4, 3, 2, 1]);
    const later = addGeneration(shrunk, { shardCount: 5 }, supersededMs + remembered + 3_600_000, limits);
    expect(numbers(later)).toEqual([4, 3]);
    expect(shardsEver(later)).toHaveLength(16);
    expect(shardsInUse(later, supersededMs + remembered + 3_600_000, limits)).toHaveLength(5);
  });

  it("are missed by no reader whose clock is behind: it forgets them before a publisher does", () => {
    const offMs = fc.integer({ min: -skew, max: skew });
    fc.assert(
      fc.property(
        changes,
        offMs,
        offMs,
        fc.nat(12 * 3_600_000),
        (steps, publisherOff, readerOff, laterMs) => {
          const { atMs, table: known } = history(steps).at(-1)!;
          const nowMs = atMs + laterMs;
          const next = addGeneration(known, {}, nowMs + publisherOff, limits);
          for (const each of numbers(withoutRetired(known, nowMs + readerOff, limits)))
            expect(next.generations.get(each)).toEqual(known.generations.get(each));
        },
      ),
    );
  });

  it("stay while a token that a shard remembers can name them", () => {
    fc.assert(
      fc.property(changes, fc.nat(12 * 3_600_000), fc.nat(remembered), (steps, laterMs, ageMs) => {
        const { atMs, table: known } = history(steps).at(-1)!;
        const nowMs = atMs + laterMs;
        const pinned = numberAt(readAt(known, nowMs), nowMs - ageMs, nowMs);
        const next = addGeneration(known, {}, nowMs, limits);
        expect(next.generations.has(pinned as number)).toBe(true);
      }),
    );
  });

  it("gave out their numbers for ever: after 65535 comes 1 again, and the table is read back", () => {
    const one = (number: number, inForceFromMs: number) => ({
      number,
      inForceFromMs,
      shardCount: 3,
      splits: new Map(),
    });
    const last = tableOf([one(0xfffe, 0), one(0xffff, startMs - lead)], startMs);
    const wrapped = addGeneration(last, { shardCount: 4 }, startMs, limits);
    expect(numbers(wrapped)).toEqual([1, 0xffff, 0xfffe]);
    expect(decodeTable(encodeTable(wrapped), startMs, limits)).toEqual(wrapped);
    expect(numberAt(readAt(wrapped, startMs + lead), startMs + lead, startMs + lead)).toBe(1);
    expect(numberAt(readAt(wrapped, startMs), startMs, startMs)).toBe(0xffff);
  });

  it("that are too many are refused by name, long before a number could mean two of them", () => {
    const many = Array.from({ length: 4_096 }, (_, n) => ({
      number: n + 1,
      inForceFromMs: startMs + n,
      shardCount: 3,
      splits: new Map(),
    }));
    const table = tableOf(many, startMs);
    expect(() => addGeneration(table, {}, startMs, limits)).toThrow(/4096 generations are still in use/);
    const tomorrowMs = startMs + 24 * 3_600_000;
    expect(numbers(addGeneration(table, {}, tomorrowMs, limits))).toEqual([4_097, 4_096]);
  });
});

describe("shardsInUse", () => {
  const shrunk = addGeneration(first(8), { shardCount: 4 }, startMs, limits);
  const inForceMs = startMs + lead;
  const lastCopyMs = inForceMs + limits.tokenLifeMs + limits.dedupRetentionMs + skew;

  it("holds the old shards until the last token of the old generation is forgotten", () => {
    expect(shardsInUse(shrunk, startMs, limits)).toHaveLength(8);
    expect(shardsInUse(shrunk, lastCopyMs - 1, limits)).toHaveLength(8);
    expect(shardsInUse(shrunk, lastCopyMs, limits)).toEqual([0, 1, 2, 3]);
  });

  it("holds the new shards before they take force", () => {
    const grown = addGeneration(first(2), { shardCount: 3 }, startMs, limits);
    expect(shardsInUse(grown, startMs, limits)).toEqual([0, 1, 2]);
  });
});
