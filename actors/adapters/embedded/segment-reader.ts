/**
 * Reads records out of one segment, of one partition or of many in one pass. Every record that is handed out has passed
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
}

interface Open extends Wanted {
  due: number;
  readonly records: LogRecord[];
}

async function collect(
  file: OpenFile,
  segment: Segment,
  wanted: readonly Open[],
  startAt: number,
  maxBytes: number,
): Promise<void> {
  const cursor = new FrameCursor(file, segment, startAt, segment.size);
  const open = new Map(wanted.map((each) => [each.key, each]));
  let bytes = 0;
  for (const { key, due, to } of wanted) if (due >= to) open.delete(key);
  while (open.size > 0 && bytes < maxBytes) {
    const look = cursor.look();
    if (look === "more") {
      await cursor.fill();
      continue;
    }
    if (look !== "frame") {
      const [lacking] = open.values();
      const why = look === "bad" ? "a frame's header is damaged" : "the record is missing";
      throw corrupt(segment.path, cursor.at, why, lacking!.key, lacking!.due);
    }
    const one = open.get(frameKey(cursor.buffer, cursor.headerAt));
    if (one !== undefined) {
      const { key, due, records } = one;
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
        one.due += 1;
        if (one.due === one.to) open.delete(key);
      }
    }
    cursor.skip();
  }
}

/** Records of all that is wanted, until `maxBytes` is passed, in the order of the journal. */
export async function readSegment(
  files: Files,
  segment: Segment,
  wanted: readonly Wanted[],
  maxBytes: number,
): Promise<ReadonlyMap<LogKey, readonly LogRecord[]>> {
  const file = await files.open(segment.path, "read");
  try {
    const index = (segment.index ??= await loadIndex(files, segment, file));
    const starts = wanted.map(({ key, from }) => {
      const startAt = index.floor(key, from);
      if (startAt === undefined)
        throw corrupt(segment.path, 0, "its index does not know the record", key, from);
      return startAt;
    });
    const found = wanted.map((each): Open => ({ ...each, due: each.from, records: [] }));
    await collect(file, segment, found, Math.min(...starts), maxBytes);
    return new Map(found.map(({ key, records }) => [key, records]));
  } finally {
    await file.close();
  }
}
