/**
 * The shard actor: owns one shard's state, runs the effects of its transitions against the
 * click log, the dead letters and the store, and answers callers. One suspension point an
 * effect; between two of them everything is synchronous, which is what makes it an actor.
 *
 * Recovery: find where the fold begins (recovery.ts), replay the log from there to its end, serve.
 */
import type { Block, LogRecord } from "../block/block.ts";
import { AdtallyError, isAdtallyError, messageOf, type ErrorCode } from "../core/errors.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { SubmissionResult } from "../ports/shard-port.ts";
import type { ShardStore } from "../ports/shard-store.ts";
import { sleep } from "../runtime/clock.ts";
import { backoffMs } from "./backoff.ts";
import { DeadLetterWriter } from "./dead-letter-writer.ts";
import { countsNotWritten, countsWritten, takeCounts } from "./flush.ts";
import type { CountFlush } from "./flush.ts";
import {
  assertSinkBehind,
  findBeginning,
  onSoundStore,
  openState,
  type Opened,
  type RecoveryDeps,
} from "./recovery.ts";
import type { ShardState, Waiting } from "./state.ts";
import { StateSaver } from "./state-saver.ts";
import { transition, type Command, type Effect } from "./transition.ts";

const READ_BYTES = 4 * 1024 * 1024;

export interface ActorDeps extends RecoveryDeps {
  readonly deadLetters: ClickLog;
  /** Runs a function once the current event-loop turn is over, so that a turn's clicks share a block. */
  readonly defer: (run: () => void) => void;
  readonly onHalt: (shard: number, error: AdtallyError) => void;
  /** Told of each block once, as it is cut. */
  readonly onBlock?: (shard: number, block: Block) => void;
  /** Told of each block as it is folded, a replay's too, with what its rows came to (fold.ts). */
  readonly onFolded?: (shard: number, epoch: number, record: LogRecord, outcomes: Uint8Array) => void;
}

interface Caller {
  readonly resolve: (result: SubmissionResult) => void;
  readonly reject: (error: AdtallyError) => void;
}

export class ShardActor {
  readonly #deps: ActorDeps;
  readonly #state: ShardState;
  readonly #store: ShardStore;
  readonly #saver: StateSaver;
  readonly #callers = new Map<Waiting, Caller>();
  readonly #deadLetters: DeadLetterWriter;
  readonly #ready: Promise<void>;
  #resolveReady!: () => void;
  #rejectReady!: (error: AdtallyError) => void;
  #cutScheduled = false;
  /** No block is cut, so that the dead letters under way end and a save that is due can be made. */
  #holding = false;
  /** Takes no new clicks. */
  #stopped = false;
  /** The store is closed: late answers of the log find nobody. */
  #closed = false;

  /** Opens the store and replays the log. Resolves once the shard serves. */
  static start(deps: ActorDeps): Promise<ShardActor> {
    return onSoundStore(deps, () => ShardActor.#begin(deps));
  }

  static async #begin(deps: ActorDeps): Promise<ShardActor> {
    const opened = await openState(deps);
    const actor = new ShardActor(deps, opened.state, opened.store);
    try {
      await actor.#recover(opened);
    } catch (error) {
      await actor.abandon();
      throw error;
    }
    return actor;
  }

  private constructor(deps: ActorDeps, state: ShardState, store: ShardStore) {
    this.#deps = deps;
    this.#state = state;
    this.#store = store;
    this.#deadLetters = new DeadLetterWriter(deps, () => this.#lettersWritten());
    const onFailure = (code: ErrorCode, reason: string) => this.#dispatch({ kind: "halt", code, reason });
    this.#saver = new StateSaver({ ...deps, state, store, onFailure });
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Whoever awaits it hears of a failure; nobody may be awaiting it yet.
    this.#ready.catch(() => undefined);
  }

  get state(): Readonly<ShardState> {
    return this.#state;
  }

