import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseUuid } from "../core/ids.ts";
import { Reason, reasonName } from "../core/verdict.ts";
import { generateKeys, retireKey, rotateKeys } from "./keys.ts";
import { createTokenCodec, TokenAt, TOKEN_BYTES, TOKEN_TEXT_LENGTH } from "./token.ts";
import { decodeAscii, decodeText, encodeText } from "./text.ts";

const key = Uint8Array.from({ length: 32 }, (_, i) => i);
const impressionId = parseUuid("01934567-89ab-7cde-8f01-23456789abcd")!;
const codec = await createTokenCodec({ signingKeyId: 7, keys: new Map([[7, key]]) });
const token = codec.sign(258, 0x0102030405060708n, impressionId);
const text = codec.encodeText(token);

const goldenToken =
  "01070102" + "0102030405060708" + "0193456789ab7cde8f0123456789abcd" + "d23b8b73c883a35f29bc33cf37837861";

/** What a gateway does with a text: NONE only for a token that we signed. */
function take(candidate: string): Reason {
  const into = new Uint8Array(TOKEN_BYTES);
  const decoded = decodeText(candidate, into);
  return decoded === Reason.NONE ? codec.verify(into) : decoded;
}

function takeAscii(candidate: Uint8Array): Reason {
  const into = new Uint8Array(TOKEN_BYTES);
  const decoded = decodeAscii(candidate, into);
  return decoded === Reason.NONE ? codec.verify(into) : decoded;
}

const flipBit = (bytes: Uint8Array, bit: number): Uint8Array => {
  const flipped = new Uint8Array(bytes);
  flipped[bit >>> 3]! ^= 1 << (bit & 7);
  return flipped;
};

const uuidV7 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
});

describe("token bytes", () => {
  it("are the golden ones for a fixed key: a change here breaks every token in browsers", () => {
    expect(token.toString("hex")).toBe(goldenToken);
    expect(text).toHaveLength(TOKEN_TEXT_LENGTH);
  });

  it("verify for every ad, impression and generation", () => {
    const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), u64, uuidV7, (generation, adId, id) => {
        const signed = codec.sign(generation, adId, id);
        expect(codec.verify(signed)).toBe(Reason.NONE);
        expect(signed.readUInt16BE(TokenAt.generation)).toBe(generation);
        expect(signed.readBigUInt64BE(TokenAt.adId)).toBe(adId);
        expect(take(codec.encodeText(signed))).toBe(Reason.NONE);
      }),
    );
  });

  it("are refused with any one bit flipped", () => {
    for (let bit = 0; bit < TOKEN_BYTES * 8; bit++) {
      expect(codec.verify(flipBit(token, bit)), `bit ${bit}`).not.toBe(Reason.NONE);
    }
  });

  it("are refused at every other length", () => {
    for (let length = 0; length < TOKEN_BYTES; length++) {
      expect(codec.verify(token.subarray(0, length))).toBe(Reason.TOKEN_MALFORMED);
    }
    expect(codec.verify(Buffer.concat([token, Buffer.alloc(1)]))).toBe(Reason.TOKEN_MALFORMED);
    expect(codec.verify(Buffer.alloc(10_240, token))).toBe(Reason.TOKEN_MALFORMED);
  });

  it("are refused when their impression belongs to another ad", () => {
    const other = Buffer.from(token);
    other.writeBigUInt64BE(1002n, TokenAt.adId);
    expect(codec.verify(other)).toBe(Reason.TOKEN_MAC_MISMATCH);
  });

  it("are refused by version, then by key, by name", () => {
    expect(reasonName(codec.verify(flipBit(token, 0)))).toBe("TOKEN_VERSION_UNKNOWN");
    expect(reasonName(codec.verify(flipBit(token, 8)))).toBe("TOKEN_KEY_UNKNOWN");
  });

  it("are not signed for an id that is not a UUIDv7, whose age nobody could tell", () => {
    expect(() => codec.sign(1, 1n, parseUuid("01934567-89ab-4cde-8f01-23456789abcd")!)).toThrow(/UUIDv7/);
  });
});

