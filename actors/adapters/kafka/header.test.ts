import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeBlock } from "../../block/block.ts";
import { decodeBlock, encodeHeader } from "./header.ts";

const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const blocks = fc
  .record({
    epoch: fc.maxSafeNat(),
    writer: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
    sequence: fc.nat(),
    rowCount: fc.nat(),
    appendTimeMs: fc.maxSafeNat(),
    sourceOffset: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
  })
  .chain((header) => fc.uint8Array({ maxLength: 300 }).map((value) => makeBlock(header, Buffer.from(value))));

describe("a block's header in Kafka", () => {
  it("comes back as it was", () => {
    fc.assert(
      fc.property(blocks, (block) => {
        expect(decodeBlock(encodeHeader(block.header), block.value)).toEqual(block);
      }),
    );
  });

  it("is refused, in words, with any one bit of it or of the value flipped", () => {
    fc.assert(
      fc.property(blocks, uint(20), (block, pick) => {
        const header = encodeHeader(block.header);
        const value = Buffer.from(block.value);
        const bit = pick % ((header.length + value.length) * 8);
        const [bytes, at] = bit < header.length * 8 ? [header, bit] : [value, bit - header.length * 8];
        bytes[at >> 3] = bytes[at >> 3]! ^ (1 << (at & 7));
        expect(decodeBlock(header, value)).toBeTypeOf("string");
      }),
    );
  });

  it("is refused at any other length", () => {
    const header = encodeHeader(makeBlock(fc.sample(blocks, 1)[0]!.header, Buffer.alloc(0)).header);
    for (let length = 0; length < header.length; length++) {
      expect(decodeBlock(header.subarray(0, length), Buffer.alloc(0))).toBeTypeOf("string");
    }
    expect(decodeBlock(Buffer.concat([header, header]), Buffer.alloc(0))).toBeTypeOf("string");
  });
});
