/** Appends to a log, each partition with one under way, as a shard actor has; then reads all back. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { makeBlock, type Block } from "../../../actors/block/block.ts";
import { systemClock, systemRandom } from "../../../actors/runtime/clock.ts";
import { cpuUsOf } from "../../lib/processes.ts";
import { latencies, type Figures } from "../../lib/report.ts";

const ROW_BYTES = 150;
const MAX_BYTES = 400 * 1024 * 1024;
const WARM_UP_MS = 300;
const TAILS = 50;

export interface LogUnderTest {
  append(partition: number, block: Block): Promise<unknown>;
  /** Bytes of the values from the offset on, and the offset to go on from. */
  readonly read?: (
    partition: number,
    from: number,
  ) => Promise<{ readonly bytes: number; readonly next: number }>;
  close(): Promise<void>;
}

export interface Load {
  readonly partitions: number;
  readonly rowsABlock: number;
  readonly ms: number;
  /** Process of the broker, whose CPU time is told apart. */
  readonly brokerPid: number | undefined;
}

const round = (value: number, digits = 2) => Math.round(value * 10 ** digits) / 10 ** digits;

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function makeBlocks(rows: number): readonly Block[] {
  const fields = { epoch: 1, writer: 1, rowCount: rows, appendTimeMs: systemClock.now(), sourceOffset: -1 };
  return Array.from({ length: 8 }, (_, i) =>
    makeBlock({ ...fields, sequence: i + 1 }, systemRandom(rows * ROW_BYTES)),
  );
}

/** @throws Error where not all that was acknowledged is read */
export async function measureLog(log: LogUnderTest, load: Load): Promise<Figures> {
  const { partitions, rowsABlock, brokerPid } = load;
  const blocks = makeBlocks(rowsABlock);
  const most = Math.ceil(MAX_BYTES / (rowsABlock * ROW_BYTES) / partitions);
  const append = async (forMs: number, ackMs: number[]): Promise<void> => {
    const startedAt = performance.now();
    const each = async (partition: number) => {
      for (let i = 0; performance.now() - startedAt < forMs && i < most; i++) {
        const sentAt = performance.now();
        await log.append(partition, blocks[i % blocks.length]!);
        ackMs.push(performance.now() - sentAt);
      }
    };
    await Promise.all(Array.from({ length: partitions }, (_, partition) => each(partition)));
  };
  const brokerUs = async () => (brokerPid === undefined ? 0 : cpuUsOf(brokerPid));

  const warmUp: number[] = [];
  await append(Math.min(WARM_UP_MS, load.ms), warmUp);
  const ackMs: number[] = [];
  // What every other click waits for while blocks are appended.
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [ownBefore, brokerBefore, startedAt] = [cpuUs(), await brokerUs(), performance.now()];
  await append(load.ms, ackMs);
  const seconds = (performance.now() - startedAt) / 1_000;
  delay.disable();
  const rows = ackMs.length * rowsABlock;
  const figures: Figures = {
    "MB a second": round((rows * ROW_BYTES) / 1e6 / seconds, 1),
    "appends a second": Math.round(ackMs.length / seconds),
    ...latencies("ack", ackMs),
    "event loop stall p99 ms": round(delay.percentile(99) / 1e6, 1),
    "CPU µs a row: this process": round((cpuUs() - ownBefore) / rows, 3),
    ...(brokerPid !== undefined && {
      "CPU µs a row: broker": round(((await brokerUs()) - brokerBefore) / rows, 3),
    }),
  };
  const written = (warmUp.length + ackMs.length) * rowsABlock * ROW_BYTES;
  return { ...figures, ...(await readBack(log, load, blocks[0]!, written)) };
}

async function readBack({ append, read }: LogUnderTest, { partitions }: Load, block: Block, written: number) {
  if (read === undefined) return {};
  const ends: number[] = [];
  let bytes = 0;
  const startedAt = performance.now();
  const cpuBefore = cpuUs();
  for (let partition = 0; partition < partitions; partition++) {
    let from = 0;
    for (;;) {
      const found = await read(partition, from);
      if (found.next === from) break;
      from = found.next;
      bytes += found.bytes;
    }
    ends.push(from);
  }
  if (bytes !== written) throw new Error(`${bytes} bytes were read of ${written} that were acknowledged`);
  const seconds = (performance.now() - startedAt) / 1_000;
  const readUs = cpuUs() - cpuBefore;
  const tailMs: number[] = [];
  for (let i = 0; i < TAILS; i++) {
    const sentAt = performance.now();
    await append(0, block);
    const { next } = await read(0, ends[0]! + i);
    if (next !== ends[0]! + i + 1) throw new Error("an acknowledged block is not read");
    tailMs.push(performance.now() - sentAt);
  }
  tailMs.sort((a, b) => a - b);
  return {
    "read MB a second": Math.round(bytes / 1e6 / seconds),
    "read CPU µs a row": round(readUs / (bytes / ROW_BYTES), 3),
    "append to read p50 ms": round(tailMs[Math.floor(TAILS / 2)]!, 2),
  };
}
