/**
 * One frame of the journal: a fixed header and the block's value behind it. Bytes only, no I/O.
 * Written by batch.ts, read by frame-cursor.ts and recovery.ts.
 *
 *  F1 A header is trusted only by its own checksum, its magic and the journal position that it
 *     repeats, so the length in it can be trusted before the value has been read.
 *  F2 Both checksums start from the segment's random salt: bytes that a client can place in a
 *     value (a user agent) never pass for a frame when recovery searches for one.
 *  F3 `syncedUpTo` is the journal position that was durable before this frame was written.
 */
import { crc32 } from "node:zlib";
import type { BlockHeader } from "../../block/block.ts";
import type { ClickTopic } from "../../ports/click-log.ts";

const TWO_POW_32 = 4_294_967_296;

export const FRAME_MAGIC = 0x4654_4441; // "ADTF"
export const FRAME_HEADER_BYTES = 92;
export const FRAME_MAGIC_BYTES = Buffer.from("ADTF", "latin1");

const At = {
  magic: 0,
  headerCrc: 4,
  valueBytes: 8,
  valueCrc: 12,
  topic: 16,
  formatVersion: 18,
  partition: 20,
  rowCount: 24,
  sequence: 28,
  blockCrc: 32,
  position: 36,
  syncedUpTo: 44,
  offset: 52,
  epoch: 60,
  writer: 68,
  appendTimeMs: 76,
  sourceOffset: 84,
} as const;

/** Frames of no topic say only how far the journal is durable. */
const MARKER_TOPIC = 0;
const TOPICS: readonly ClickTopic[] = ["clicks", "clicks-spill", "clicks-dead-letter"];

export const MAX_PARTITIONS = 65_536;

/** One (topic, partition) as one number; 0 … 65535 are markers. */
export type LogKey = number;
export const MARKER_KEY: LogKey = 0;

export function logKey(topic: ClickTopic, partition: number): LogKey {
  return (TOPICS.indexOf(topic) + 1) * MAX_PARTITIONS + partition;
}

export function partitionOf(key: LogKey): number {
  return key % MAX_PARTITIONS;
}

export function isOfTopic(key: LogKey, topic: ClickTopic): boolean {
  return Math.floor(key / MAX_PARTITIONS) === TOPICS.indexOf(topic) + 1;
}

export function describeKey(key: LogKey): string {
  return `${TOPICS[Math.floor(key / MAX_PARTITIONS) - 1] ?? "marker"} partition ${key % MAX_PARTITIONS}`;
}

/** A safe integer, negative ones included, as a signed 64-bit little-endian. */
export function putInt64(target: Buffer, value: number, at: number): void {
  const high = Math.floor(value / TWO_POW_32);
  target.writeInt32LE(high, at + 4);
  target.writeUInt32LE(value - high * TWO_POW_32, at);
}

export function getInt64(source: Buffer, at: number): number {
  return source.readInt32LE(at + 4) * TWO_POW_32 + source.readUInt32LE(at);
}

export interface FramePlace {
  readonly salt: number;
  readonly position: number;
  readonly syncedUpTo: number;
}

function sealHeader(target: Buffer, at: number, salt: number): void {
  target.writeUInt32LE(FRAME_MAGIC, at);
  const crc = crc32(target.subarray(at + At.valueBytes, at + FRAME_HEADER_BYTES), salt);
  target.writeUInt32LE(crc, at + At.headerCrc);
}

/** Writes the header of a frame that holds `value`; the value itself goes behind it. */
export function writeFrameHeader(
  target: Buffer,
  at: number,
  place: FramePlace,
  key: LogKey,
  offset: number,
  header: BlockHeader,
  value: Buffer,
): void {
  target.writeUInt32LE(value.length, at + At.valueBytes);
  target.writeUInt32LE(crc32(value, place.salt), at + At.valueCrc);
  target.writeUInt16LE(Math.floor(key / MAX_PARTITIONS), at + At.topic);
  target.writeUInt16LE(header.formatVersion, at + At.formatVersion);
  target.writeUInt32LE(key % MAX_PARTITIONS, at + At.partition);
  target.writeUInt32LE(header.rowCount, at + At.rowCount);
  target.writeUInt32LE(header.sequence, at + At.sequence);
  target.writeUInt32LE(header.crc, at + At.blockCrc);
  putInt64(target, place.position, at + At.position);
  putInt64(target, place.syncedUpTo, at + At.syncedUpTo);
  putInt64(target, offset, at + At.offset);
  putInt64(target, header.epoch, at + At.epoch);
  putInt64(target, header.writer, at + At.writer);
  putInt64(target, header.appendTimeMs, at + At.appendTimeMs);
  putInt64(target, header.sourceOffset, at + At.sourceOffset);
  sealHeader(target, at, place.salt);
}

export function makeMarker(place: FramePlace): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(0, 0), place.salt), At.valueCrc);
  frame.writeUInt16LE(MARKER_TOPIC, At.topic);
  putInt64(frame, place.position, At.position);
  putInt64(frame, place.syncedUpTo, At.syncedUpTo);
  sealHeader(frame, 0, place.salt);
  return frame;
}

/** F1: whether a whole, undamaged header of the frame at `position` stands at `at`. */
export function isFrameHeader(source: Buffer, at: number, salt: number, position: number): boolean {
  return (
    source.readUInt32LE(at) === FRAME_MAGIC &&
    getInt64(source, at + At.position) === position &&
    source.readUInt32LE(at + At.headerCrc) ===
      crc32(source.subarray(at + At.valueBytes, at + FRAME_HEADER_BYTES), salt)
  );
}

export function isFrameValue(source: Buffer, at: number, salt: number, value: Buffer): boolean {
  return source.readUInt32LE(at + At.valueCrc) === crc32(value, salt);
}

export function frameKey(source: Buffer, at: number): LogKey {
  return source.readUInt16LE(at + At.topic) * MAX_PARTITIONS + source.readUInt32LE(at + At.partition);
}

export function frameValueBytes(source: Buffer, at: number): number {
  return source.readUInt32LE(at + At.valueBytes);
}

export function frameOffset(source: Buffer, at: number): number {
  return getInt64(source, at + At.offset);
}

export function frameSyncedUpTo(source: Buffer, at: number): number {
  return getInt64(source, at + At.syncedUpTo);
}

export function frameAppendTimeMs(source: Buffer, at: number): number {
  return getInt64(source, at + At.appendTimeMs);
}

export function frameBlockHeader(source: Buffer, at: number): BlockHeader {
  return {
    formatVersion: source.readUInt16LE(at + At.formatVersion),
    epoch: getInt64(source, at + At.epoch),
    writer: getInt64(source, at + At.writer),
    sequence: source.readUInt32LE(at + At.sequence),
    rowCount: source.readUInt32LE(at + At.rowCount),
    appendTimeMs: frameAppendTimeMs(source, at),
    sourceOffset: getInt64(source, at + At.sourceOffset),
    crc: source.readUInt32LE(at + At.blockCrc),
  };
}