describe("token text", () => {
  it("is refused with any one bit of its 59 characters flipped", () => {
    const ascii = Buffer.from(text, "ascii");
    for (let bit = 0; bit < TOKEN_TEXT_LENGTH * 8; bit++) {
      const flipped = flipBit(ascii, bit);
      expect(takeAscii(flipped), `bit ${bit}`).not.toBe(Reason.NONE);
      expect(take(Buffer.from(flipped).toString("latin1")), `bit ${bit}`).not.toBe(Reason.NONE);
    }
  });

  it("has one form: the last character's two unused bits must be zero", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const last = alphabet.indexOf(text.at(-1)!);
    for (const unused of [1, 2, 3]) {
      const twin = text.slice(0, -1) + alphabet[last | unused]!;
      expect(Buffer.from(twin, "base64url")).toEqual(token);
      expect(reasonName(take(twin))).toBe("TOKEN_NOT_CANONICAL");
      expect(reasonName(takeAscii(Buffer.from(twin)))).toBe("TOKEN_NOT_CANONICAL");
    }
  });

  it("is refused when truncated, padded, 10 KB, with NUL, blanks or the other base64 alphabet", () => {
    const others = [
      `${text}=`,
      ` ${text.slice(1)}`,
      `${text.slice(1)}\n`,
      `\0${text.slice(1)}`,
      "A".repeat(10_240),
    ];
    for (let length = 0; length < TOKEN_TEXT_LENGTH; length++) others.push(text.slice(0, length));
    for (const letter of "+/=%.~,é\u0141\u0241🙂") others.push(letter + text.slice(letter.length));
    for (const other of others) {
      expect(reasonName(take(other)), JSON.stringify(other.slice(0, 70))).toBe("TOKEN_MALFORMED");
      expect(reasonName(takeAscii(Buffer.from(other))), JSON.stringify(other.slice(0, 70))).toBe(
        "TOKEN_MALFORMED",
      );
    }
  });

  it("is refused where a character past Latin-1 would alias the right one, at each position", () => {
    for (let i = 0; i < TOKEN_TEXT_LENGTH; i++) {
      for (const page of [0x100, 0x4100, 0xff00]) {
        const alias = String.fromCharCode(text.charCodeAt(i) + page);
        expect(reasonName(take(text.slice(0, i) + alias + text.slice(i + 1)))).toBe("TOKEN_MALFORMED");
      }
    }
  });

  it("decodes exactly as Node's base64url does, when re-encoding gives the same text", () => {
    const anyText = fc.oneof(
      fc.uint8Array({ minLength: 44, maxLength: 44 }).map(encodeText),
      fc.string({ minLength: 59, maxLength: 59, unit: fc.constantFrom(..."AZaz09-_+/=\0é") }),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(anyText, (candidate) => {
        const into = Buffer.alloc(TOKEN_BYTES);
        const node = Buffer.from(candidate, "base64url");
        const ours = decodeText(candidate, into);
        const canonical = node.length === TOKEN_BYTES && node.toString("base64url") === candidate;
        expect(ours === Reason.NONE).toBe(canonical);
        expect(decodeAscii(Buffer.from(candidate), Buffer.alloc(TOKEN_BYTES))).toBe(ours);
        if (canonical) expect(into).toEqual(node);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("token keys in use", () => {
  const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));

  it("refuse a token that another key of the same id signed", async () => {
    const other = await createTokenCodec({ signingKeyId: 7, keys: new Map([[7, random(32)]]) });
    expect(reasonName(other.verify(token))).toBe("TOKEN_MAC_MISMATCH");
  });

  it("rotate: the old key verifies until it is retired, the new one signs", async () => {
    const before = generateKeys(random);
    const both = rotateKeys(before, random);
    const after = retireKey(both, before.signingKeyId);
    const [oldCodec, bothCodec, newCodec] = await Promise.all([before, both, after].map(createTokenCodec));
    const oldToken = oldCodec!.sign(1, 1n, impressionId);
    const newToken = bothCodec!.sign(1, 1n, impressionId);
    expect(newToken[TokenAt.keyId]).not.toBe(oldToken[TokenAt.keyId]);
    expect(bothCodec!.verify(oldToken)).toBe(Reason.NONE);
    expect(bothCodec!.verify(newToken)).toBe(Reason.NONE);
    expect(reasonName(oldCodec!.verify(newToken))).toBe("TOKEN_KEY_UNKNOWN");
    expect(reasonName(newCodec!.verify(oldToken))).toBe("TOKEN_KEY_UNKNOWN");
    expect(newCodec!.verify(newToken)).toBe(Reason.NONE);
  });
});
