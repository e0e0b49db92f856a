/**
 * What stands in a segment file, and what may be cut from its tail. Called at open (for the last
 * segment) and where a sealed segment's index file is absent or bad.
 *
 *  R1 A torn write is the only damage that is cut away: frames behind the last position that any
 *     intact frame calls durable. No append in there was ever acknowledged.
 *  R2 A bad frame that a later intact frame calls durable is LOG_CORRUPT, and the file is left
 *     as it is. So is an intact frame whose offset is not the next one.
 *  R3 After a failed sync the page cache may hold bytes as clean that are not on disk. What no
 *     frame proves durable is therefore written once more and synced before the log opens.
 */
import type { Files, OpenFile } from "./files.ts";
import { FrameCursor } from "./frame-cursor.ts";
import {
  FRAME_HEADER_BYTES,
  FRAME_MAGIC_BYTES,
  frameAppendTimeMs,
  frameKey,
  frameOffset,
  frameSyncedUpTo,
  isFrameHeader,
  MARKER_KEY,
  type LogKey,
} from "./frame.ts";
import { corrupt, indexPath, TEMPORARY_SUFFIX, type Segment } from "./segment.ts";
import { SparseIndex } from "./sparse-index.ts";

const SEARCH_BYTES = 1024 * 1024;

interface Damage {
  readonly why: string;
  readonly key?: LogKey;
  readonly offset?: number;
}

interface Walk {
  readonly index: SparseIndex;
  /** Next offset of each partition behind this segment. */
  readonly next: Map<LogKey, number>;
  readonly newestMs: number;
  readonly records: number;
  /** File offset behind the last intact frame, and behind the last intact record. */
  readonly end: number;
  readonly recordsEnd: number;
  /** Journal position up to which an intact frame of this file, or its header, proves durability. */
  readonly proven: number;
  readonly damage: Damage | undefined;
}

/** Reads and checks every frame from the header on, up to the first that is bad. */
async function walk(file: OpenFile, segment: Segment, size: number): Promise<Walk> {
  const next = new Map(segment.startOffsets);
  const index = new SparseIndex();
  const cursor = new FrameCursor(file, segment, segment.headerBytes, size);
  let newestMs = segment.newestBeforeMs;
  let proven = segment.base + segment.headerBytes;
  let recordsEnd = segment.headerBytes;
  let records = 0;
  let damage: Damage | undefined;
  for (;;) {
    const look = cursor.look();
    if (look === "end") break;
    if (look === "more") {
      await cursor.fill();
      continue;
    }
    if (look === "bad") {
      damage = { why: "a frame's header is damaged" };
      break;
    }
    const key = frameKey(cursor.buffer, cursor.headerAt);
    const offset = frameOffset(cursor.buffer, cursor.headerAt);
    if (!(await cursor.isValueIntact())) {
      damage = { why: "a record's checksum does not hold", key, offset };
      break;
    }
    proven = Math.max(proven, frameSyncedUpTo(cursor.buffer, cursor.headerAt));
    if (key !== MARKER_KEY) {
      const expected = next.get(key) ?? 0;
      if (offset !== expected) {
        throw corrupt(segment.path, cursor.at, `offset ${offset} where ${expected} was due`, key, offset);
      }
      index.add(key, offset, cursor.at);
      next.set(key, offset + 1);
      newestMs = Math.max(newestMs, frameAppendTimeMs(cursor.buffer, cursor.headerAt));
      recordsEnd = cursor.frameEnd;
      records += 1;
    }
    cursor.skip();
  }
  return { index, next, newestMs, records, end: cursor.at, recordsEnd, proven, damage };
}

/** R2: whether any intact header behind the damage at `badAt` calls it durable. */
async function isCalledDurable(
  file: OpenFile,
  segment: Segment,
  badAt: number,
  size: number,
): Promise<boolean> {
  const buffer = Buffer.allocUnsafe(Math.min(SEARCH_BYTES, size - badAt));
  let at = badAt + 1;
  while (size - at >= FRAME_HEADER_BYTES) {
    const got = await file.read(buffer.subarray(0, Math.min(buffer.length, size - at)), at);
    const bytes = buffer.subarray(0, got);
    let found = bytes.indexOf(FRAME_MAGIC_BYTES);
    while (found >= 0 && found + FRAME_HEADER_BYTES <= got) {
      if (
        isFrameHeader(bytes, found, segment.salt, segment.base + at + found) &&
        frameSyncedUpTo(bytes, found) > segment.base + badAt
      ) {
        return true;
      }
      found = bytes.indexOf(FRAME_MAGIC_BYTES, found + 1);
    }
    if (got < FRAME_HEADER_BYTES) break;
    // The next chunk begins early enough to hold a header that this one holds in part.
    at += got - FRAME_HEADER_BYTES + 1;
  }
  return false;
}

/** R3. */
async function rewrite(file: OpenFile, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += SEARCH_BYTES) {
    const bytes = Buffer.allocUnsafe(Math.min(SEARCH_BYTES, to - at));
    await file.read(bytes, at);
    await file.write([bytes], at);
  }
}

export interface RecoveredTail extends Walk {
  readonly file: OpenFile;
  readonly cutBytes: number;
}

/** Opens the last segment for writing, its torn tail cut away and all that is left made durable. */
export async function recoverTail(files: Files, segment: Segment): Promise<RecoveredTail> {
  const file = await files.open(segment.path, "update");
  try {
    const size = await file.size();
    const found = await walk(file, segment, size);
    if (found.damage !== undefined && (await isCalledDurable(file, segment, found.end, size))) {
      const { why, key, offset } = found.damage;
      throw corrupt(
        segment.path,
        found.end,
        `${why}, and a later frame says that it was durable`,
        key,
        offset,
      );
    }
    if (found.end < size) await file.truncate(found.end);
    await rewrite(file, found.proven - segment.base, found.end);
    await file.sync();
    segment.size = found.end;
    segment.index = found.index;
    return { ...found, file, cutBytes: size - found.end };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Best effort: the file only saves a scan later, and its checksum guards against half of one. */
export async function saveIndex(files: Files, segment: Segment, index: SparseIndex): Promise<void> {
  const target = indexPath(segment);
  const file = await files.open(target + TEMPORARY_SUFFIX, "create");
  try {
    await file.write([index.encode(segment)], 0);
  } finally {
    await file.close();
  }
  await files.rename(target + TEMPORARY_SUFFIX, target);
}

async function readIndex(files: Files, segment: Segment): Promise<SparseIndex | undefined> {
  let file: OpenFile;
  try {
    file = await files.open(indexPath(segment), "read");
  } catch {
    return undefined;
  }
  try {
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0);
    return SparseIndex.decode(bytes, segment);
  } finally {
    await file.close();
  }
}

/** The index of a sealed segment: from its file, else by a scan of the segment. */
export async function loadIndex(files: Files, segment: Segment, file: OpenFile): Promise<SparseIndex> {
  const saved = await readIndex(files, segment);
  if (saved !== undefined) return saved;
  const found = await walk(file, segment, segment.size);
  if (found.damage !== undefined) {
    const { why, key, offset } = found.damage;
    throw corrupt(segment.path, found.end, `${why} in a sealed segment`, key, offset);
  }
  await saveIndex(files, segment, found.index).catch(() => undefined);
  return found.index;
}