  submit(rows: Buffer, count: number, signal?: AbortSignal): Promise<SubmissionResult> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) {
        reject(new AdtallyError("NOT_OWNER", `shard ${this.#state.identity.shard} is shutting down`));
        return;
      }
      const [effect] = this.#transition({ kind: "submit", rows, count, ...(signal && { signal }) });
      if (effect?.kind === "accepted") {
        this.#callers.set(effect.waiting, { resolve, reject });
        this.#scheduleCut();
      } else if (effect?.kind === "refused") {
        const retryAfterMs = this.#deps.limits.overloadRetryAfterMs;
        reject(new AdtallyError(effect.code, effect.detail, { retryAfterMs }));
      } else if (effect !== undefined) {
        this.#run([effect]);
        reject(new AdtallyError("SHARD_HALTED", this.#state.haltReason ?? "halted"));
      }
    });
  }

  /** Watermark, deadlines and saves; called about once a second. */
  tick(): void {
    this.#dispatch({ kind: "tick" });
    const due = this.#saver.isDue;
    // Where letters never cease there is always one under way. Those that cannot be written hold
    // up the clicks no longer than until the next tick.
    const hold = due && this.#deadLetters.pending > 0 && !this.#holding;
    if (due && !hold) this.save();
    this.#holding = hold;
    if (!hold && this.#state.mailboxClicks > 0) this.#scheduleCut();
  }

  #lettersWritten(): void {
    if (!this.#holding || this.#closed) return;
    this.#holding = false;
    this.save();
    if (this.#state.mailboxClicks > 0) this.#scheduleCut();
  }

  /** Counts that ClickHouse lacks; undefined when there is nothing to say. */
  takeCounts(mostRows: number, mostParked: number): CountFlush | undefined {
    // A closed store has no windows to read; its next start sends them.
    if (this.#closed || this.#state.phase === "halted") return undefined;
    try {
      return takeCounts(this.#state, mostRows, mostParked);
    } catch (error) {
      const code = isAdtallyError(error) ? error.code : "STATE_IMPOSSIBLE";
      this.#dispatch({ kind: "halt", code, reason: `counts not read: ${messageOf(error)}` });
      return undefined;
    }
  }

  /**
   * Told what the sink has of this shard, at first contact and before any counts leave: a sink that
   * lost rows gets them again; one that has more than the log is a halt (V3 of recovery.ts).
   * @throws LOG_UNAVAILABLE
   */
  async sinkHas(offset: number): Promise<void> {
    if (offset >= this.#state.nextOffset) {
      try {
        await assertSinkBehind(this.#deps, offset);
      } catch (error) {
        if (!isAdtallyError(error, "LOG_BEHIND_STATE")) throw error;
        this.#dispatch({ kind: "halt", code: error.code, reason: error.message });
      }
    }
    if (offset >= this.#state.flushedOffset) return;
    const { shard } = this.#state.identity;
    this.#deps.logger.warn(
      { shard, offset, expected: this.#state.flushedOffset },
      "counts lost in the sink: sent again",
    );
    this.#state.flushedOffset = offset;
    this.#state.windows.unflushAll();
  }

  countsWritten(flush: CountFlush): void {
    countsWritten(this.#state, flush);
  }

  countsNotWritten(flush: CountFlush): void {
    countsNotWritten(this.#state, flush);
  }

  save(): void {
    // A save moves the replay's start; dead letters behind it would be lost with a crash.
    if (this.#state.phase === "halted" || this.#deadLetters.pending > 0) return;
    this.#saver.save();
  }

  /** Refuses new clicks and waits until those taken are in the log, or the deadline passes. */
  async drain(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    // No tick comes any more.
    this.#holding = false;
    if (this.#state.mailboxClicks > 0) this.#scheduleCut();
    const { clock } = this.#deps;
    const giveUpAt = clock.monotonic() + deadlineMs;
    // Letters that cannot be written now are written by the replay after the next start.
    const isBusy = () => this.#callers.size > 0 || this.#deadLetters.pending > 0;
    while (isBusy() && this.#state.phase !== "halted" && clock.monotonic() < giveUpAt) {
      await sleep(clock, 5);
    }
  }

  async close(): Promise<void> {
    this.save();
    await this.abandon();
  }

  /** Closes without a save, as a crash would leave it. */
  async abandon(): Promise<void> {
    this.#stopped = true;
    this.#closed = true;
    this.#deadLetters.stop();
    await this.#saver.idle();
    await this.#store.close().catch((error: unknown) => {
      // RocksDB, after a write that failed: its directory opens again with the next process.
      this.#deps.logger.warn({ shard: this.#state.identity.shard, error: messageOf(error) }, "close failed");
    });
    for (const waiting of [...this.#callers.keys()])
      this.#rejectCaller(waiting, "ABORTED", "the shard stopped");
  }

  async #recover(opened: Opened): Promise<void> {
    const { clock, identity, logger } = this.#deps;
    const startedAt = clock.monotonic();
    await findBeginning(this.#deps, opened);
    await this.#deadLetters.recover();
    const from = this.#state.nextOffset;
    this.#run([{ kind: "read", fromOffset: from }]);
    await this.#ready;
    const tookMs = Math.round(clock.monotonic() - startedAt);
    logger.info({ shard: identity.shard, from, to: this.#state.nextOffset, tookMs }, "shard recovered");
  }

  #transition(command: Command): Effect[] {
    const { clock } = this.#deps;
    return transition(this.#state, command, { wallMs: clock.now(), monotonicMs: clock.monotonic() });
  }

  #dispatch(command: Command): void {
    if (this.#closed) return;
    this.#run(this.#transition(command));
  }

  #run(effects: readonly Effect[]): void {
    for (const effect of effects) this.#runOne(effect);
    const { mailboxClicks, phase, spilled } = this.#state;
    if (phase === "ready" && (mailboxClicks > 0 || spilled.length > 0)) this.#scheduleCut();
  }

  #runOne(effect: Effect): void {
    switch (effect.kind) {
      case "append":
        if (effect.attempt === 1) this.#deps.onBlock?.(this.#state.identity.shard, effect.block);
        this.#append(effect.block, effect.attempt);
        return;
      case "read":
        this.#read(effect.fromOffset, 0);
        return;
      case "read-spill":
        this.#readSpill(effect.fromOffset);
        return;
      case "answer": {
        const { waiting, offset } = effect;
        this.#callers.get(waiting)?.resolve({ offset, outcomes: waiting.outcomes });
        this.#callers.delete(waiting);
        return;
      }
      case "expire":
        this.#rejectCaller(effect.waiting, "DEADLINE_EXCEEDED", "the log did not answer in time");
        return;
      case "folded": {
        const { epoch, shard } = this.#state.identity;
        this.#deps.onFolded?.(shard, epoch, effect.record, effect.outcomes);
        return;
      }
      case "dead-letter":
        this.#deadLetters.write(effect.record, effect.outcomes);
        return;
      case "ready":
        this.#resolveReady();
        return;
      case "halted":
        this.#halted(new AdtallyError(effect.code, `shard ${this.#state.identity.shard}: ${effect.reason}`));
        return;
      case "accepted":
      case "refused":
        return;
    }
  }

  #readSpill(fromOffset: number): void {
    const { identity, logger, spill } = this.#deps;
    spill.read(identity.shard, fromOffset, READ_BYTES).then(
      (records) => {
        this.#dispatch({ kind: "spilled", records });
        if (records.length > 0) this.#scheduleCut();
      },
      (error: unknown) => {
        if (isAdtallyError(error) && error.after === "halt") {
          this.#dispatch({ kind: "halt", code: error.code, reason: `spill: ${error.message}` });
          return;
        }
        logger.warn(
          { shard: identity.shard, error: messageOf(error) },
          "spill not read: tried again in a second",
        );
        this.#dispatch({ kind: "spilled", records: [] });
      },
    );
  }

  #scheduleCut(): void {
    if (this.#cutScheduled || this.#holding) return;
    this.#cutScheduled = true;
    this.#deps.defer(() => {
      this.#cutScheduled = false;
      this.#dispatch({ kind: "cut" });
    });
  }

  #append(block: Block, attempt: number): void {
    const { clicks, clock, identity, limits, logger } = this.#deps;
    const start = () => {
      let settled = false;
      const settle = (command: Command) => {
        if (settled) return;
        settled = true;
        deadline.cancel();
        this.#dispatch(command);
      };
      const deadline = clock.after(limits.appendDeadlineMs, () =>
        settle({ kind: "append-failed", unknown: true }),
      );
      clicks.append(identity.shard, block).then(
        (offset) => settle({ kind: "append-acked", offset }),
        (error: unknown) => {
          if (isAdtallyError(error) && error.after === "halt") {
            settle({ kind: "halt", code: error.code, reason: error.message });
            return;
          }
          logger.warn({ shard: identity.shard, attempt, error: messageOf(error) }, "append failed");
          settle({ kind: "append-failed", unknown: isAdtallyError(error, "APPEND_UNKNOWN") });
        },
      );
    };
    if (attempt === 1) start();
    else clock.after(backoffMs(attempt - 1), start);
  }

  #read(fromOffset: number, attempt: number): void {
    const { clicks, clock, identity, logger } = this.#deps;
    clicks.read(identity.shard, fromOffset, READ_BYTES).then(
      (records) => {
        this.#dispatch({ kind: "records", records, atEnd: records.length === 0 });
        if (!this.#closed) this.#saver.saveReplayed(this.#deadLetters.pending === 0);
      },
      (error: unknown) => {
        if (isAdtallyError(error, "LOG_CORRUPT") && error.offset === fromOffset) {
          // A log that can tell one bad record from a damaged log names its offset.
          const { shard } = identity;
          logger.error({ shard, offset: fromOffset, error: error.message }, "unreadable record quarantined");
          this.#dispatch({ kind: "poison", offset: fromOffset });
          return;
        }
        if (isAdtallyError(error) && error.after === "halt") {
          this.#dispatch({ kind: "halt", code: error.code, reason: error.message });
          return;
        }
        logger.warn({ shard: identity.shard, attempt, error: messageOf(error) }, "log read failed");
        clock.after(backoffMs(attempt + 1), () => this.#read(fromOffset, attempt + 1));
      },
    );
  }

  #halted(error: AdtallyError): void {
    this.#deps.logger.error({ shard: this.#state.identity.shard, error: error.message }, "shard halted");
    this.#rejectReady(error);
    for (const waiting of [...this.#callers.keys()]) this.#rejectCaller(waiting, "ABORTED", error.message);
    this.#deps.onHalt(this.#state.identity.shard, error);
  }

  #rejectCaller(waiting: Waiting, code: "ABORTED" | "DEADLINE_EXCEEDED", detail: string): void {
    this.#callers.get(waiting)?.reject(new AdtallyError(code, detail));
    this.#callers.delete(waiting);
  }
}
