/**
 * Journal: the segment files of one process's click log, all topics and partitions in one
 * sequence of bytes, so that one sync serves every shard. Owned and called by file-log.ts alone,
 * which makes sure that `commit`, `mark` and `roll` never overlap.
 *
 *  J1 What `next` and `read` show is on disk: both move only after the sync.
 *  J2 Each frame carries the position that was durable before it (recovery.ts, R1 and R2);
 *     `mark` says the same of the last batch, which no later frame has vouched for yet.
 *  J3 Segments go away oldest first, one at a time, each removal durable before the next: a crash
 *     leaves a row of segments without a gap.
 */
import type { Block, LogRecord } from "../../block/block.ts";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import type { LogBounds } from "../../ports/click-log.ts";
import { encodeBatch, frameBytes, type Placed } from "./batch.ts";
import type { OpenFile } from "./files.ts";
import { describeKey, FRAME_HEADER_BYTES, makeMarker, type LogKey } from "./frame.ts";
import { openState, startSegment, type JournalDeps, type JournalState } from "./journal-open.ts";
import { RecentRecords } from "./recent-records.ts";
import { saveIndex } from "./recovery.ts";
import { readMany, type ManyByKey, type ManySource } from "./read-many.ts";
import { readSegment, type Wanted } from "./segment-reader.ts";
import { indexPath, type Segment } from "./segment.ts";

/** Sealed segments whose index is kept in memory. */
const LOADED_INDEXES = 16;

export interface Append {
  readonly key: LogKey;
  readonly block: Block;
}

export class Journal {
  readonly #deps: JournalDeps;
  readonly #segments: Segment[];
  readonly #next: Map<LogKey, number>;
  readonly #withIndex = new Set<Segment>();
  readonly #recent: RecentRecords;
  #file: OpenFile;
  #newestMs: number;
  #proven: number;
  #recordsEnd: number;
  #retaining: Promise<unknown> = Promise.resolve();

  private constructor(deps: JournalDeps, state: JournalState) {
    this.#deps = deps;
    this.#segments = state.segments;
    this.#next = state.next;
    this.#file = state.file;
    this.#newestMs = state.newestMs;
    this.#proven = state.proven;
    this.#recordsEnd = state.recordsEnd;
    this.#recent = new RecentRecords(deps.recentMaxBytes);
  }

  static async open(deps: JournalDeps): Promise<Journal> {
    const journal = new Journal(deps, await openState(deps));
    if (journal.isUnproven) await journal.mark();
    return journal;
  }

