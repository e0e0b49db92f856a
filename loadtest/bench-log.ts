/**
 * node loadtest/bench-log.ts [seconds per line, 1.5]
 *
 * Durable appends of the embedded click log, beside the same on RocksDB (one synced batch for all
 * that waits), which was to carry it at first; ARCHITECTURE.md cites this table for the change. Each partition has one append in flight, as a shard actor has. "stall" is the event
 * loop's delay at its 1 ms timer while appends run: what every other click waits for; the idle line
 * says how much of it is the machine's.
 */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openFileLog } from "../actors/adapters/embedded/file-log.ts";
import { openRocks } from "../actors/adapters/rocksdb/rocks.ts";
import { makeBlock, type Block } from "../actors/block/block.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { sleep, systemClock, systemRandom } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";

const ROW_BYTES = 150;
const MAX_BYTES = 600 * 1024 * 1024;

interface Subject {
  readonly name: string;
  append(partition: number, block: Block): Promise<number>;
  /** Reads every record of a partition; resolves with their bytes. */
  readAll?(partition: number): Promise<number>;
  close(): Promise<void>;
}

async function fileSubject(dir: string): Promise<Subject> {
  const log = await openFileLog({ dir, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger });
  const clicks = log.topic("clicks");
  return {
    name: "segment files",
    append: (partition, block) => clicks.append(partition, block),
    async readAll(partition) {
      let bytes = 0;
      for (let from = 0; ;) {
        const records = await clicks.read(partition, from, DEFAULT_LIMITS.rawIngestMaxBytes);
        if (records.length === 0) return bytes;
        for (const { value } of records) bytes += value.length;
        from += records.length;
      }
    },
    close: () => log.close(),
  };
}

async function rocksSubject(dir: string): Promise<Subject> {
  const rocks = await openRocks(dir);
  const offsets = new Map<number, number>();
  let waiting: { key: Buffer; value: Buffer; offset: number; resolve: (offset: number) => void }[] = [];
  const commit = (): void => {
    const taken = waiting;
    waiting = [];
    const batch = rocks.batch();
    for (const { key, value } of taken) batch.put(key, value);
    batch.write({ sync: true });
    for (const { resolve, offset } of taken) resolve(offset);
  };
  return {
    name: "RocksDB, sync",
    append(partition, block) {
      const offset = offsets.get(partition) ?? 0;
      offsets.set(partition, offset + 1);
      const key = Buffer.allocUnsafe(10);
      key.writeUInt16BE(partition, 0);
      key.writeBigUInt64BE(BigInt(offset), 2);
      return new Promise((resolve) => {
        if (waiting.push({ key, value: block.value, offset, resolve }) === 1) setImmediate(commit);
      });
    },
    close: () => rocks.close(),
  };
}

function makeBlocks(rows: number): Block[] {
  return Array.from({ length: 8 }, (_, i) =>
    makeBlock(
      {
        epoch: 1,
        writer: 1,
        sequence: i + 1,
        rowCount: rows,
        appendTimeMs: systemClock.now(),
        sourceOffset: -1,
      },
      systemRandom(rows * ROW_BYTES),
    ),
  );
}

const at = (sorted: Float64Array, share: number): number =>
  sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
const cell = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width);

async function run(
  open: (dir: string) => Promise<Subject>,
  partitions: number,
  rows: number,
  ms: number,
): Promise<void> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-bench-log-"));
  const subject = await open(path.join(dir, "log"));
  try {
    const blocks = makeBlocks(rows);
    const acks: number[] = [];
    const mostAppends = Math.ceil(MAX_BYTES / (rows * ROW_BYTES));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const cpu = process.cpuUsage();
    const start = performance.now();
    await Promise.all(
      Array.from({ length: partitions }, async (_, partition) => {
        for (let i = 0; performance.now() - start < ms && acks.length < mostAppends; i++) {
          const sent = performance.now();
          await subject.append(partition, blocks[i % blocks.length]!);
          acks.push(performance.now() - sent);
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    delay.disable();
    const used = process.cpuUsage(cpu);
    const sorted = Float64Array.from(acks).sort();
    const bytes = acks.length * rows * ROW_BYTES;
    let line =
      `${subject.name.padEnd(14)} ${String(partitions).padStart(4)} ${String(rows).padStart(5)}` +
      `${cell(bytes / 1e6 / seconds, 1, 9)} ${cell(acks.length / seconds, 0, 9)} ${cell(at(sorted, 0.5), 2, 8)} ${cell(at(sorted, 0.99), 2, 8)}` +
      `${cell(delay.percentile(99) / 1e6, 1, 10)} ${cell(delay.max / 1e6, 1, 8)}` +
      `${cell((used.user + used.system) / (acks.length * rows), 2, 10)}`;
    if (subject.readAll !== undefined) {
      const readStart = performance.now();
      let read = 0;
      for (let partition = 0; partition < partitions; partition++) read += await subject.readAll(partition);
      if (read !== bytes) throw new Error(`${read} bytes read of ${bytes} written`);
      line += cell(read / 1e6 / ((performance.now() - readStart) / 1000), 0, 10);
    }
    process.stdout.write(line + "\n");
  } finally {
    await subject.close();
    await rm(dir, { recursive: true, force: true });
  }
}

const ms = Number(process.argv[2] ?? 1.5) * 1000;
process.stdout.write(
  `durable appends, rows of ${ROW_BYTES} bytes (node ${process.version}, ${os.cpus().length} cores)\n` +
    "log            part  rows     MB/s appends/s   ack p50      p99 stall p99      max cpu µs/row read MB/s\n",
);
const idle = monitorEventLoopDelay({ resolution: 1 });
idle.enable();
await sleep(systemClock, ms);
idle.disable();
process.stdout.write(
  `${"(idle process)".padEnd(58)}${cell(idle.percentile(99) / 1e6, 1, 10)} ${cell(idle.max / 1e6, 1, 8)}\n`,
);
for (const rows of [1, 100, 5_000]) {
  for (const partitions of [1, 4, 16]) {
    await run(fileSubject, partitions, rows, ms);
    await run(rocksSubject, partitions, rows, ms);
  }
}
