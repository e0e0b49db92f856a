/** adtally's own logs, and RocksDB in their place, as bench/log.ts appends to them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFileLog } from "../../../actors/adapters/embedded/file-log.ts";
import { openKafkaLog } from "../../../actors/adapters/kafka/kafka-log.ts";
import { openRocks } from "../../../actors/adapters/rocksdb/rocks.ts";
import { DEFAULT_LIMITS } from "../../../actors/core/limits.ts";
import type { ClickLog } from "../../../actors/ports/click-log.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import { silentLogger } from "../../../actors/runtime/log.ts";
import type { LogUnderTest } from "./measure.ts";

const READ_BYTES = 4 * 1024 * 1024;
const common = { limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger };

function underTest(clicks: Pick<ClickLog, "append" | "read">, close: () => Promise<void>): LogUnderTest {
  return {
    append: (partition, block) => clicks.append(partition, block),
    async read(partition, from) {
      const records = await clicks.read(partition, from, READ_BYTES);
      const bytes = records.reduce((sum, { value }) => sum + value.length, 0);
      return { bytes, next: from + records.length };
    },
    close,
  };
}

async function inFreshFolder(open: (dir: string) => Promise<LogUnderTest>): Promise<LogUnderTest> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-bench-log-"));
  const log = await open(join(dir, "log"));
  return { ...log, close: () => log.close().finally(() => rm(dir, { recursive: true, force: true })) };
}

export const openEmbedded = (): Promise<LogUnderTest> =>
  inFreshFolder(async (dir) => {
    const log = await openFileLog({ dir, ...common });
    return underTest(log.topic("clicks"), () => log.close());
  });

export function openKafka(address: string, topicPrefix: string): Promise<LogUnderTest> {
  const config = { brokers: [address], clientId: "bench", topicPrefix };
  const log = openKafkaLog({ config, ...common });
  return Promise.resolve(underTest(log.topic("clicks"), () => log.close()));
}

/** One synced batch for all that waits; the embedded log was to stand on it at first. */
export const openRocksDb = (): Promise<LogUnderTest> =>
  inFreshFolder(async (dir) => {
    const rocks = await openRocks(dir);
    const offsets = new Map<number, number>();
    let waiting: { readonly key: Buffer; readonly value: Buffer; readonly resolve: () => void }[] = [];
    const commit = (): void => {
      const taken = waiting;
      waiting = [];
      const batch = rocks.batch();
      for (const { key, value } of taken) batch.put(key, value);
      batch.write({ sync: true });
      for (const { resolve } of taken) resolve();
    };
    return {
      append(partition, { value }) {
        const offset = offsets.get(partition) ?? 0;
        offsets.set(partition, offset + 1);
        const key = Buffer.allocUnsafe(10);
        key.writeUInt16BE(partition, 0);
        key.writeBigUInt64BE(BigInt(offset), 2);
        return new Promise<void>((resolve) => {
          if (waiting.push({ key, value, resolve }) === 1) setImmediate(commit);
        });
      },
      close: () => rocks.close(),
    };
  });
