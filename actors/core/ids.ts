/**
 * Ids. Ads, campaigns and advertisers are unsigned 64-bit: `bigint` at the borders, decimal
 * strings in JSON. In hot tables they are keyed by `IdKey`: a plain number where the id is a
 * safe integer (all but the most exotic), a bigint beyond; both compare by value in a Map.
 */
export const U64_MAX = (1n << 64n) - 1n;

export type IdKey = number | bigint;

const TWO_POW_32 = 4_294_967_296;
const SAFE_HIGH = 0x20_0000;

/** The key of an id given as its two unsigned 32-bit halves. */
export function idKey(high: number, low: number): IdKey {
  return high < SAFE_HIGH ? high * TWO_POW_32 + low : (BigInt(high) << 32n) | BigInt(low);
}

export function idKeyOf(id: bigint): IdKey {
  return id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id;
}

/** A canonical unsigned 64-bit decimal (no sign, no leading zero), or undefined. */
export function parseU64(text: string): bigint | undefined {
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= U64_MAX ? value : undefined;
}

const UUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The 16 bytes of a UUID's text, or undefined. */
export function parseUuid(text: string): Buffer | undefined {
  return UUID_TEXT.test(text) ? Buffer.from(text.replaceAll("-", ""), "hex") : undefined;
}

export function formatUuid(bytes: Uint8Array, at = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + at, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** RFC 9562: version 7 in the high nibble of byte 6, variant 10 in the top bits of byte 8. */
export function isUuidV7(bytes: Uint8Array, at = 0): boolean {
  return (bytes[at + 6]! & 0xf0) === 0x70 && (bytes[at + 8]! & 0xc0) === 0x80;
}

/** Milliseconds since 1970 of a UUIDv7: its first 48 bits, big-endian (RFC 9562, 5.7). */
export function uuidV7Ms(bytes: Uint8Array, at = 0): number {
  return (
    (bytes[at]! * 0x100 + bytes[at + 1]!) * TWO_POW_32 +
    (bytes[at + 2]! * 0x100_0000 + (bytes[at + 3]! << 16) + (bytes[at + 4]! << 8) + bytes[at + 5]!)
  );
}
