/**
 * A block's header as one header of its Kafka record, so that the value stays pure rows:
 *
 *   at 0  u16  format version, so that a reader can refuse what it does not know
 *      2  u48  writer            8  u32  sequence       12  u32  row count
 *     16  u64  epoch            24  i64  append time    32  i64  source offset
 *     40  u32  CRC-32 of the value
 *     44  u32  CRC-32 of these 44 bytes: kafkajs does not check the record batch's own CRC
 *
 * Integers are little-endian, as in the rows.
 */
import { crc32 } from "node:zlib";
import { BLOCK_FORMAT_VERSION, isBlockIntact, type Block, type BlockHeader } from "../../block/block.ts";

/** The record header's key. */
export const HEADER_KEY = "adtally-block";
const HEADER_BYTES = 48;
const CRC_AT = 44;

export function encodeHeader(header: BlockHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt16LE(header.formatVersion, 0);
  bytes.writeUIntLE(header.writer, 2, 6);
  bytes.writeUInt32LE(header.sequence, 8);
  bytes.writeUInt32LE(header.rowCount, 12);
  bytes.writeBigUInt64LE(BigInt(header.epoch), 16);
  bytes.writeBigInt64LE(BigInt(header.appendTimeMs), 24);
  bytes.writeBigInt64LE(BigInt(header.sourceOffset), 32);
  bytes.writeUInt32LE(header.crc, 40);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT);
  return bytes;
}

/** The block of a record, or in words why it is none. */
export function decodeBlock(header: unknown, value: Buffer | null): Block | string {
  if (!Buffer.isBuffer(header)) return `it has no header ${HEADER_KEY}, or several: it is not a click block`;
  if (header.length < 2) return `its header has ${header.length} bytes`;
  const formatVersion = header.readUInt16LE(0);
  if (formatVersion !== BLOCK_FORMAT_VERSION) {
    return `its format version is ${formatVersion}, this program knows ${BLOCK_FORMAT_VERSION}`;
  }
  if (header.length !== HEADER_BYTES) return `its header has ${header.length} bytes, not ${HEADER_BYTES}`;
  if (header.readUInt32LE(CRC_AT) !== crc32(header.subarray(0, CRC_AT))) return "its header's CRC is wrong";
  if (value === null) return "it has no value";
  const block: Block = {
    header: {
      formatVersion,
      writer: header.readUIntLE(2, 6),
      sequence: header.readUInt32LE(8),
      rowCount: header.readUInt32LE(12),
      epoch: Number(header.readBigUInt64LE(16)),
      appendTimeMs: Number(header.readBigInt64LE(24)),
      sourceOffset: Number(header.readBigInt64LE(32)),
      crc: header.readUInt32LE(40),
    },
    value,
  };
  return isBlockIntact(block) ? block : "its value's CRC is wrong";
}
