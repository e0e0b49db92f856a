import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { idKeyOf, U64_MAX } from "../core/ids.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import type { Generation } from "./generation.ts";
import { tableOf } from "./table.ts";
import { decodeTable, encodeTable } from "./table-json.ts";

const good = { number: 1, in_force_from_ms: 0, shard_count: 4, splits: { "1001": 4 } };
const decode = (generations: unknown) => decodeTable(JSON.stringify({ generations }), 9, DEFAULT_LIMITS);

describe("the routing table's JSON", () => {
  it("reads back what was written, ids past the safe integers included", () => {
    const generation = fc.record({
      shardCount: fc.integer({ min: 16, max: DEFAULT_LIMITS.maxShards }),
      splits: fc
        .array(fc.tuple(fc.bigInt({ min: 0n, max: U64_MAX }).map(idKeyOf), fc.integer({ min: 2, max: 16 })))
        .map((splits) => new Map(splits)),
    });
    fc.assert(
      fc.property(fc.array(generation), fc.nat(), (generations, readAtMs) => {
        const numbered = generations.map((each, i): Generation => ({
          ...each,
          number: i + 1,
          inForceFromMs: i * 180_000,
        }));
        const table = tableOf(numbered, readAtMs);
        expect(decodeTable(encodeTable(table), readAtMs, DEFAULT_LIMITS)).toEqual(table);
      }),
    );
  });

  it("keeps the shards of generations that have left it, and refuses what cannot be their number", () => {
    const table = tableOf([], 9, 12);
    expect(decodeTable(encodeTable(table), 9, DEFAULT_LIMITS)).toEqual(table);
    for (const wrong of [-1, 1.5, "3", {}]) {
      const text = JSON.stringify({ generations: [], retired_shards: wrong });
      expect(() => decodeTable(text, 9, DEFAULT_LIMITS)).toThrow(/retired_shards is/);
    }
  });

  it.each<[string, unknown, RegExp]>([
    ["no list", {}, /list "generations"/],
    ["a generation that is no object", [1], /generations\[0\] must be an object/],
    ["number 0", [{ ...good, number: 0 }], /generations\[0\].number is 0/],
    ["a number past 16 bits", [{ ...good, number: 65_536 }], /number is 65536/],
    ["a time that is a string", [{ ...good, in_force_from_ms: "0" }], /in_force_from_ms is "0"/],
    ["more shards than allowed", [{ ...good, shard_count: 4_097 }], /shard_count is 4097/],
    ["an ad id that is not canonical", [{ ...good, splits: { "01": 2 } }], /"01" is not an ad id/],
    ["a split wider than the shards", [{ ...good, splits: { "7": 5 } }], /ad 7 cannot be split 5 ways/],
    ["one number twice", [good, { ...good, in_force_from_ms: 1 }], /generation 1 is there twice/],
    [
      "a newer one in force before an older",
      [
        { ...good, in_force_from_ms: 5 },
        { ...good, number: 2 },
      ],
      /no later/,
    ],
  ])("refuses %s, saying where", (_, generations, message) => {
    expect(() => decode(generations)).toThrow(message);
  });

  it("refuses what is not JSON", () => {
    expect(() => decodeTable("{", 0, DEFAULT_LIMITS)).toThrow(/not JSON/);
  });
});
