/** Count rows as objects, to and from the bytes of COUNT_COLUMNS: for sinks in memory and for tests. */
import { COUNT_ROW_BYTES, type CountRow, type EncodedCounts } from "./count-sink.ts";

const MINUTE_S = 60;

export function encodeCountRows(rows: readonly CountRow[]): EncodedCounts {
  const bytes = Buffer.alloc(rows.length * COUNT_ROW_BYTES);
  let at = 0;
  for (const row of rows) {
    at = bytes.writeBigUInt64LE(row.advertiserId, at);
    at = bytes.writeBigUInt64LE(row.campaignId, at);
    at = bytes.writeBigUInt64LE(row.adId, at);
    at = bytes.writeUInt32LE(row.minute * MINUTE_S, at);
    at = bytes.writeUInt16LE(row.shard, at);
    at = bytes.writeUInt32LE(row.clicks, at);
    at = bytes.writeUInt32LE(row.invalid, at);
    at = bytes.writeUInt32LE(row.duplicates, at);
    at = bytes.writeBigUInt64LE(BigInt(row.version), at);
  }
  return { rowCount: rows.length, bytes };
}

export function decodeCountRows({ rowCount, bytes }: EncodedCounts): CountRow[] {
  return Array.from({ length: rowCount }, (_, index) => {
    const at = index * COUNT_ROW_BYTES;
    return {
      advertiserId: bytes.readBigUInt64LE(at),
      campaignId: bytes.readBigUInt64LE(at + 8),
      adId: bytes.readBigUInt64LE(at + 16),
      minute: bytes.readUInt32LE(at + 24) / MINUTE_S,
      shard: bytes.readUInt16LE(at + 28),
      clicks: bytes.readUInt32LE(at + 30),
      invalid: bytes.readUInt32LE(at + 34),
      duplicates: bytes.readUInt32LE(at + 38),
      version: Number(bytes.readBigUInt64LE(at + 42)),
    };
  });
}
