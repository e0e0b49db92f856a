import { describe, expect, test } from "vitest";
import type { Block, LogRecord } from "../../block/block.ts";
import { RowAt } from "../../block/row.ts";
import { cutBatch } from "./raw-batch.ts";
import { fakeBlock, fakeClick } from "./raw-rows.fixture.ts";

const T = 1_790_000_000_000;
const block = (writer: number, sequence: number, clicks = 2, shard = 3) =>
  fakeBlock(
    shard,
    writer,
    sequence,
    Array.from({ length: clicks }, (_, n) => fakeClick(T, n)),
  );
const records = (first: number, ...blocks: Block[]): LogRecord[] =>
  blocks.map((each, index) => ({ ...each, offset: first + index }));

describe("cutBatch", () => {
  test("blocks of one writer make one batch", () => {
    const { batch, nextOffset } = cutBatch(3, records(10, block(1, 5), block(1, 6), block(1, 7)));
    expect(batch).toMatchObject({ shard: 3, rows: 6, delta: 5, nextOffset: 13 });
    expect(nextOffset).toBe(13);
  });

  test("B1 another writer's first block ends the batch", () => {
    const { batch, nextOffset } = cutBatch(3, records(10, block(1, 5), block(2, 1)));
    expect(batch).toMatchObject({ rows: 2, delta: 5, nextOffset: 11 });
    expect(nextOffset).toBe(11);
  });

  test("B1 a repeated block ends the batch before its second copy", () => {
    expect(cutBatch(3, records(10, block(1, 5), block(1, 5), block(1, 6))).nextOffset).toBe(11);
  });

  test("B1 a delta below zero", () => {
    expect(cutBatch(3, records(0, block(1, 50))).batch?.delta).toBe(-50);
  });

  test("B2 poison is left out by offset and reason, also at either end", () => {
    const patched = (change: (value: Buffer) => void): Block => {
      const made = block(1, 6);
      change(made.value);
      return made;
    };
    const poisons: [string, Block][] = [
      ["format version 9", { ...block(1, 6), header: { ...block(1, 6).header, formatVersion: 9 } }],
      ["2 rows, its header says 3", { ...block(1, 6), header: { ...block(1, 6).header, rowCount: 3 } }],
      ["ends behind the block", { ...block(1, 6), value: block(1, 6).value.subarray(0, -1) }],
      ["says shard 4", patched((value) => value.writeUInt16LE(4, RowAt.shard))],
      ["says block 9", patched((value) => value.writeUInt32LE(9, RowAt.sequence))],
      ["unknown reason 99", patched((value) => value.writeUInt8(99, RowAt.reason))],
    ];
    for (const [why, poison] of poisons) {
      const cut = cutBatch(3, records(10, block(1, 5), poison, block(1, 7)));
      expect(cut.poison).toEqual([{ shard: 3, offset: 11, why: expect.stringContaining(why) }]);
      expect(cut.batch).toMatchObject({ rows: 4, nextOffset: 13 });
      expect(cutBatch(3, records(11, poison))).toMatchObject({ batch: undefined, nextOffset: 12 });
      expect(cutBatch(3, records(10, block(1, 5), poison)).nextOffset).toBe(12);
    }
  });
});
