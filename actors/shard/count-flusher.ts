/**
 * Sends a host's counts to the CountSink: all shards' windows in one insert, then the
 * checkpoints that cover them (O2 of flush.ts). One flush at a time; a failure is retried with
 * backoff, and meanwhile windows only gather (they are absolute, so none is sent twice over):
 * in memory up to a bound, then in the shards' stores, from where all shards catch up side by side.
 */
import { messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { Checkpoint, CountSink } from "../ports/count-sink.ts";
import { sleep, type Clock, type Timer } from "../runtime/clock.ts";
import { withDeadline } from "../runtime/deadline.ts";
import type { Logger } from "../runtime/log.ts";
import { CHUNK_ROWS } from "../window/window-table.ts";
import type { ShardActor } from "./actor.ts";
import type { CountFlush } from "./flush.ts";

const LAST_BACKOFF_MS = 10_000;
/** A checkpoint whose offset did not move is worth a row only for its watermark. */
const IDLE_CHECKPOINT_MS = 10_000;

export interface FlusherDeps {
  readonly sink: CountSink;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class CountFlusher {
  readonly #deps: FlusherDeps;
  readonly #actors: () => Iterable<ShardActor>;
  readonly #lastCheckpoint = new Map<number, Checkpoint>();
  #timer: Timer | undefined;
  #underWay: Promise<void> | undefined;
  #failures = 0;
  /** Shards whose last flush was held against the sink's own record of it. */
  readonly #met = new WeakSet<ShardActor>();
  /** A flush failed since the sink was last looked at: it may come back with less than it had. */
  #isSinkDoubtful = false;
  #stopped = false;

  constructor(deps: FlusherDeps, actors: () => Iterable<ShardActor>) {
    this.#deps = deps;
    this.#actors = actors;
  }

  start(): void {
    this.#schedule(this.#deps.limits.countFlushIntervalMs);
  }

  /** Rejects with the sink's error; what could not be sent stays due. */
  async flush(): Promise<void> {
    while (this.#underWay !== undefined) await this.#underWay.catch(() => undefined);
    this.#underWay = this.#flushAll();
    try {
      await this.#underWay;
    } finally {
      this.#underWay = undefined;
    }
  }

  /** A last flush, tried until the deadline: what is left then is sent after the next start. */
  async stop(deadlineMs: number): Promise<void> {
    this.cancel();
    const { clock, logger } = this.#deps;
    const giveUpAt = clock.monotonic() + deadlineMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await withDeadline(clock, giveUpAt - clock.monotonic(), "the count sink", this.flush());
      } catch (error) {
        const waitMs = this.#backoffMs(attempt);
        if (clock.monotonic() + waitMs > giveUpAt) {
          logger.warn(
            { error: messageOf(error) },
            "last counts not flushed; they go out after the next start",
          );
          return;
        }
        await sleep(clock, waitMs);
      }
    }
  }

  cancel(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#deps.clock.after(delayMs, () => {
      const startedAt = this.#deps.clock.monotonic();
      this.flush().then(
        () => {
          this.#failures = 0;
          const took = this.#deps.clock.monotonic() - startedAt;
          this.#schedule(Math.max(0, this.#deps.limits.countFlushIntervalMs - took));
        },
        (error: unknown) => {
          this.#failures += 1;
          const retryInMs = this.#backoffMs(this.#failures);
          this.#deps.logger.warn({ error: messageOf(error), retryInMs }, "counts not flushed");
          this.#schedule(retryInMs);
        },
      );
    });
  }

  #backoffMs(failures: number): number {
    return Math.min(LAST_BACKOFF_MS, this.#deps.limits.countFlushIntervalMs * 2 ** (failures - 1));
  }

  async #flushAll(): Promise<void> {
    try {
      await this.#meetSink();
      while (!(await this.#flushOnce())) {
        // More windows than one insert carries: go on at once.
      }
    } catch (error) {
      this.#isSinkDoubtful = true;
      throw error;
    }
  }

  /**
   * A sink that was emptied or restored from an old copy is behind what a shard remembers: found at
   * first contact, and after each failure, for tables can be dropped and made anew in mid-run too.
   */
  async #meetSink(): Promise<void> {
    const actors = [...this.#actors()];
    const asked = this.#isSinkDoubtful ? actors : actors.filter((actor) => !this.#met.has(actor));
    if (asked.length === 0) return;
    const checkpoints = await this.#deps.sink.readCheckpoints();
    const offsets = new Map(checkpoints.map(({ shard, offset }) => [shard, offset]));
    for (const actor of asked) {
      const { shard } = actor.state.identity;
      const offset = offsets.get(shard) ?? -1;
      // Counts whose checkpoint failed after them are not lost: what was told for certain decides.
      const told = this.#lastCheckpoint.get(shard)?.offset ?? Infinity;
      if (!this.#met.has(actor) || offset < told) await actor.sinkHas(offset);
      this.#met.add(actor);
    }
    this.#isSinkDoubtful = false;
  }

  /** True when nothing is left. */
  async #flushOnce(): Promise<boolean> {
    const flushes: { actor: ShardActor; flush: CountFlush }[] = [];
    let rowCount = 0;
    const actors = [...this.#actors()];
    const mostRows = this.#deps.limits.countFlushMaxRows;
    // Half an insert is left to what comes meanwhile, whichever shard it is for.
    const mostParked = Math.max(CHUNK_ROWS, Math.floor(mostRows / 2 / actors.length));
    for (const actor of actors) {
      const flush = actor.takeCounts(mostRows - rowCount, mostParked);
      if (flush === undefined) continue;
      flushes.push({ actor, flush });
      rowCount += flush.rowCount;
    }
    try {
      if (rowCount > 0) {
        const bytes = Buffer.concat(flushes.map(({ flush }) => flush.bytes));
        await this.#deps.sink.writeCounts({ rowCount, bytes });
      }
      for (const { actor, flush } of flushes) actor.countsWritten(flush);
    } catch (error) {
      for (const { actor, flush } of flushes) actor.countsNotWritten(flush);
      throw error;
    }
    await this.#writeCheckpoints(flushes.map(({ flush }) => flush));
    return flushes.every(({ flush }) => flush.covers !== undefined);
  }

  async #writeCheckpoints(flushes: readonly CountFlush[]): Promise<void> {
    const due = flushes
      .map(({ checkpoint }) => checkpoint)
      .filter((checkpoint): checkpoint is Checkpoint => checkpoint !== undefined && this.#isDue(checkpoint));
    if (due.length === 0) return;
    await this.#deps.sink.writeCheckpoints(due);
    for (const checkpoint of due) this.#lastCheckpoint.set(checkpoint.shard, checkpoint);
  }

  #isDue(checkpoint: Checkpoint): boolean {
    const last = this.#lastCheckpoint.get(checkpoint.shard);
    if (last === undefined || checkpoint.offset > last.offset) return true;
    return checkpoint.watermarkMs - last.watermarkMs >= IDLE_CHECKPOINT_MS;
  }
}
