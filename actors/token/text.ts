/**
 * The token's text: 44 bytes as 59 characters of base64url, without padding, and in one form
 * only. Placement encodes, gateways decode: one table lookup a character, nothing allocated.
 *
 *  X1 A text decodes to at most one token and each token has one text: 59 characters carry two
 *     bits more than 44 bytes, and those must be zero (else a copy of a click could be altered
 *     and still be taken).
 */
import { Reason } from "../core/verdict.ts";

export const TOKEN_BYTES = 44;
export const TOKEN_TEXT_LENGTH = 59;

/** Characters that stand in whole groups of four (three bytes); the last three carry two bytes. */
const GROUPED = 56;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The six bits of each character, negative for any other: one negative makes a whole OR negative. */
const SEXTETS = new Int32Array(256).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) SEXTETS[ALPHABET.charCodeAt(i)] = i;

export function encodeText(token: Uint8Array): string {
  return Buffer.from(token.buffer, token.byteOffset, TOKEN_BYTES).toString("base64url");
}

/** Decodes into the first 44 bytes of `into`, which hold anything when the answer is not NONE. */
export function decodeText(text: string, into: Uint8Array): Reason {
  if (text.length !== TOKEN_TEXT_LENGTH) return Reason.TOKEN_MALFORMED;
  let seen = 0;
  let at = 0;
  for (let i = 0; i < GROUPED; i += 4) {
    const c0 = text.charCodeAt(i);
    const c1 = text.charCodeAt(i + 1);
    const c2 = text.charCodeAt(i + 2);
    const c3 = text.charCodeAt(i + 3);
    const group = bitsOf(c0, 18) | bitsOf(c1, 12) | bitsOf(c2, 6) | bitsOf(c3, 0);
    seen |= group | beyondTable(c0 | c1 | c2 | c3);
    into[at++] = group >>> 16;
    into[at++] = group >>> 8;
    into[at++] = group;
  }
  const c0 = text.charCodeAt(GROUPED);
  const c1 = text.charCodeAt(GROUPED + 1);
  const c2 = text.charCodeAt(GROUPED + 2);
  return finish(seen | beyondTable(c0 | c1 | c2), c0, c1, c2, into);
}

/** As decodeText, from the text's ASCII bytes. */
export function decodeAscii(ascii: Uint8Array, into: Uint8Array): Reason {
  if (ascii.length !== TOKEN_TEXT_LENGTH) return Reason.TOKEN_MALFORMED;
  let seen = 0;
  let at = 0;
  for (let i = 0; i < GROUPED; i += 4) {
    const group =
      bitsOf(ascii[i]!, 18) | bitsOf(ascii[i + 1]!, 12) | bitsOf(ascii[i + 2]!, 6) | bitsOf(ascii[i + 3]!, 0);
    seen |= group;
    into[at++] = group >>> 16;
    into[at++] = group >>> 8;
    into[at++] = group;
  }
  return finish(seen, ascii[GROUPED]!, ascii[GROUPED + 1]!, ascii[GROUPED + 2]!, into);
}

function bitsOf(code: number, shift: number): number {
  return SEXTETS[code & 0xff]! << shift;
}

/** Negative where a character lies past the table, in which it aliases another. */
function beyondTable(codes: number): number {
  return -(codes >>> 8);
}

/** The last three characters carry two bytes and two bits of nothing. */
function finish(seen: number, c0: number, c1: number, c2: number, into: Uint8Array): Reason {
  const group = bitsOf(c0, 12) | bitsOf(c1, 6) | bitsOf(c2, 0);
  if ((seen | group) < 0) return Reason.TOKEN_MALFORMED;
  if ((group & 0b11) !== 0) return Reason.TOKEN_NOT_CANONICAL;
  into[TOKEN_BYTES - 2] = group >>> 10;
  into[TOKEN_BYTES - 1] = group >>> 2;
  return Reason.NONE;
}
