/** A file log in a directory of its own, with a hand-driven clock and a disk that can fail. */
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, onTestFinished } from "vitest";
import { expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import type { ClickTopic } from "../../ports/click-log.ts";
import { systemClock, type Clock } from "../../runtime/clock.ts";
import { silentLogger, type Logger } from "../../runtime/log.ts";
import { openFileLog, type FileLog } from "./file-log.ts";
import { makeFaultyFiles, type FaultyFiles } from "./files.fixture.ts";
import {
  FRAME_HEADER_BYTES,
  frameKey,
  frameOffset,
  frameValueBytes,
  isFrameHeader,
  logKey,
} from "./frame.ts";
import { loadSegment, SEGMENT_SUFFIX } from "./segment.ts";
import { nodeFiles } from "./files.ts";

export interface ManualClock extends Clock {
  /** Moves time and runs what is due. */
  advance(ms: number): void;
  readonly pending: number;
}

export function makeManualClock(): ManualClock {
  let time = 0;
  const timers = new Set<{ at: number; run: () => void }>();
  return {
    now: () => time,
    monotonic: () => time,
    after(delayMs, run) {
      const timer = { at: time + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    every: () => ({ cancel: () => undefined }),
    advance(ms) {
      time += ms;
      for (const timer of [...timers]) if (timer.at <= time && timers.delete(timer)) timer.run();
    },
    get pending() {
      return timers.size;
    },
  };
}

export interface Bench {
  dir: string;
  log: FileLog;
  files: FaultyFiles;
  clock: ManualClock;
  /** What SIGKILL leaves: the files as they are now, in a new directory, not yet opened. */
  crashImage(): Promise<string>;
  /** Goes on with the log in `dir`; rejects as openFileLog does. */
  use(dir: string): Promise<void>;
  /** Lets a second of idleness pass and waits for the marker. */
  settle(): Promise<void>;
  end(): Promise<void>;
}

export interface BenchOptions {
  readonly logSegmentBytes?: number;
  readonly logQueueMaxBytes?: number;
  /** None by default: what is read shows what the files hold. */
  readonly recentMaxBytes?: number;
  readonly logger?: Logger;
}

export async function makeBench(options: BenchOptions = {}): Promise<Bench> {
  const root = await mkdtemp(path.join(os.tmpdir(), "adtally-log-"));
  const limits = {
    logSegmentBytes: options.logSegmentBytes ?? 128 * 1024 * 1024,
    logQueueMaxBytes: options.logQueueMaxBytes ?? 64 * 1024 * 1024,
    overloadRetryAfterMs: 200,
  };
  const { logger = silentLogger, recentMaxBytes = 0 } = options;
  const clock = makeManualClock();
  let images = 0;
  const openIn = (dir: string, files: FaultyFiles): Promise<FileLog> =>
    openFileLog({ dir, limits, clock, logger, files, recentMaxBytes });
  const first = path.join(root, "log");
  const files = makeFaultyFiles();
  const bench: Bench = {
    dir: first,
    files,
    clock,
    log: await openIn(first, files),
    async crashImage() {
      const dir = path.join(root, `image-${(images += 1)}`);
      await cp(bench.dir, dir, { recursive: true });
      return dir;
    },
    async use(dir) {
      await bench.log.close();
      bench.dir = dir;
      bench.files = makeFaultyFiles();
      bench.log = await openIn(dir, bench.files);
    },
    async settle() {
      const before = bench.files.syncs;
      clock.advance(1_000);
      while (bench.files.syncs === before) await waitMs(1);
    },
    async end() {
      await bench.log.close();
      await rm(root, { recursive: true, force: true });
    },
  };
  return bench;
}

export function waitMs(ms: number): Promise<void> {
  return new Promise((resolve) => void systemClock.after(ms, resolve));
}

export async function segmentFiles(dir: string): Promise<string[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(SEGMENT_SUFFIX)).sort();
  return names.map((name) => path.join(dir, name));
}

export interface FramePlaceInFile {
  readonly path: string;
  readonly at: number;
  readonly bytes: number;
}

/** Where a record lies, found without the log's own index. */
export async function findFrame(
  dir: string,
  topic: ClickTopic,
  partition: number,
  offset: number,
): Promise<FramePlaceInFile> {
  for (const filePath of await segmentFiles(dir)) {
    const segment = await loadSegment(nodeFiles, filePath);
    const bytes = await readFile(filePath);
    let at = segment.headerBytes;
    while (at < bytes.length && isFrameHeader(bytes, at, segment.salt, segment.base + at)) {
      const size = FRAME_HEADER_BYTES + frameValueBytes(bytes, at);
      if (frameKey(bytes, at) === logKey(topic, partition) && frameOffset(bytes, at) === offset) {
        return { path: filePath, at, bytes: size };
      }
      at += size;
    }
  }
  throw new Error(`no frame of ${topic} ${partition} ${offset} in ${dir}`);
}

export async function flipBitAt(filePath: string, at: number, bit = 0): Promise<void> {
  const bytes = await readFile(filePath);
  bytes[at] = bytes[at]! ^ (1 << bit);
  await writeFile(filePath, bytes);
}

/** A bench that ends with its test. */
export async function start(options?: BenchOptions): Promise<Bench> {
  const bench = await makeBench(options);
  onTestFinished(() => bench.end());
  return bench;
}

/** Appends the first `count` sample blocks to a partition of `clicks`. */
export async function fill(bench: Bench, count: number, partition = 0): Promise<void> {
  for (let i = 1; i <= count; i++) await bench.log.topic("clicks").append(partition, sampleBlock(i));
}

export async function expectFilled(bench: Bench, count: number, partition = 0): Promise<void> {
  const records = await readAll(bench.log.topic("clicks"), partition);
  expect(records).toHaveLength(count);
  records.forEach((record, i) => expectRecord(record, i, sampleBlock(i + 1)));
}
