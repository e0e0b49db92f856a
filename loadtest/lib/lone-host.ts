/** Shard actors alone, for benchmarks: the real embedded log and store, no network, no ClickHouse. */
import { join } from "node:path";
import { openFileLog, type FileLog } from "../../actors/adapters/embedded/file-log.ts";
import { rocksShardStores } from "../../actors/adapters/rocksdb/shard-store.ts";
import { DEFAULT_LIMITS, type Limits } from "../../actors/core/limits.ts";
import type { CountSink } from "../../actors/ports/count-sink.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { ShardHost } from "../../actors/shard/host.ts";

/** Takes all counts and keeps none. */
export const swallowingSink: CountSink = {
  writeCounts: () => Promise.resolve(),
  writeCheckpoints: () => Promise.resolve(),
  readCheckpoints: () => Promise.resolve([]),
  readWindows: () => Promise.resolve({ rowCount: 0, bytes: Buffer.alloc(0) }),
};

export function openLog(dir: string): Promise<FileLog> {
  return openFileLog({
    dir: join(dir, "log"),
    limits: DEFAULT_LIMITS,
    clock: systemClock,
    logger: silentLogger,
  });
}

export const storesIn = (dir: string) => rocksShardStores(join(dir, "state"));

export interface LoneHostOptions {
  readonly dir: string;
  readonly log: Pick<FileLog, "topic">;
  readonly shards: number;
  readonly sink?: CountSink;
  readonly limits?: Limits;
}

export function startLoneHost(options: LoneHostOptions): Promise<ShardHost> {
  const { dir, log, shards, sink = swallowingSink, limits = DEFAULT_LIMITS } = options;
  return ShardHost.start({
    shards: Array.from({ length: shards }, (_, shard) => ({ shard, epoch: 1 })),
    limits,
    clicks: log.topic("clicks"),
    deadLetters: log.topic("clicks-dead-letter"),
    spill: log.topic("clicks-spill"),
    stores: storesIn(dir),
    sink,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    defer: (run) => void setImmediate(run),
  });
}
