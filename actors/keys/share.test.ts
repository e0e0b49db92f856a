import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { generateKeys, rotateKeys } from "../token/keys.ts";
import { createTokenCodec } from "../token/token.ts";
import { createShareCodec, type Share } from "./share.ts";

const keys = generateKeys(randomBytes);
const share: Share = {
  keyId: "0123456789ab",
  expiresAtMs: 1_790_000_000_000,
  query: { advertiser_id: "7", from: "-7d", time_zone: "Europe/Berlin" },
};

test("a link comes back as it was made, to the second, and after a rotation of keys", async () => {
  const text = (await createShareCodec(keys)).seal(share);
  expect((await createShareCodec(keys)).open(text)).toEqual(share);
  expect((await createShareCodec(rotateKeys(keys, randomBytes))).open(text)).toEqual(share);
  expect((await createShareCodec(generateKeys(randomBytes))).open(text)).toBeUndefined();
});

test("L1 a link changed in any character, cut or lengthened opens nothing", async () => {
  const codec = await createShareCodec(keys);
  const text = codec.seal(share);
  const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom(...characters), (at, character) => {
      const changed = text.slice(0, at) + character + text.slice(at + 1);
      if (changed !== text) expect(codec.open(changed)).toBeUndefined();
    }),
    { ...(process.env["ADTALLY_SEED"] && { seed: Number(process.env["ADTALLY_SEED"]) }) },
  );
  for (const wrong of ["", "A", text.slice(0, -1), `${text}A`, `${text}=`, `${text} `, "A".repeat(9_999)])
    expect(codec.open(wrong)).toBeUndefined();
});

test("L2 a click's token is no link, and its MAC makes none, though both come of one key", async () => {
  const [codec, tokens] = [await createShareCodec(keys), await createTokenCodec(keys)];
  const id = Buffer.from("019bf0000000700080000000000000001".slice(0, 32), "hex");
  expect(codec.open(tokens.encodeText(tokens.sign(1, 7n, id)))).toBeUndefined();
  const link = Buffer.from(codec.seal(share), "base64url");
  expect(tokens.verify(link.subarray(0, 44))).not.toBe(0);
});
