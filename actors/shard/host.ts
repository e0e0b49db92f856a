/**
 * The shard host: the shard actors of one process, and what they share: the tick, the count
 * flush to ClickHouse (one insert for all shards, so that parts stay few and large), restart
 * of a shard whose store went bad. It is the ShardPort of a single process.
 */
import { writerId } from "../block/block.ts";
import { AdtallyError, isAdtallyError, messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { CountSink } from "../ports/count-sink.ts";
import type { ShardPort, Submission, SubmissionResult } from "../ports/shard-port.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { withDeadline } from "../runtime/deadline.ts";
import { sleep, type Clock, type RandomBytes, type Timer } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { ShardActor, type ActorDeps } from "./actor.ts";
import { CountFlusher } from "./count-flusher.ts";
import { untilSucceeded } from "./succession.ts";

const TICK_MS = 1_000;
const RESTART_AFTER_MS = 1_000;

export interface HostShard {
  readonly shard: number;
  /** Fencing epoch of the assignment that gives the shard to this host. */
  readonly epoch: number;
}

export interface HostDeps {
  /** Shards owned from the start; others by `acquire`. */
  readonly shards: readonly HostShard[];
  readonly limits: Limits;
  readonly clicks: ClickLog;
  readonly deadLetters: ClickLog;
  readonly spill: ClickLog;
  readonly stores: ShardStores;
  readonly sink: CountSink;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly defer: (run: () => void) => void;
  /** Told of each block of this host's own, as it is cut: what its shards have to do. */
  readonly onBlock?: ActorDeps["onBlock"];
  readonly onFolded?: ActorDeps["onFolded"];
}

export class ShardHost implements ShardPort {
  readonly #deps: HostDeps;
  readonly #actors = new Map<number, ShardActor>();
  /** Epochs of the shards that are owned, whether they serve or are down. */
  readonly #epochs = new Map<number, number>();
  /** The acquisition or release of a shard that is under way: the next one waits for it. */
  readonly #moves = new Map<number, Promise<void>>();
  /** Shards that are down, with the reason. */
  readonly #down = new Map<number, AdtallyError>();
  readonly #flusher: CountFlusher;
  #ticker: Timer | undefined;
  #closing = false;

  static async start(deps: HostDeps): Promise<ShardHost> {
    const host = new ShardHost(deps);
    try {
      await Promise.all(deps.shards.map((owned) => host.#startShard(owned)));
    } catch (error) {
      await host.abandon();
      throw error;
    }
    host.#ticker = deps.clock.every(TICK_MS, () => {
      for (const actor of host.#actors.values()) actor.tick();
    });
    host.#flusher.start();
    return host;
  }

  private constructor(deps: HostDeps) {
    this.#deps = deps;
    this.#flusher = new CountFlusher(deps, () => this.#actors.values());
  }

  get actors(): ReadonlyMap<number, ShardActor> {
    return this.#actors;
  }

  /** The shards of this host with their epochs, those that are down included. */
  owned(): ReadonlyMap<number, number> {
    return this.#epochs;
  }

  /**
   * Takes a shard on: resolves once it serves; where it is owned, only its epoch rises. An owner
   * that does not know yet that it lost the shard costs time, not correctness.
   * @throws what the shard's recovery throws; the shard is not owned then
   */
  acquire(shard: number, epoch: number): Promise<void> {
    return this.#move(shard, async () => {
      if (this.#closing) throw new AdtallyError("NOT_OWNER", "this host is shutting down");
      const held = this.#epochs.get(shard);
      if (held === undefined) await this.#startShard({ shard, epoch });
      else this.#epochs.set(shard, Math.max(held, epoch));
    });
  }

  /** Goes on serving a shard that is another host's now; resolves when it may be let go, or was given back. */
  async handOver(shard: number, signal: AbortSignal): Promise<void> {
    const actor = this.#actors.get(shard);
    const epoch = this.#epochs.get(shard);
    if (actor === undefined || epoch === undefined) return;
    const { nextOffset } = actor.state;
    const outcome = await untilSucceeded(this.#deps, { shard, epoch, nextOffset }, signal);
    const { logger } = this.#deps;
    if (outcome === "late") logger.warn({ shard, epoch }, "letting a shard go that nobody has taken over");
    else logger.info({ shard, epoch, outcome }, "handed over");
  }

  /** Lets a shard go: settles what it took, flushes its counts, saves its state, closes it. */
  release(shard: number): Promise<void> {
    return this.#move(shard, async () => {
      const actor = this.#actors.get(shard);
      const { drainDeadlineMs, sinkDrainDeadlineMs } = this.#deps.limits;
      if (actor !== undefined) {
        await actor.drain(drainDeadlineMs);
        await this.#flushBefore(sinkDrainDeadlineMs, shard);
        // Callers hear NOT_OWNER from the actor until it is closed, and from the host afterwards.
        await actor.close();
      }
      this.#actors.delete(shard);
      this.#down.delete(shard);
      this.#epochs.delete(shard);
    });
  }

  /** Owned shards that do not serve, each with its fault. */
  get down(): ReadonlyMap<number, AdtallyError> {
    return this.#down;
  }

  /** What is not serving, by name; empty when all is well. */
  get faults(): readonly string[] {
    return [...this.#down].map(([shard, error]) => `shard ${shard}: ${error.message}`);
  }

  submit({ shard, rows, count, signal }: Submission): Promise<SubmissionResult> {
    const actor = this.#actors.get(shard);
    if (actor !== undefined) return actor.submit(rows, count, signal);
    const error = this.#down.get(shard);
    return Promise.reject(
      error === undefined
        ? new AdtallyError("NOT_OWNER", `this host does not own shard ${shard}`)
        : new AdtallyError("SHARD_HALTED", error.message, { retryAfterMs: RESTART_AFTER_MS }),
    );
  }

  /** Sends what ClickHouse lacks now; resolves once it has it. */
  flushCounts(): Promise<void> {
    return this.#flusher.flush();
  }

  /** What cannot be flushed in time is flushed by the next owner, from the log. */
  async #flushBefore(deadlineMs: number, shard: number): Promise<void> {
    const { clock, logger } = this.#deps;
    await withDeadline(clock, deadlineMs, "the count sink", this.flushCounts()).catch((error: unknown) => {
      logger.warn(
        { shard, error: messageOf(error) },
        "counts of a released shard are left to its next owner",
      );
    });
  }

  #move(shard: number, run: () => Promise<void>): Promise<void> {
    const before = this.#moves.get(shard) ?? Promise.resolve();
    const move = before.catch(() => undefined).then(run);
    this.#moves.set(shard, move);
    const settled = () => {
      if (this.#moves.get(shard) === move) this.#moves.delete(shard);
    };
    move.then(settled, settled);
    return move;
  }

  /** Refuses new clicks, settles those taken, flushes, saves, closes. */
  async drain(): Promise<void> {
    const { drainDeadlineMs, sinkDrainDeadlineMs } = this.#deps.limits;
    this.#closing = true;
    this.#ticker?.cancel();
    const actors = [...this.#actors.values()];
    await Promise.all(actors.map((actor) => actor.drain(drainDeadlineMs)));
    await this.#flusher.stop(sinkDrainDeadlineMs);
    await Promise.all(actors.map((actor) => actor.close()));
    this.#actors.clear();
  }

  /** Stops at once and saves nothing, as a crash would. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#ticker?.cancel();
    this.#flusher.cancel();
    await Promise.all([...this.#actors.values()].map((actor) => actor.abandon()));
    this.#actors.clear();
  }

  async #startShard({ shard, epoch }: HostShard): Promise<void> {
    const { clicks, clock, deadLetters, defer, limits, logger, random, sink, spill, stores } = this.#deps;
    const { onBlock, onFolded } = this.#deps;
    const epochs = this.#epochs;
    const identity = {
      shard,
      writer: writerId(random),
      // It rises where the shard is given away and back before it was let go.
      get epoch() {
        return epochs.get(shard) ?? epoch;
      },
    };
    const onHalt = (halted: number, error: AdtallyError) => this.#onHalt(halted, error);
    const deps: ActorDeps = {
      identity,
      limits,
      clicks,
      deadLetters,
      spill,
      stores,
      sink,
      clock,
      logger,
      defer,
      onHalt,
      ...(onBlock && { onBlock }),
      ...(onFolded && { onFolded }),
    };
    this.#actors.set(shard, await ShardActor.start(deps));
    this.#epochs.set(shard, epoch);
    this.#down.delete(shard);
  }

  /** A damaged store is rebuilt from the log; any other halt waits for a person. */
  #onHalt(shard: number, error: AdtallyError): void {
    const actor = this.#actors.get(shard);
    this.#actors.delete(shard);
    this.#down.set(shard, error);
    if (this.#closing || actor === undefined) return;
    const { clock, logger, stores } = this.#deps;
    const restart = async () => {
      await actor.abandon();
      if (!isAdtallyError(error, "STORE_CORRUPT")) return;
      await stores.destroy(shard);
      for (;;) {
        await sleep(clock, RESTART_AFTER_MS);
        const epoch = this.#epochs.get(shard);
        if (this.#closing || epoch === undefined) return;
        try {
          return await this.#startShard({ shard, epoch });
        } catch (failure) {
          if (!isAdtallyError(failure) || failure.after === "halt") throw failure;
          // Its log or the count sink is away too: it comes back with them.
          logger.warn({ shard, error: messageOf(failure) }, "shard not restarted yet");
        }
      }
    };
    restart().catch((failure: unknown) => {
      logger.error({ shard, error: messageOf(failure) }, "shard could not be restarted");
    });
  }
}
