/**
 * One segment of the journal: a file that opens with a header and holds frames behind it.
 * Its bytes are numbered on from the segment before: position = base + offset in the file.
 *
 *  S1 A header is complete and durable before the file gets its name; a bad one is damage.
 *  S2 A header carries the next offset of every partition at its start, so that offsets go on
 *     rising when retention has dropped every record that had them.
 *  S3 A new segment is named only when all before it is durable.
 */
import { crc32 } from "node:zlib";
import path from "node:path";
import { AdtallyError } from "../../core/errors.ts";
import { describeKey, getInt64, putInt64, type LogKey } from "./frame.ts";
import type { Files, OpenFile } from "./files.ts";
import type { SparseIndex } from "./sparse-index.ts";

export interface SegmentHeader {
  /** Journal position of the file's first byte. */
  readonly base: number;
  /** Random start of the checksums of this file's frames. */
  readonly salt: number;
  /** Newest append time of all records in earlier segments; -1 for none. */
  readonly newestBeforeMs: number;
  readonly startOffsets: ReadonlyMap<LogKey, number>;
}

export interface Segment extends SegmentHeader {
  readonly path: string;
  readonly headerBytes: number;
  /** Bytes of the file that are committed. */
  size: number;
  /** Loaded when first read from; always there for the segment that is written to. */
  index: SparseIndex | undefined;
}

const MAGIC = "adtlog01";
const FIXED_BYTES = 44;
const ENTRY_BYTES = 12;

export const SEGMENT_SUFFIX = ".log";
export const INDEX_SUFFIX = ".index";
export const TEMPORARY_SUFFIX = ".new";

export function segmentPath(dir: string, base: number): string {
  return path.join(dir, String(base).padStart(16, "0") + SEGMENT_SUFFIX);
}

export function indexPath(segment: Segment): string {
  return segment.path.slice(0, -SEGMENT_SUFFIX.length) + INDEX_SUFFIX;
}

/** Magic 8, checksum 4, header bytes 4, base 8, newest 8, salt 4, count 4, reserved 4, entries. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(FIXED_BYTES + header.startOffsets.size * ENTRY_BYTES);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(bytes.length, 12);
  putInt64(bytes, header.base, 16);
  putInt64(bytes, header.newestBeforeMs, 24);
  bytes.writeUInt32LE(header.salt, 32);
  bytes.writeUInt32LE(header.startOffsets.size, 36);
  let at = FIXED_BYTES;
  for (const [key, offset] of header.startOffsets) {
    bytes.writeUInt32LE(key, at);
    putInt64(bytes, offset, at + 4);
    at += ENTRY_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
  return bytes;
}

/** Undefined where the bytes are not a whole, undamaged header. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < FIXED_BYTES || bytes.toString("latin1", 0, 8) !== MAGIC) return undefined;
  if (bytes.readUInt32LE(12) !== bytes.length || bytes.readUInt32LE(8) !== crc32(bytes.subarray(12))) {
    return undefined;
  }
  const startOffsets = new Map<LogKey, number>();
  for (let at = FIXED_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    startOffsets.set(bytes.readUInt32LE(at), getInt64(bytes, at + 4));
  }
  return {
    base: getInt64(bytes, 16),
    newestBeforeMs: getInt64(bytes, 24),
    salt: bytes.readUInt32LE(32),
    startOffsets,
  };
}

export async function loadSegment(files: Files, filePath: string): Promise<Segment> {
  const file = await files.open(filePath, "read");
  try {
    const size = await file.size();
    const fixed = Buffer.alloc(FIXED_BYTES);
    await file.read(fixed, 0);
    const headerBytes = Math.min(Math.max(fixed.readUInt32LE(12), FIXED_BYTES), size);
    const bytes = Buffer.alloc(headerBytes);
    await file.read(bytes, 0);
    const header = decodeSegmentHeader(bytes);
    if (header === undefined) throw corrupt(filePath, 0, "the segment's header is damaged");
    return { ...header, path: filePath, headerBytes, size, index: undefined };
  } finally {
    await file.close();
  }
}

/** S1: the file gets its name when its header is on disk. Resolves with the file open for writing. */
export async function createSegment(
  files: Files,
  dir: string,
  header: SegmentHeader,
  index: SparseIndex,
): Promise<{ readonly segment: Segment; readonly file: OpenFile }> {
  const filePath = segmentPath(dir, header.base);
  const bytes = encodeSegmentHeader(header);
  const file = await files.open(filePath + TEMPORARY_SUFFIX, "create");
  try {
    await file.write([bytes], 0);
    await file.sync();
    await files.rename(filePath + TEMPORARY_SUFFIX, filePath);
    await files.syncDir(dir);
  } catch (error) {
    await file.close();
    throw error;
  }
  const segment = { ...header, path: filePath, headerBytes: bytes.length, size: bytes.length, index };
  return { segment, file };
}

/** What is damaged, where, whose it is if that is known, and what to do. */
export function corrupt(
  filePath: string,
  at: number,
  why: string,
  key?: LogKey,
  offset?: number,
): AdtallyError {
  const place = key === undefined ? "" : ` (${describeKey(key)}, offset ${offset ?? "unknown"})`;
  return new AdtallyError(
    "LOG_CORRUPT",
    `click log ${filePath} at byte ${at}: ${why}${place}. Nothing was cut or skipped: ` +
      "keep the directory as it is and restore this file from a copy",
  );
}
