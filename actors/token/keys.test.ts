import { describe, expect, it } from "vitest";
import { formatKeyFile, generateKeys, parseKeyFile, retireKey, rotateKeys } from "./keys.ts";
import type { TokenKeys } from "./keys.ts";

const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));
const good = Buffer.alloc(32, 5).toString("base64");

describe("token key file", () => {
  it("reads back what was written", () => {
    const keys = rotateKeys(generateKeys(random), random);
    expect(parseKeyFile(formatKeyFile(keys))).toEqual(keys);
  });

  it.each<[string, unknown, RegExp]>([
    [
      "a short key",
      { signing_key_id: 1, keys: { 1: Buffer.alloc(31).toString("base64") } },
      /key 1 has 31 bytes/,
    ],
    [
      "a long key",
      { signing_key_id: 1, keys: { 1: Buffer.alloc(33).toString("base64") } },
      /key 1 has 33 bytes/,
    ],
    ["no base64", { signing_key_id: 1, keys: { 1: "not base64!" } }, /key 1 is not base64/],
    ["a number for a key", { signing_key_id: 1, keys: { 1: 17 } }, /key 1 must be a string/],
    ["a key id past 255", { signing_key_id: 256, keys: { 256: good } }, /key id "256"/],
    ["a key id with a zero before it", { signing_key_id: 1, keys: { "01": good } }, /key id "01"/],
    ["no such signing key", { signing_key_id: 2, keys: { 1: good } }, /"signing_key_id" is 2/],
    ["no signing key", { keys: { 1: good } }, /"signing_key_id" is undefined/],
    ["no keys", { signing_key_id: 1 }, /"keys" must be an object/],
    ["a list", [good], /must be a JSON object/],
  ])("refuses %s by name", (_, file, message) => {
    expect(() => parseKeyFile(JSON.stringify(file))).toThrow(message);
  });

  it("refuses what is not JSON without quoting it: it may hold a key", () => {
    expect(() => parseKeyFile(`secret ${good}`)).toThrow(/^token key file: it is not JSON$/);
  });
});

describe("token key rotation", () => {
  it("never takes an id that is in use, and wraps at 255", () => {
    const keys: TokenKeys = { signingKeyId: 255, keys: new Map([0, 255].map((id) => [id, random(32)])) };
    expect(rotateKeys(keys, random).signingKeyId).toBe(1);
  });

  it("refuses to retire the key that signs, and a 257th key", () => {
    const keys = generateKeys(random);
    expect(() => retireKey(keys, keys.signingKeyId)).toThrow(/rotate before/);
    const full: TokenKeys = {
      signingKeyId: 0,
      keys: new Map(Array.from({ length: 256 }, (_, id) => [id, random(32)])),
    };
    expect(() => rotateKeys(full, random)).toThrow(/all 256/);
  });
});
