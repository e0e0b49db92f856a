/**
 * The token: a signed impression, pinned to its routing generation, that a browser carries
 * from the page to the click. Placement signs, gateways verify.
 *
 *  T1 Every byte before the MAC is under the MAC; a token that verifies is one that we signed.
 *  T2 The MAC is compared in constant time, over all of its 16 bytes.
 *  T3 Several keys verify, one signs; a key id that is not among them is refused by name.
 *  T4 A verified token's impression id is a UUIDv7, so that its age can be read from it.
 */
import { createBLAKE3 } from "hash-wasm";
import { invariant } from "../core/errors.ts";
import { isUuidV7 } from "../core/ids.ts";
import { Reason } from "../core/verdict.ts";
import { decodeAscii, decodeText, encodeText, TOKEN_BYTES } from "./text.ts";
import type { TokenKeys } from "./keys.ts";

export { TOKEN_BYTES, TOKEN_TEXT_LENGTH } from "./text.ts";

/** Where each field of the 44 bytes starts. Integers are big-endian. */
export const TokenAt = { version: 0, keyId: 1, generation: 2, adId: 4, impressionId: 12, mac: 28 } as const;

export const TOKEN_VERSION = 1;
const MAC_BYTES = TOKEN_BYTES - TokenAt.mac;

export interface TokenCodec {
  /** A new token under the signing key. `impressionId` is a UUIDv7. */
  sign(generation: number, adId: bigint, impressionId: Uint8Array): Buffer;
  /** NONE when the token is ours; otherwise what is wrong with it. */
  verify(token: Uint8Array): Reason;
  /** Text of 59 characters into the first 44 bytes of `into`; does not verify. */
  decodeText(text: string, into: Uint8Array): Reason;
  /** The same from the text's ASCII bytes. */
  decodeAscii(ascii: Uint8Array, into: Uint8Array): Reason;
  encodeText(token: Uint8Array): string;
}

/** The MAC of a token's first 28 bytes under one key. */
type Mac = (token: Uint8Array) => Uint8Array;

async function createMac(key: Uint8Array): Promise<Mac> {
  const hasher = await createBLAKE3(MAC_BYTES * 8, key);
  const signed = new Uint8Array(TokenAt.mac);
  return (token) => {
    // Copying 28 bytes costs less than a view of them would.
    for (let i = 0; i < TokenAt.mac; i++) signed[i] = token[i]!;
    return hasher.init().update(signed).digest("binary");
  };
}

export async function createTokenCodec(keys: TokenKeys): Promise<TokenCodec> {
  const macs = new Array<Mac | undefined>(256).fill(undefined);
  for (const [id, key] of keys.keys) macs[id] = await createMac(key);
  const signingKeyId = keys.signingKeyId;
  const signingMac = macs[signingKeyId];
  invariant(signingMac !== undefined, `token keys: the signing key ${signingKeyId} is not among the keys`);

  return {
    sign(generation, adId, impressionId) {
      invariant(isUuidV7(impressionId), "token: the impression id to sign is not a UUIDv7");
      const token = Buffer.allocUnsafe(TOKEN_BYTES);
      token[TokenAt.version] = TOKEN_VERSION;
      token[TokenAt.keyId] = signingKeyId;
      token.writeUInt16BE(generation, TokenAt.generation);
      token.writeBigUInt64BE(adId, TokenAt.adId);
      token.set(impressionId, TokenAt.impressionId);
      token.set(signingMac(token), TokenAt.mac);
      return token;
    },

    verify(token) {
      if (token.length !== TOKEN_BYTES) return Reason.TOKEN_MALFORMED;
      if (token[TokenAt.version] !== TOKEN_VERSION) return Reason.TOKEN_VERSION_UNKNOWN;
      const mac = macs[token[TokenAt.keyId]!];
      if (mac === undefined) return Reason.TOKEN_KEY_UNKNOWN;
      const expected = mac(token);
      let difference = 0;
      for (let i = 0; i < MAC_BYTES; i++) difference |= expected[i]! ^ token[TokenAt.mac + i]!;
      if (difference !== 0) return Reason.TOKEN_MAC_MISMATCH;
      return isUuidV7(token, TokenAt.impressionId) ? Reason.NONE : Reason.TOKEN_MALFORMED;
    },

    decodeText,
    decodeAscii,
    encodeText,
  };
}
