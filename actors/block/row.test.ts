import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { uuidV7Ms } from "../core/ids.ts";
import { Source } from "../core/verdict.ts";
import { isBlockIntact, makeBlock } from "./block.ts";
import {
  readImpressionId,
  readImpressionMs,
  readTime,
  ROW_FIXED_BYTES,
  RowAt,
  rowBytes,
  rowEnd,
  stampRow,
  writeRow,
  type ClickFields,
} from "./row.ts";

const word = fc.nat(0xffff_ffff);
const click: fc.Arbitrary<ClickFields> = fc.record({
  impressionId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  impressionIdAt: fc.constant(0),
  adHigh: word,
  adLow: word,
  campaignHigh: word,
  campaignLow: word,
  advertiserHigh: word,
  advertiserLow: word,
  clickTimeMs: fc.integer({ min: -1_000, max: 253_402_300_799_999 }),
  receivedTimeMs: fc.integer({ min: 0, max: 253_402_300_799_999 }),
  ip: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ minLength: 16, maxLength: 16 })),
  generation: fc.nat(0xffff),
  shard: fc.nat(0xffff),
  source: fc.constantFrom(...Object.values(Source)),
  verdict: fc.nat(9),
  reason: fc.nat(70),
  userAgent: fc.uint8Array({ maxLength: 300 }),
});

describe("a row", () => {
  test("every field is read back at its place, and rows follow one another", () => {
    fc.assert(
      fc.property(fc.array(click, { minLength: 1, maxLength: 5 }), (clicks) => {
        const rows = Buffer.alloc(clicks.reduce((sum, { userAgent }) => sum + rowBytes(userAgent.length), 0));
        let at = 0;
        for (const fields of clicks) at = writeRow(rows, at, fields);
        expect(at).toBe(rows.length);
        at = 0;
        for (const fields of clicks) {
          const end = rowEnd(rows, at);
          expect(end - at).toBe(rowBytes(fields.userAgent.length));
          expect(readImpressionId(rows, at)).toEqual(Buffer.from(fields.impressionId));
          expect(readImpressionMs(rows, at)).toBe(uuidV7Ms(fields.impressionId));
          const adId = (BigInt(fields.adHigh) << 32n) | BigInt(fields.adLow);
          expect(rows.readBigUInt64LE(at + RowAt.adId)).toBe(adId);
          expect(rows.readUInt32LE(at + RowAt.campaignId)).toBe(fields.campaignLow);
          expect(rows.readUInt32LE(at + RowAt.advertiserId + 4)).toBe(fields.advertiserHigh);
          expect(readTime(rows, at + RowAt.clickTime)).toBe(fields.clickTimeMs);
          expect(readTime(rows, at + RowAt.receivedTime)).toBe(fields.receivedTimeMs);
          const ip = fields.ip.length === 16 ? fields.ip : new Uint8Array(16);
          expect(rows.subarray(at + RowAt.ip, at + RowAt.ip + 16)).toEqual(Buffer.from(ip));
          expect(rows.readUInt16LE(at + RowAt.generation)).toBe(fields.generation);
          expect(rows.readUInt16LE(at + RowAt.shard)).toBe(fields.shard);
          expect([...rows.subarray(at + RowAt.source, at + RowAt.sequence)]).toEqual([
            fields.source,
            fields.verdict,
            fields.reason,
          ]);
          expect(rows.subarray(end - fields.userAgent.length, end)).toEqual(Buffer.from(fields.userAgent));
          at = end;
        }
      }),
    );
  });

  test("cut anywhere, it has no end", () => {
    fc.assert(
      fc.property(click, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (fields, share) => {
        const rows = Buffer.alloc(rowBytes(fields.userAgent.length));
        writeRow(rows, 0, fields);
        expect(rowEnd(rows.subarray(0, Math.floor(rows.length * share)), 0)).toBe(-1);
      }),
    );
  });

  test("a stamp changes verdict, reason, sequence and row number, and nothing else", () => {
    fc.assert(
      fc.property(click, (fields) => {
        const rows = Buffer.alloc(rowBytes(fields.userAgent.length));
        writeRow(rows, 0, fields);
        const before = Buffer.from(rows);
        stampRow(rows, 0, 2, 10, 4_294_967_295, 8_191);
        expect(rows.readUInt32LE(RowAt.sequence)).toBe(4_294_967_295);
        expect(rows.readUInt32LE(RowAt.rowNumber)).toBe(8_191);
        expect(rows.subarray(0, RowAt.verdict)).toEqual(before.subarray(0, RowAt.verdict));
        expect(rows.subarray(ROW_FIXED_BYTES)).toEqual(before.subarray(ROW_FIXED_BYTES));
      }),
    );
  });
});

test("any flipped bit of a block's value is found by its CRC", () => {
  const value = Buffer.from("the rows of a block, whatever they are");
  const header = { epoch: 1, writer: 1, sequence: 1, rowCount: 1, appendTimeMs: 0, sourceOffset: -1 };
  const block = makeBlock(header, value);
  expect(isBlockIntact(block)).toBe(true);
  for (let bit = 0; bit < value.length * 8; bit++) {
    value[bit >> 3]! ^= 1 << (bit & 7);
    expect(isBlockIntact(block)).toBe(false);
    value[bit >> 3]! ^= 1 << (bit & 7);
  }
});
