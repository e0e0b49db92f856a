/**
 * Opening the journal: which segments there are, that they join up, and the recovered tail.
 * Only the last segment is scanned; of the sealed ones only the headers are read.
 */
import path from "node:path";
import type { Limits } from "../../core/limits.ts";
import type { RandomBytes } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Files, OpenFile } from "./files.ts";
import type { LogKey } from "./frame.ts";
import { recoverTail } from "./recovery.ts";
import {
  corrupt,
  createSegment,
  INDEX_SUFFIX,
  loadSegment,
  SEGMENT_SUFFIX,
  segmentPath,
  TEMPORARY_SUFFIX,
  type Segment,
} from "./segment.ts";
import { SparseIndex } from "./sparse-index.ts";

export interface JournalDeps {
  readonly dir: string;
  readonly limits: Pick<Limits, "logSegmentBytes">;
  readonly files: Files;
  readonly random: RandomBytes;
  readonly logger: Logger;
  /** Of `clicks`, what the newest records may take in memory. */
  readonly recentMaxBytes: number;
}

export interface JournalState {
  readonly segments: Segment[];
  readonly next: Map<LogKey, number>;
  readonly file: OpenFile;
  readonly newestMs: number;
  /** Journal positions: durable by an intact frame's word, and behind the last record. */
  readonly proven: number;
  readonly recordsEnd: number;
}

/** All segments in order, what a crash left half done removed. */
async function listSegments({ dir, files }: JournalDeps): Promise<Segment[]> {
  await files.makeDir(dir);
  const names = [...(await files.list(dir))].sort();
  const known = new Set(names);
  const segments: Segment[] = [];
  for (const name of names) {
    const filePath = path.join(dir, name);
    if (name.endsWith(TEMPORARY_SUFFIX)) await files.remove(filePath);
    else if (name.endsWith(SEGMENT_SUFFIX)) segments.push(await loadSegment(files, filePath));
    else if (
      name.endsWith(INDEX_SUFFIX) &&
      !known.has(name.slice(0, -INDEX_SUFFIX.length) + SEGMENT_SUFFIX)
    ) {
      await files.remove(filePath);
    }
  }
  segments.forEach((segment, i) => {
    const before = segments[i - 1];
    const isMoved = segment.path !== segmentPath(dir, segment.base);
    if (isMoved || (before !== undefined && before.base + before.size !== segment.base)) {
      throw corrupt(
        segment.path,
        0,
        isMoved
          ? "the header belongs to another file"
          : `${before!.path} before it is short, long or missing`,
      );
    }
  });
  return segments;
}

export function startSegment(
  { dir, files, random }: JournalDeps,
  base: number,
  newestBeforeMs: number,
  next: ReadonlyMap<LogKey, number>,
): ReturnType<typeof createSegment> {
  const header = { base, salt: random(4).readUInt32LE(0), newestBeforeMs, startOffsets: new Map(next) };
  return createSegment(files, dir, header, new SparseIndex());
}

async function begin(deps: JournalDeps): Promise<JournalState> {
  const { segment, file } = await startSegment(deps, 0, -1, new Map());
  await deps.files.syncDir(path.dirname(deps.dir));
  return { segments: [segment], next: new Map(), file, newestMs: -1, proven: 0, recordsEnd: 0 };
}

async function resume(deps: JournalDeps, segments: Segment[]): Promise<JournalState> {
  const last = segments[segments.length - 1]!;
  const tail = await recoverTail(deps.files, last);
  const fields = {
    segment: last.path,
    segments: segments.length,
    records: tail.records,
    cutBytes: tail.cutBytes,
  };
  if (tail.cutBytes > 0)
    deps.logger.warn(fields, "click log: a write that was never acknowledged was cut away");
  else deps.logger.info(fields, "click log opened");
  return {
    segments,
    next: tail.next,
    file: tail.file,
    newestMs: tail.newestMs,
    proven: tail.proven,
    recordsEnd: last.base + tail.recordsEnd,
  };
}

export async function openState(deps: JournalDeps): Promise<JournalState> {
  const segments = await listSegments(deps);
  return segments.length === 0 ? begin(deps) : resume(deps, segments);
}
