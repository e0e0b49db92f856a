/**
 * One click as one row of ClickHouse's RowBinary, the format of a block's value.
 *
 * A gateway writes the row once, with everything it knows; the shard actor fills in verdict,
 * reason, sequence and row number in place; the same bytes then serve the click log, the
 * fold's replay and the raw table. All but the last column are of fixed width, so that an
 * actor reads what it needs at fixed positions and never decodes a row.
 *
 * Integers are little-endian. A UUID is two 64-bit words, the high one first, each
 * little-endian (ClickHouse's form). Times are DateTime64(3): milliseconds, signed 64-bit.
 */
import type { Source } from "../core/verdict.ts";

export const RowAt = {
  impressionId: 0,
  adId: 16,
  campaignId: 24,
  advertiserId: 32,
  clickTime: 40,
  receivedTime: 48,
  ip: 56,
  generation: 72,
  shard: 74,
  source: 76,
  verdict: 77,
  reason: 78,
  sequence: 79,
  rowNumber: 83,
  userAgent: 87,
} as const;

export const ROW_FIXED_BYTES = 87;

/** The block's columns as ClickHouse names them; `clicks_raw` adds `offset` behind them. */
export const ROW_COLUMNS: readonly (readonly [name: string, type: string])[] = [
  ["impression_id", "UUID"],
  ["ad_id", "UInt64"],
  ["campaign_id", "UInt64"],
  ["advertiser_id", "UInt64"],
  ["click_time", "DateTime64(3, 'UTC')"],
  ["received_time", "DateTime64(3, 'UTC')"],
  ["ip", "IPv6"],
  ["generation", "UInt16"],
  ["shard", "UInt16"],
  ["source", "Int8"],
  ["verdict", "Int8"],
  ["reason", "Int8"],
  ["sequence", "UInt32"],
  ["row_number", "UInt32"],
  ["user_agent", "String"],
];

const TWO_POW_32 = 4_294_967_296;

/** What a gateway knows of a click when it hands it on. Byte fields are copied. */
export interface ClickFields {
  /** 16 bytes at `impressionIdAt`, in the UUID's own (big-endian) order. */
  impressionId: Uint8Array;
  impressionIdAt: number;
  adHigh: number;
  adLow: number;
  campaignHigh: number;
  campaignLow: number;
  advertiserHigh: number;
  advertiserLow: number;
  clickTimeMs: number;
  receivedTimeMs: number;
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d; empty when unknown. */
  ip: Uint8Array;
  generation: number;
  shard: number;
  source: Source;
  verdict: number;
  reason: number;
  /** UTF-8, already cut to Limits.userAgentMaxBytes. */
  userAgent: Uint8Array;
}

export function rowBytes(userAgentBytes: number): number {
  return ROW_FIXED_BYTES + (userAgentBytes < 0x80 ? 1 : 2) + userAgentBytes;
}

/** Buffer's own write checks type and range at each call: the row's room is known here. */
function write32(target: Buffer, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}

function writeTime(target: Buffer, at: number, timeMs: number): void {
  const high = Math.floor(timeMs / TWO_POW_32);
  write32(target, at + 4, high);
  write32(target, at, timeMs - high * TWO_POW_32);
}

/** On any Uint8Array: makes no view of the bytes, as `set` would need. */
const { copy } = Buffer.prototype as Buffer;

/**
 * Writes one row at `at` and returns the position behind it. The caller has made room (`rowBytes`).
 * The user agent is `agentLength` bytes at `agentAt` of `click.userAgent`: no view is made of them.
 */
export function writeRow(
  target: Buffer,
  at: number,
  click: ClickFields,
  agentAt = 0,
  agentLength = click.userAgent.length,
): number {
  const id = click.impressionId;
  const idAt = click.impressionIdAt;
  for (let i = 0; i < 8; i++) {
    target[at + i] = id[idAt + 7 - i]!;
    target[at + 8 + i] = id[idAt + 15 - i]!;
  }
  write32(target, at + RowAt.adId, click.adLow);
  write32(target, at + RowAt.adId + 4, click.adHigh);
  write32(target, at + RowAt.campaignId, click.campaignLow);
  write32(target, at + RowAt.campaignId + 4, click.campaignHigh);
  write32(target, at + RowAt.advertiserId, click.advertiserLow);
  write32(target, at + RowAt.advertiserId + 4, click.advertiserHigh);
  writeTime(target, at + RowAt.clickTime, click.clickTimeMs);
  writeTime(target, at + RowAt.receivedTime, click.receivedTimeMs);
  const isIpKnown = click.ip.length === 16;
  for (let i = 0; i < 16; i++) target[at + RowAt.ip + i] = isIpKnown ? click.ip[i]! : 0;
  target.writeUInt16LE(click.generation, at + RowAt.generation);
  target.writeUInt16LE(click.shard, at + RowAt.shard);
  target[at + RowAt.source] = click.source;
  target[at + RowAt.verdict] = click.verdict;
  target[at + RowAt.reason] = click.reason;
  write32(target, at + RowAt.sequence, 0);
  write32(target, at + RowAt.rowNumber, 0);
  let next = at + RowAt.userAgent;
  if (agentLength < 0x80) target[next++] = agentLength;
  else {
    target[next++] = (agentLength & 0x7f) | 0x80;
    target[next++] = agentLength >>> 7;
  }
  copy.call(click.userAgent, target, next, agentAt, agentAt + agentLength);
  return next + agentLength;
}

/** The position behind the row at `at`, or -1 where the bytes end before the row does. */
export function rowEnd(rows: Buffer, at: number): number {
  const lengthAt = at + RowAt.userAgent;
  if (lengthAt >= rows.length) return -1;
  let length = rows[lengthAt]!;
  let next = lengthAt + 1;
  if (length >= 0x80) {
    if (next >= rows.length) return -1;
    length = (length & 0x7f) | (rows[next]! << 7);
    next += 1;
  }
  const end = next + length;
  return end <= rows.length ? end : -1;
}

export function readTime(rows: Buffer, at: number): number {
  return rows.readInt32LE(at + 4) * TWO_POW_32 + rows.readUInt32LE(at);
}

/** The timestamp of the row's UUIDv7 (milliseconds): the top 48 bits of its high word. */
export function readImpressionMs(rows: Buffer, at: number): number {
  return rows.readUInt32LE(at + 4) * 0x1_0000 + rows.readUInt16LE(at + 2);
}

/** The impression id in its own byte order. */
export function readImpressionId(rows: Buffer, at: number): Buffer {
  const id = Buffer.allocUnsafe(16);
  for (let i = 0; i < 8; i++) {
    id[i] = rows[at + 7 - i]!;
    id[8 + i] = rows[at + 15 - i]!;
  }
  return id;
}

/** What the actor knows once it has decided: patched into the row in place. */
export function stampRow(
  rows: Buffer,
  at: number,
  verdict: number,
  reason: number,
  sequence: number,
  rowNumber: number,
): void {
  rows[at + RowAt.verdict] = verdict;
  rows[at + RowAt.reason] = reason;
  rows.writeUInt32LE(sequence, at + RowAt.sequence);
  rows.writeUInt32LE(rowNumber, at + RowAt.rowNumber);
}
