/**
 * The link of a shared report: one question, until when it may be asked, and the key that shared it,
 * under a MAC. Whoever has the link reads the answer to that question and nothing else.
 *
 *  L1 Every byte before the MAC is under the MAC; a text that opens is one that we made. It is
 *     compared in constant time, and each link has one text.
 *  L2 The MAC's key is derived for links alone from the key that is given: a link is never a click's
 *     token, nor a token a link, though both come of one key file.
 *  L3 A link says of whose ads nothing: what it may show is what the key that made it may see at the
 *     time of asking. Without that key (revoked, expired) it shows nothing.
 */
import { timingSafeEqual } from "node:crypto";
import { createBLAKE3 } from "hash-wasm";
import { invariant } from "../core/errors.ts";
import type { TokenKeys } from "../token/keys.ts";

export interface Share {
  readonly keyId: string;
  readonly expiresAtMs: number;
  /** The report's parameters, as its route takes them. */
  readonly query: Readonly<Record<string, string>>;
}

export interface ShareCodec {
  seal(share: Share): string;
  /** Undefined for a text that is not ours. Whether it has expired is the caller's to ask. */
  open(text: string): Share | undefined;
}

const VERSION = 1;
const MAC_BYTES = 32;
const At = { version: 0, tokenKey: 1, keyId: 2, expires: 8, query: 12 } as const;
const DOMAIN = "adtally shared report v1: the key under which links are signed";
const TEXT_MAX_LENGTH = 4_096;

type Mac = (bytes: Uint8Array) => Buffer;

async function createMac(key: Uint8Array): Promise<Mac> {
  const derived = (await createBLAKE3(256, key)).init().update(DOMAIN).digest("binary");
  const hasher = await createBLAKE3(MAC_BYTES * 8, derived);
  return (bytes) => Buffer.from(hasher.init().update(bytes).digest("binary"));
}

export async function createShareCodec({ signingKeyId, keys }: TokenKeys): Promise<ShareCodec> {
  const macs = new Map<number, Mac>();
  for (const [id, key] of keys) macs.set(id, await createMac(key));
  const sign = macs.get(signingKeyId);
  invariant(sign !== undefined, `share keys: the signing key ${signingKeyId} is not among the keys`);

  return {
    seal({ keyId, expiresAtMs, query }) {
      const head = Buffer.alloc(At.query);
      head[At.version] = VERSION;
      head[At.tokenKey] = signingKeyId;
      head.write(keyId, At.keyId, "hex");
      head.writeUInt32BE(Math.floor(expiresAtMs / 1_000), At.expires);
      const signed = Buffer.concat([head, Buffer.from(JSON.stringify(query))]);
      return Buffer.concat([signed, sign(signed)]).toString("base64url");
    },

    open(text) {
      if (text.length > TEXT_MAX_LENGTH) return undefined;
      const bytes = Buffer.from(text, "base64url");
      if (bytes.length <= At.query + MAC_BYTES || bytes.toString("base64url") !== text) return undefined;
      if (bytes[At.version] !== VERSION) return undefined;
      const signed = bytes.subarray(0, -MAC_BYTES);
      const expected = macs.get(bytes[At.tokenKey]!)?.(signed);
      if (expected === undefined || !timingSafeEqual(expected, bytes.subarray(-MAC_BYTES))) return undefined;
      return {
        keyId: bytes.toString("hex", At.keyId, At.expires),
        expiresAtMs: bytes.readUInt32BE(At.expires) * 1_000,
        query: JSON.parse(signed.toString("utf8", At.query)) as Record<string, string>,
      };
    },
  };
}
