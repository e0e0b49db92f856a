/**
 * Values of a keyed log carry their own format version and CRC-32: no client in between checks
 * what a broker's disk gave back.
 *
 *   version u8 | content | CRC-32 of all before it, u32 LE
 */
import { crc32 } from "node:zlib";

const CRC_BYTES = 4;

export function seal(version: number, content: Buffer): Buffer {
  const value = Buffer.allocUnsafe(1 + content.length + CRC_BYTES);
  value[0] = version;
  content.copy(value, 1);
  value.writeUInt32LE(crc32(value.subarray(0, -CRC_BYTES)), value.length - CRC_BYTES);
  return value;
}

/** The content, or in words why there is none. */
export function unseal(version: number, value: Buffer): Buffer | string {
  if (value.length < 1 + CRC_BYTES) return `it has ${value.length} bytes`;
  if (value.readUInt32LE(value.length - CRC_BYTES) !== crc32(value.subarray(0, -CRC_BYTES))) {
    return "its CRC is wrong";
  }
  if (value[0] !== version) return `its format version is ${value[0]}, this program knows ${version}`;
  return value.subarray(1, -CRC_BYTES);
}
