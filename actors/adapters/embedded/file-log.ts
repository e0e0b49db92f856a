/**
 * The embedded click log: ClickLog for every topic and partition of one process, on plain
 * segment files (journal.ts). Opened by cmd/local; handed to shards, ingester and dead letters.
 *
 *  G1 Group commit: one batch is in flight, and the next takes all that has gathered meanwhile.
 *     The write and the sync run off the event loop.
 *  G2 What waits is bounded by limits.logQueueMaxBytes; past it an append is OVERLOADED.
 *  G3 Fail-stop: after a failed write or sync nothing about the file may be trusted. Its batch is
 *     APPEND_UNKNOWN, and all else LOG_STOPPED, reads too (a read could deny what a reopened
 *     log has), until the log is opened again. Its callers halt: no retry of theirs can help.
 *  G4 A journal that has been idle for a second gets a marker, so that damage to its last batch
 *     is told from a torn write.
 *  G5 With `maxBytes` its files take no more than that: past it an append is LOG_FULL, until
 *     segments have gone.
 */
import type { Block } from "../../block/block.ts";
import { AdtallyError, invariant, isAdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { ClickLog, ClickTopic, LogBounds } from "../../ports/click-log.ts";
import { systemRandom, type Clock, type RandomBytes, type Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import { frameBytes } from "./batch.ts";
import { nodeFiles, type Files } from "./files.ts";
import { logKey, MAX_PARTITIONS, partitionOf, type LogKey } from "./frame.ts";
import { Journal, type Append } from "./journal.ts";

const MARK_AFTER_MS = 1_000;
/** It is full for people before it is for the last small append. */
const FULL_MARGIN_BYTES = 64 * 1024;
/** What comes in two seconds at 150,000 clicks a second: raw rows leave each 0.7 s, and on a full machine take as long. */
const RECENT_MAX_BYTES = 64 * 1024 * 1024;
/** Checksums of one batch are computed on the event loop: this bounds them to a few milliseconds. */
const BATCH_MAX_BYTES = 16 * 1024 * 1024;

export interface FileLogDeps {
  readonly dir: string;
  readonly limits: Pick<Limits, "logSegmentBytes" | "logQueueMaxBytes" | "overloadRetryAfterMs">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Unbounded where it is not given: retention bounds it. */
  readonly maxBytes?: number;
  /** Newest records of `clicks` that are read from memory; RECENT_MAX_BYTES where it is not given. */
  readonly recentMaxBytes?: number;
  readonly files?: Files;
  readonly random?: RandomBytes;
}

export interface FileLog {
  topic(name: ClickTopic): ClickLog;
  /**
   * Drops sealed segments whose newest record is older than `beforeMs` by its append time, and
   * resolves with their number. @throws LOG_UNAVAILABLE
   */
  retain(beforeMs: number): Promise<number>;
  /**
   * Drops sealed segments in which all of the topic is before these offsets, by partition, and
   * nothing is of another topic; resolves with their number. @throws LOG_UNAVAILABLE
   */
  release(name: ClickTopic, from: ReadonlyMap<number, number>): Promise<number>;
  /** What its files take, and why it takes nothing more; undefined where it does. */
  usage(): { readonly bytes: number; readonly refusal: string | undefined };
  /** Commits what waits, then refuses all else. */
  close(): Promise<void>;
}

interface Waiting extends Append {
  readonly bytes: number;
  readonly resolve: (offset: number) => void;
  readonly reject: (error: AdtallyError) => void;
}

interface Stopped {
  readonly why: string;
  readonly cause?: unknown;
}

/** @throws LOG_CORRUPT, LOG_UNAVAILABLE */
export async function openFileLog(deps: FileLogDeps): Promise<FileLog> {
  const { dir, limits, logger, files = nodeFiles, random = systemRandom } = deps;
  const { recentMaxBytes = RECENT_MAX_BYTES } = deps;
  try {
    const journal = await Journal.open({ dir, limits, logger, files, random, recentMaxBytes });
    return new GroupCommitLog(deps, journal);
  } catch (error) {
    if (isAdtallyError(error)) throw error;
    const why = `click log ${dir} cannot be opened: ${messageOf(error)}`;
    throw new AdtallyError("LOG_UNAVAILABLE", why, { cause: error });
  }
}

class GroupCommitLog implements FileLog {
  readonly #deps: FileLogDeps;
  readonly #journal: Journal;
  #queue: Waiting[] = [];
  #queueBytes = 0;
  #stopped: Stopped | undefined;
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #marker: Timer | undefined;
  #isMarkDue = false;
  #lastSync = 0;

  constructor(deps: FileLogDeps, journal: Journal) {
    this.#deps = deps;
    this.#journal = journal;
  }

  topic(name: ClickTopic): ClickLog {
    const keyOf = (partition: number): LogKey => {
      invariant(
        Number.isInteger(partition) && partition >= 0 && partition < MAX_PARTITIONS,
        `click log: no partition ${partition}`,
      );
      return logKey(name, partition);
    };
    return {
      append: async (partition, block) => this.#append(keyOf(partition), block),
      read: async (partition, from, maxBytes) =>
        this.#reading(() => this.#journal.read(keyOf(partition), from, maxBytes)),
      readMany: async (from, maxBytes) => {
        const offsets = new Map([...from].map(([partition, offset]) => [keyOf(partition), offset]));
        const { records, isAll } = await this.#reading(() => this.#journal.readMany(offsets, maxBytes));
        return { records: new Map([...records].map(([key, read]) => [partitionOf(key), read])), isAll };
      },
      bounds: async (partition) => this.#bounds(keyOf(partition)),
    };
  }

  async retain(beforeMs: number): Promise<number> {
    this.#assertServing();
    try {
      return await this.#journal.retain(beforeMs);
    } catch (error) {
      throw this.#unavailable(`old segments could not be removed (${messageOf(error)})`, error);
    }
  }

  async release(name: ClickTopic, from: ReadonlyMap<number, number>): Promise<number> {
    this.#assertServing();
    const offsets = new Map([...from].map(([partition, offset]) => [logKey(name, partition), offset]));
    try {
      return await this.#journal.release((key) => offsets.get(key) ?? 0);
    } catch (error) {
      throw this.#unavailable(`segments could not be removed (${messageOf(error)})`, error);
    }
  }

  usage(): { readonly bytes: number; readonly refusal: string | undefined } {
    const { bytes } = this.#journal;
    return { bytes, refusal: this.#stopped?.why ?? this.#whyFull(FULL_MARGIN_BYTES) };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #append(key: LogKey, block: Block): Promise<number> {
    this.#assertServing();
    const bytes = frameBytes(block);
    const { logQueueMaxBytes, overloadRetryAfterMs } = this.#deps.limits;
    if (this.#queueBytes + bytes > logQueueMaxBytes) {
      throw new AdtallyError(
        "OVERLOADED",
        `click log: ${this.#queueBytes} bytes wait to be written, of ${logQueueMaxBytes} allowed; try again later`,
        { retryAfterMs: overloadRetryAfterMs },
      );
    }
    const full = this.#whyFull(bytes);
    if (full !== undefined) throw new AdtallyError("LOG_FULL", `click log ${this.#deps.dir}: ${full}`);
    return new Promise((resolve, reject) => {
      this.#queue.push({ key, block, bytes, resolve, reject });
      this.#queueBytes += bytes;
      this.#running ??= this.#run();
    });
  }

  /** G5 */
  #whyFull(bytes: number): string | undefined {
    const { maxBytes = Infinity } = this.#deps;
    const taken = this.#journal.bytes + this.#queueBytes;
    return taken + bytes > maxBytes ? `its files take ${taken} bytes, of ${maxBytes} allowed` : undefined;
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    this.#assertServing();
    try {
      const found = await read();
      this.#assertServing();
      return found;
    } catch (error) {
      if (isAdtallyError(error)) throw error;
      throw this.#unavailable(`a read failed (${messageOf(error)})`, error);
    }
  }

  #bounds(key: LogKey): LogBounds {
    this.#assertServing();
    return this.#journal.bounds(key);
  }

  async #run(): Promise<void> {
    // Appends made in the same turn of the event loop gather first.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0 || this.#isMarkDue) {
        if (this.#queue.length > 0) await this.#commit();
        else await this.#journal.mark();
        this.#isMarkDue = false;
        this.#lastSync = this.#deps.clock.monotonic();
      }
    } catch (error) {
      this.#failStop(error);
    }
    this.#running = undefined;
    if (this.#marker === undefined) this.#armMarker(MARK_AFTER_MS);
  }

  async #commit(): Promise<void> {
    if (this.#journal.room <= 0) await this.#journal.roll();
    const batch = this.#take(Math.min(this.#journal.room, BATCH_MAX_BYTES));
    try {
      const offsets = await this.#journal.commit(batch);
      batch.forEach((waiting, i) => waiting.resolve(offsets[i]!));
    } catch (error) {
      for (const { reject } of batch) {
        const why = `click log ${this.#deps.dir}: this append may or may not be on disk (${messageOf(error)})`;
        reject(new AdtallyError("APPEND_UNKNOWN", why, { cause: error }));
      }
      throw error;
    }
  }

  /** All that waits, or as much as passes `bytes`; at least one. */
  #take(bytes: number): readonly Waiting[] {
    let count = 0;
    let taken = 0;
    while (count < this.#queue.length && (count === 0 || taken < bytes)) taken += this.#queue[count++]!.bytes;
    const batch = this.#queue.splice(0, count);
    this.#queueBytes -= taken;
    return batch;
  }

  #failStop(error: unknown): void {
    const why = `it stopped after a failed write (${messageOf(error)}); see to the disk, then start again`;
    this.#stopped = { why, cause: error };
    this.#marker?.cancel();
    this.#deps.logger.error({ error: messageOf(error), dir: this.#deps.dir }, "click log stopped");
    const refused = this.#queue;
    this.#queue = [];
    this.#queueBytes = 0;
    for (const { reject } of refused) reject(this.#refusal(this.#stopped));
  }

  #armMarker(delayMs: number): void {
    if (this.#stopped !== undefined || !this.#journal.isUnproven) return;
    this.#marker = this.#deps.clock.after(delayMs, () => {
      this.#marker = undefined;
      const idleMs = this.#deps.clock.monotonic() - this.#lastSync;
      if (this.#running !== undefined) return;
      if (idleMs < MARK_AFTER_MS) return this.#armMarker(MARK_AFTER_MS - idleMs);
      this.#isMarkDue = true;
      this.#running = this.#run();
    });
  }

  async #close(): Promise<void> {
    const before = this.#stopped;
    this.#stopped ??= { why: "it is closed" };
    this.#marker?.cancel();
    await this.#running;
    const hasFailed = before !== undefined || this.#stopped.cause !== undefined;
    try {
      if (!hasFailed && this.#journal.isUnproven) await this.#journal.mark();
    } finally {
      await this.#journal.close();
    }
  }

  #assertServing(): void {
    if (this.#stopped !== undefined) throw this.#refusal(this.#stopped);
  }

  /** A log that is closed may be opened again by its owner; one that failed waits for a person. */
  #refusal({ why, cause }: Stopped): AdtallyError {
    if (cause === undefined) return this.#unavailable(why, cause);
    return new AdtallyError("LOG_STOPPED", `click log ${this.#deps.dir}: ${why}`, { cause });
  }

  #unavailable(why: string, cause: unknown): AdtallyError {
    return new AdtallyError("LOG_UNAVAILABLE", `click log ${this.#deps.dir}: ${why}`, { cause });
  }
}
