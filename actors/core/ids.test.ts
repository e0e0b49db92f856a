import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatUuid, idKey, idKeyOf, isUuidV7, parseU64, parseUuid, U64_MAX, uuidV7Ms } from "./ids.ts";

const u64 = fc.bigInt({ min: 0n, max: U64_MAX });

describe("unsigned 64-bit ids", () => {
  test("a decimal string is read back as it was written, and keyed by value either way", () => {
    fc.assert(
      fc.property(u64, (id) => {
        expect(parseU64(id.toString())).toBe(id);
        expect(idKey(Number(id >> 32n), Number(id & 0xffff_ffffn))).toBe(idKeyOf(id));
        expect(BigInt(idKeyOf(id))).toBe(id);
      }),
    );
  });

  test.each(["", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "0x1", "18446744073709551616", "٣", "1\0"])(
    "%j is no id",
    (text) => {
      expect(parseU64(text)).toBeUndefined();
    },
  );
});

describe("UUIDs", () => {
  test("text and bytes agree, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const text = formatUuid(bytes);
        expect(parseUuid(text)).toEqual(Buffer.from(bytes));
        expect(parseUuid(text.toUpperCase())).toEqual(Buffer.from(bytes));
      }),
    );
  });

  // RFC 9562, appendix A.6: the example of a version 7 UUID.
  test("the RFC's example is a version 7 of 2022-02-22T19:22:22Z", () => {
    const example = parseUuid("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")!;
    expect(isUuidV7(example)).toBe(true);
    expect(new Date(uuidV7Ms(example)).toISOString()).toBe("2022-02-22T19:22:22.000Z");
  });

  test("another version or variant is not a version 7", () => {
    expect(isUuidV7(parseUuid("017f22e2-79b0-4cc3-98c4-dc0c0c07398f")!)).toBe(false);
    expect(isUuidV7(parseUuid("017f22e2-79b0-7cc3-d8c4-dc0c0c07398f")!)).toBe(false);
  });

  test.each(["", "017f22e279b07cc398c4dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g"])(
    "%j is no UUID",
    (text) => {
      expect(parseUuid(text)).toBeUndefined();
    },
  );
});
