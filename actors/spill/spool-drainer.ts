/**
 * Empties a gateway's spool: each spooled block goes to its shard, or, where the shard does not
 * take it, to the spill topic; its place in the spool is noted once it is durable elsewhere.
 * After a crash some blocks go a second time: repeats are found by id.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../core/errors.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { ShardPort } from "../ports/shard-port.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";

/** Where draining got to, by shard: offset of the first spooled block not yet drained. */
export interface SpoolProgress {
  load(): Promise<ReadonlyMap<number, number>>;
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
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SpoolDrainer {
  /** Spooled blocks that wait. */
  backlog(): Promise<number>;
  stop(): Promise<void>;
}

const PERIOD_MS = 1_000;
const READ_BYTES = 1024 * 1024;

export async function startSpoolDrainer(deps: SpoolDrainerDeps): Promise<SpoolDrainer> {
  const { spool, progress, target, spill, shards, clock, logger } = deps;
  const drained = new Map(await progress.load());
  let stopped = false;
  let timer: Timer | undefined;
  let round: Promise<void> = Promise.resolve();

  /** The first undrained offset: retention may have taken drained ones. */
  async function start(shard: number): Promise<{ from: number; next: number }> {
    const { earliest, next } = await spool.bounds(shard);
    const from = drained.get(shard) ?? 0;
    if (from < earliest) {
      const lost = `spool of shard ${shard}: drained to ${from}, begins at ${earliest}`;
      throw new AdtallyError("OFFSET_OUT_OF_RANGE", lost);
    }
    return { from, next };
  }

  async function drainShard(shard: number): Promise<void> {
    let { from, next } = await start(shard);
    while (from < next && !stopped) {
      for (const record of await spool.read(shard, from, READ_BYTES)) {
        await target
          .submit({ shard, rows: record.value, count: record.header.rowCount })
          .catch(async (error: unknown) => {
            if (isAdtallyError(error, "INPUT_INVALID")) throw error;
            await spill.append(shard, record);
          });
        from = record.offset + 1;
        drained.set(shard, from);
      }
      await progress.save(drained);
      ({ next } = await start(shard));
    }
  }

  async function drainAll(): Promise<void> {
    for (const shard of shards()) {
      if (stopped) return;
      await drainShard(shard).catch((error: unknown) => {
        logger.warn({ shard, error: messageOf(error) }, "spool not drained: tried again in a second");
      });
    }
  }

  const schedule = (): void => {
    timer = clock.after(PERIOD_MS, () => {
      round = drainAll().then(() => {
        if (!stopped) schedule();
      });
    });
  };
  schedule();

  return {
    backlog: async () => {
      let blocks = 0;
      for (const shard of shards()) {
        const { next } = await spool.bounds(shard);
        blocks += next - (drained.get(shard) ?? 0);
      }
      return blocks;
    },
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await round;
    },
  };
}
