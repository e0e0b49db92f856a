import { expect, it } from "vitest";
import fc from "fast-check";
import { RowGather } from "./row-gather.ts";

const limits = { blockMaxRows: 50, blockMaxBytes: 3_000 };

it("G1 to G3: every row comes out once, in its shard, in order, in parts that fit a block", () => {
  const row = fc.record({ shard: fc.nat(5), bytes: fc.integer({ min: 1, max: 400 }) });
  const gather = new RowGather(limits);
  fc.assert(
    fc.property(fc.array(row, { maxLength: 400, size: "max" }), (rows) => {
      rows.forEach(({ shard, bytes }, index) => {
        const lane = gather.reserve(shard, bytes, index);
        lane.rows.fill(index & 0xff, lane.used - bytes, lane.used);
      });
      const parts = gather.drain();
      expect(gather.drain()).toEqual([]);
      for (const shard of new Set(rows.map((each) => each.shard))) {
        const sent = rows.flatMap((each, index) => (each.shard === shard ? [{ ...each, index }] : []));
        const ofShard = parts.filter((part) => part.shard === shard);
        expect(ofShard.flatMap((part) => [...part.clicks])).toEqual(sent.map((each) => each.index));
        expect(Buffer.concat(ofShard.map((part) => part.rows))).toEqual(
          Buffer.concat(sent.map(({ bytes, index }) => Buffer.alloc(bytes, index & 0xff))),
        );
      }
      for (const part of parts) {
        expect(part.count).toBe(part.clicks.length);
        expect(part.count).toBeLessThanOrEqual(limits.blockMaxRows);
        expect(part.rows.length).toBeLessThanOrEqual(limits.blockMaxBytes);
      }
    }),
  );
});

it("G2 a part that has left is not touched by what is gathered next", () => {
  const gather = new RowGather(limits);
  gather.reserve(1, 10, 0).rows.fill(1, 0, 10);
  const [part] = gather.drain();
  gather.reserve(1, 10, 0).rows.fill(2, 0, 10);
  expect(part!.rows).toEqual(Buffer.alloc(10, 1));
});

it("discards what was reserved, full parts included", () => {
  const gather = new RowGather(limits);
  for (let i = 0; i < 120; i++) gather.reserve(0, 5, i);
  gather.discard();
  expect(gather.drain()).toEqual([]);
  gather.reserve(0, 5, 9);
  expect(gather.drain().map((part) => [...part.clicks])).toEqual([[9]]);
});