  get #active(): Segment {
    return this.#segments[this.#segments.length - 1]!;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#end - this.#segments[0]!.base;
  }

  /** Bytes that the segment still takes; a batch may pass it by less than one frame. */
  get room(): number {
    return this.#deps.limits.logSegmentBytes - this.#active.size;
  }

  /** Whether the last batch is durable but no frame says so yet. */
  get isUnproven(): boolean {
    return this.#proven < this.#recordsEnd;
  }

  /** Writes and syncs all of `appends`, and answers with their offsets. */
  async commit(appends: readonly Append[]): Promise<readonly number[]> {
    const running = new Map<LogKey, number>();
    const frames: Placed[] = appends.map(({ key, block }) => {
      const offset = running.get(key) ?? this.#next.get(key) ?? 0;
      running.set(key, offset + 1);
      return { key, block, offset };
    });
    const buffers = encodeBatch(frames, this.#active);
    await this.#write(buffers);
    this.#proven = this.#end;
    for (const { key, block, offset } of frames) {
      this.#active.index!.add(key, offset, this.#active.size);
      this.#active.size += frameBytes(block);
      this.#next.set(key, offset + 1);
      this.#newestMs = Math.max(this.#newestMs, block.header.appendTimeMs);
    }
    this.#recordsEnd = this.#end;
    this.#recent.add(frames);
    return frames.map(({ offset }) => offset);
  }

  /** Writes a frame that vouches for all before it. */
  async mark(): Promise<void> {
    const { salt } = this.#active;
    const position = this.#end;
    await this.#write([makeMarker({ salt, position, syncedUpTo: position })]);
    this.#active.size += FRAME_HEADER_BYTES;
    this.#proven = position;
  }

  /** Seals the segment and begins the next. */
  async roll(): Promise<void> {
    const sealed = this.#active;
    const index = sealed.index!;
    await saveIndex(this.#deps.files, sealed, index).catch((error: unknown) => {
      this.#deps.logger.warn({ error: messageOf(error), segment: sealed.path }, "segment index not saved");
    });
    const made = await startSegment(this.#deps, this.#end, this.#newestMs, this.#next);
    const before = this.#file;
    this.#segments.push(made.segment);
    this.#file = made.file;
    this.#proven = made.segment.base;
    this.#remember(sealed);
    await before.close();
  }

  bounds(key: LogKey): LogBounds {
    return { earliest: this.#segments[0]!.startOffsets.get(key) ?? 0, next: this.#next.get(key) ?? 0 };
  }

  async read(key: LogKey, from: number, maxBytes: number): Promise<readonly LogRecord[]> {
    const { earliest, next } = this.bounds(key);
    if (!(from >= earliest && from <= next)) throw outOfRange(key, from, earliest, next);
    const records: LogRecord[] = [];
    let bytes = 0;
    while (from + records.length < next && bytes < maxBytes) {
      const due = from + records.length;
      const recent = this.#recent.read(key, due, maxBytes - bytes);
      if (recent.length > 0) {
        for (const record of recent) {
          bytes += record.value.length;
          records.push(record);
        }
        continue;
      }
      const place = this.#locate(key, due);
      const segment = this.#segments[place];
      if (segment === undefined) return this.#retained(key, from, records);
      const to = this.#endOnDisk(key, place, next);
      try {
        const wanted = [{ key, from: due, to }];
        const found = await readSegment(this.#deps.files, segment, wanted, maxBytes - bytes);
        for (const record of found.get(key)!) {
          bytes += record.value.length;
          records.push(record);
        }
      } catch (error) {
        if (!isAdtallyError(error) && !this.#segments.includes(segment))
          return this.#retained(key, from, records);
        throw error;
      }
      this.#remember(segment);
    }
    return records;
  }

  /** Of many partitions, each from its own offset. */
  async readMany(from: ReadonlyMap<LogKey, number>, maxBytes: number): Promise<ManyByKey> {
    for (const [key, due] of from) {
      const { earliest, next } = this.bounds(key);
      if (!(due >= earliest && due <= next)) throw outOfRange(key, due, earliest, next);
    }
    const source: ManySource = {
      next: (key) => this.bounds(key).next,
      fromMemory: (key, due, bytes) => this.#recent.read(key, due, bytes),
      fromFiles: (due, bytes) => this.#readOldest(due, bytes),
    };
    return readMany(source, from, maxBytes);
  }

  /** Of the oldest segment that holds any of what is due. */
  async #readOldest(due: readonly Pick<Wanted, "key" | "from">[], maxBytes: number) {
    const places = due.map(({ key, from }) => this.#locate(key, from));
    const place = Math.min(...places);
    const segment = this.#segments[place];
    if (segment === undefined) return new Map<LogKey, readonly LogRecord[]>();
    const wanted = due
      .filter((_, i) => places[i] === place)
      .map(({ key, from }) => ({ key, from, to: this.#endOnDisk(key, place, this.bounds(key).next) }));
    try {
      const found = await readSegment(this.#deps.files, segment, wanted, maxBytes);
      this.#remember(segment);
      return found;
    } catch (error) {
      // Retention took it meanwhile: the next call is told so.
      if (isAdtallyError(error) || this.#segments.includes(segment)) throw error;
      return new Map<LogKey, readonly LogRecord[]>();
    }
  }

  /** Drops what is older. */
  retain(beforeMs: number): Promise<number> {
    return this.#drop((next) => next.newestBeforeMs < beforeMs);
  }

  /** Drops segments of which all is before `from`, by its partition. */
  release(from: (key: LogKey) => number): Promise<number> {
    return this.#drop((next) => [...next.startOffsets].every(([key, offset]) => from(key) >= offset));
  }

  /** J3. Resolves with the number of segments dropped; the one that is written to always stays. */
  #drop(isDue: (next: Segment) => boolean): Promise<number> {
    const run = this.#retaining.then(() => this.#dropWhile(isDue));
    this.#retaining = run.catch(() => undefined);
    return run;
  }

  async close(): Promise<void> {
    await this.#retaining;
    await this.#file.close();
  }

  get #end(): number {
    return this.#active.base + this.#active.size;
  }

  async #write(buffers: readonly Buffer[]): Promise<void> {
    await this.#file.write(buffers, this.#active.size);
    await this.#file.sync();
  }

  /** Behind the last record of the partition that is to be read from this segment. */
  #endOnDisk(key: LogKey, place: number, next: number): number {
    return Math.min(
      this.#recent.firstOf(key) ?? next,
      this.#segments[place + 1]?.startOffsets.get(key) ?? next,
    );
  }

  #locate(key: LogKey, offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle]!.startOffsets.get(key) ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The reader was overtaken by retention: it keeps what it has, and else is told. */
  #retained(key: LogKey, from: number, records: readonly LogRecord[]): readonly LogRecord[] {
    if (records.length > 0) return records;
    const { earliest, next } = this.bounds(key);
    throw outOfRange(key, from, earliest, next);
  }

  #remember(segment: Segment): void {
    if (segment === this.#active) return;
    this.#withIndex.delete(segment);
    this.#withIndex.add(segment);
    for (const oldest of this.#withIndex) {
      if (this.#withIndex.size <= LOADED_INDEXES) break;
      oldest.index = undefined;
      this.#withIndex.delete(oldest);
    }
  }

  async #dropWhile(isDue: (next: Segment) => boolean): Promise<number> {
    const { dir, files } = this.#deps;
    let dropped = 0;
    while (this.#segments.length > 1 && isDue(this.#segments[1]!)) {
      const oldest = this.#segments.shift()!;
      try {
        await files.remove(oldest.path);
        await files.syncDir(dir);
      } catch (error) {
        this.#segments.unshift(oldest);
        throw error;
      }
      this.#withIndex.delete(oldest);
      await files.remove(indexPath(oldest));
      dropped += 1;
    }
    return dropped;
  }
}

function outOfRange(key: LogKey, from: number, earliest: number, next: number): AdtallyError {
  return new AdtallyError(
    "OFFSET_OUT_OF_RANGE",
    `click log ${describeKey(key)}: offset ${from} is not within ${earliest} … ${next}; what retention has dropped cannot be read again`,
  );
}
