/** A shard host on a virtual clock over the memory log, store and sink: for the shard's tests. */
import { randomBytes } from "node:crypto";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog, type MemoryLog } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { ShardHost } from "./host.ts";

export const START_MS = 1_760_000_000_000;
export const SHARD = 5;

export interface World {
  readonly clicks?: MemoryLog;
  readonly deadLetters?: MemoryLog;
  readonly spill?: MemoryLog;
  readonly stores?: ShardStores;
  readonly sink?: ReturnType<typeof createMemoryCountSink>;
  readonly limits?: Partial<Limits>;
  readonly clock?: ReturnType<typeof virtualClock>;
  readonly startWithinMs?: number;
  readonly shard?: number;
}

/** One shard, alone in its host; pass what an earlier one returned to restart on the same disks. */
export async function shardIn(world: World = {}) {
  const {
    clicks = createMemoryLog(),
    deadLetters = createMemoryLog(),
    spill = createMemoryLog(),
    stores = memoryShardStores(),
    sink = createMemoryCountSink(),
    clock = virtualClock(START_MS),
    shard = SHARD,
  } = world;
  const limits = { ...DEFAULT_LIMITS, ...world.limits };
  const starting = ShardHost.start({
    shards: [{ shard, epoch: 1 }],
    limits,
    clicks,
    deadLetters,
    spill,
    stores,
    sink,
    clock,
    random: (count) => randomBytes(count),
    logger: silentLogger,
    defer: (run) => void clock.after(0, run),
  });
  starting.catch(() => undefined);
  await clock.advance(world.startWithinMs ?? 100);
  const host = await starting;
  const settled = async <T>(promise: Promise<T>, ms = 50): Promise<T> => {
    promise.catch(() => undefined);
    await clock.advance(ms);
    return promise;
  };
  const submit = (batch: readonly SimClick[], ms?: number) =>
    settled(host.submit({ shard, rows: rowsOf(batch, shard), count: batch.length }), ms);
  const verdicts = async (batch: readonly SimClick[]) => {
    const { outcomes } = await submit(batch);
    return batch.map((_, i) => outcomes[i * 2]);
  };
  const { state } = host.actors.get(shard)!;
  return { spill, clicks, stores, sink, clock, host, settled, submit, verdicts, state, limits };
}

/** A fresh click of ad 1001, at START_MS unless told otherwise. */
export const click = (over: Partial<SimClick> = {}): SimClick => ({
  id: uuidV7(START_MS, randomBytes(10)),
  adId: 1001,
  clickMs: START_MS,
  receivedMs: START_MS,
  ...over,
});
