/**
 * Empties a gateway's spool: what is spooled goes to its shard, or, where the shard does not take
 * it, to the spill topic; its place in the spool is noted once it is durable elsewhere, and what is
 * noted may be dropped from the disk. After a crash some blocks go a second time: repeats are found
 * by id.
 *
 *  D1 Nothing is dropped before its place is on disk, and nothing that is not drained ever is. So
 *     what a spool begins with is its first undrained block at the latest, whatever the note says.
 *  D2 Small blocks go as one submission: an outage leaves one for each turn of a gateway's loop.
 *  D3 A few shards at once: one that nobody serves holds up the others no longer than its deadline.
 *  D4 Rows whose generation was not known wait for a table that has it (unrouted.ts).
 *  D5 A gateway that ends in good order leaves its spool empty where it can: it may never come back,
 *     and its disk with it.
 */
import { makeBlock, type Block, type LogRecord } from "../block/block.ts";
import { isAdtallyError, messageOf } from "../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { ShardPort, Submission } from "../ports/shard-port.ts";
import type { RoutingTable } from "../routing/table.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { routeRows, unroutedPartition } from "./unrouted.ts";

/** Where draining got to, by shard: the offset of the first spooled block not yet drained. */
export interface SpoolProgress {
  load(): Promise<ReadonlyMap<number, number>>;
  /** Resolves when it is on disk; what is before it may then be dropped (D1). */
  save(progress: ReadonlyMap<number, number>): Promise<void>;
}

export interface SpoolDrainerDeps {
  readonly spool: ClickLog;
  readonly progress: SpoolProgress;
  /** A port that does not itself spool. */
  readonly target: ShardPort;
  readonly spill: ClickLog;
  /** Shards that any generation has. */
  readonly shards: () => readonly number[];
  /** Where rows belong that were spooled without a shard (D4); without it, there are none. */
  readonly table?: () => RoutingTable;
  readonly limits?: Pick<
    Limits,
    "blockMaxRows" | "blockMaxBytes" | "maxShards" | "tokenLifeMs" | "dedupRetentionMs" | "clockSkewMs"
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SpoolDrainer {
  /** Spooled blocks that wait. */
  backlog(): Promise<number>;
  stop(): Promise<void>;
  /**
   * Stops once nothing waits, or after `withinMs` and what was then under way (D5): how many blocks
   * wait still.
   */
  end(withinMs: number): Promise<number>;
}

const PERIOD_MS = 1_000;
const SHARDS_AT_ONCE = 4;
const READ_BYTES = 1024 * 1024;

export async function startSpoolDrainer(deps: SpoolDrainerDeps): Promise<SpoolDrainer> {
  const { spool, progress, target, spill, shards, table, limits = DEFAULT_LIMITS, clock, logger } = deps;
  const unrouted = unroutedPartition(limits);
  const drained = new Map(await progress.load());
  let stopped = false;
  let isEnding = false;
  /** Of the end, in monotonic time. */
  let endsAtMs = Infinity;
  let wake = (): void => undefined;
  let timer: Timer | undefined;
  let round: Promise<void> = Promise.resolve();

  const isOver = (): boolean => stopped || clock.monotonic() >= endsAtMs;

  const partitions = (): readonly number[] => [...shards(), ...(table ? [unrouted] : [])];

  /** D1 */
  async function waiting(partition: number): Promise<{ from: number; next: number }> {
    const { earliest, next } = await spool.bounds(partition);
    return { from: Math.max(drained.get(partition) ?? 0, earliest), next };
  }

  async function handOn(submission: Submission, blocks: readonly Block[]): Promise<void> {
    await target.submit(submission).catch(async (error: unknown) => {
      if (isAdtallyError(error, "INPUT_INVALID")) throw error;
      for (const block of blocks) await spill.append(submission.shard, block);
    });
  }

  /** D2: the offset behind what was handed on, or undefined where nothing can be now. */
  async function handOnFirst(partition: number, records: readonly LogRecord[]): Promise<number | undefined> {
    if (partition === unrouted) return routeFirst(records[0]!);
    let count = 0;
    let bytes = 0;
    const group: LogRecord[] = [];
    for (const record of records) {
      count += record.header.rowCount;
      bytes += record.value.length;
      if (group.length > 0 && (count > limits.blockMaxRows || bytes > limits.blockMaxBytes)) break;
      group.push(record);
    }
    const rows = Buffer.concat(group.map(({ value }) => value));
    const rowCount = group.reduce((sum, { header }) => sum + header.rowCount, 0);
    await handOn({ shard: partition, rows, count: rowCount }, group);
    return group.at(-1)!.offset + 1;
  }

  /** D4 */
  async function routeFirst(record: LogRecord): Promise<number | undefined> {
    const parts = table && routeRows(record.value, table(), clock.now(), limits);
    if (parts === undefined) return undefined;
    for (const part of parts) {
      const header = { ...record.header, rowCount: part.count };
      await handOn(part, [makeBlock(header, Buffer.from(part.rows))]);
    }
    return record.offset + 1;
  }

  async function drainPartition(partition: number): Promise<void> {
    let { from, next } = await waiting(partition);
    while (from < next && !isOver()) {
      const records = await spool.read(partition, from, READ_BYTES);
      for (let at = 0; at < records.length && !isOver();) {
        const to = await handOnFirst(partition, records.slice(at));
        if (to === undefined) return;
        at += to - from;
        from = to;
        drained.set(partition, from);
      }
      await progress.save(drained);
      ({ next } = await waiting(partition));
    }
  }

  async function drainAll(): Promise<void> {
    const left = [...partitions()];
    const work = async (): Promise<void> => {
      for (let partition = left.shift(); partition !== undefined && !isOver(); partition = left.shift()) {
        await drainPartition(partition).catch((error: unknown) => {
          logger.warn({ partition, error: messageOf(error) }, "spool not drained: tried again in a second");
        });
      }
    };
    await Promise.all(Array.from({ length: SHARDS_AT_ONCE }, work));
  }

  const schedule = (): void => {
    timer = clock.after(PERIOD_MS, () => {
      round = drainAll().then(() => {
        if (!stopped && !isEnding) schedule();
      });
    });
  };
  schedule();

  async function backlog(): Promise<number> {
    let blocks = 0;
    for (const partition of partitions()) {
      const { from, next } = await waiting(partition);
      blocks += next - from;
    }
    return blocks;
  }

  async function stop(): Promise<void> {
    stopped = true;
    timer?.cancel();
    wake();
    await round;
  }

  return {
    backlog,
    stop,
    async end(withinMs) {
      isEnding = true;
      timer?.cancel();
      endsAtMs = clock.monotonic() + withinMs;
      const pauseMs = () => Math.min(PERIOD_MS, endsAtMs - clock.monotonic());
      await round;
      while (!stopped && (await backlog()) > 0) {
        round = drainAll();
        await round;
        if ((await backlog()) === 0 || pauseMs() <= 0) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
          timer = clock.after(pauseMs(), resolve);
        });
      }
      await stop();
      return backlog();
    },
  };
}
