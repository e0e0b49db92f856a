/**
 * Reads one partition's records out of one segment. Every record that is handed out has passed
 * its checksums on this very read; a hole or a damaged frame is LOG_CORRUPT, never skipped.
 */
import type { LogRecord } from "../../block/block.ts";
import type { Files, OpenFile } from "./files.ts";
import { FrameCursor } from "./frame-cursor.ts";
import { frameBlockHeader, frameKey, frameOffset, type LogKey } from "./frame.ts";
import { loadIndex } from "./recovery.ts";
import { corrupt, type Segment } from "./segment.ts";

export interface Wanted {
  readonly key: LogKey;
  /** First offset wanted, and the offset behind the partition's last record in this segment. */
  readonly from: number;
  readonly to: number;
  readonly maxBytes: number;
}

async function collect(
  file: OpenFile,
  segment: Segment,
  wanted: Wanted,
  startAt: number,
): Promise<LogRecord[]> {
  const { key, from, to, maxBytes } = wanted;
  const cursor = new FrameCursor(file, segment, startAt, segment.size);
  const records: LogRecord[] = [];
  let bytes = 0;
  let due = from;
  while (due < to && bytes < maxBytes) {
    const look = cursor.look();
    if (look === "more") {
      await cursor.fill();
      continue;
    }
    if (look === "bad") throw corrupt(segment.path, cursor.at, "a frame's header is damaged", key, due);
    if (look === "end") throw corrupt(segment.path, cursor.at, "the record is missing", key, due);
    if (frameKey(cursor.buffer, cursor.headerAt) === key) {
      const offset = frameOffset(cursor.buffer, cursor.headerAt);
      if (offset > due)
        throw corrupt(segment.path, cursor.at, `offset ${offset} stands in its place`, key, due);
      if (offset === due) {
        const value = cursor.holdsValue ? cursor.takeValue() : await cursor.readValue();
        if (value === undefined) {
          throw corrupt(segment.path, cursor.at, "the record's checksum does not hold", key, due);
        }
        records.push({ offset, header: frameBlockHeader(cursor.buffer, cursor.headerAt), value });
        bytes += value.length;
        due += 1;
      }
    }
    cursor.skip();
  }
  return records;
}

export async function readSegment(files: Files, segment: Segment, wanted: Wanted): Promise<LogRecord[]> {
  const file = await files.open(segment.path, "read");
  try {
    segment.index ??= await loadIndex(files, segment, file);
    const startAt = segment.index.floor(wanted.key, wanted.from);
    if (startAt === undefined) {
      throw corrupt(segment.path, 0, "its index does not know the record", wanted.key, wanted.from);
    }
    return await collect(file, segment, wanted, startAt);
  } finally {
    await file.close();
  }
}
