/**
 * Writes a shard's state to its store, for its actor: when a save is due, what a long replay has
 * gathered, and the ranges that nothing needs any more. The actor decides when it may (a save
 * moves the replay's start), and hears of a store that fails.
 */
import { isAdtallyError, messageOf, type ErrorCode } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { ShardStore } from "../ports/shard-store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { isMemoryFull, isSaveDue, savedState, takeSave } from "./flush.ts";
import type { ShardState } from "./state.ts";

export interface StateSaverDeps {
  readonly state: ShardState;
  readonly store: ShardStore;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFailure: (code: ErrorCode, reason: string) => void;
}

export class StateSaver {
  readonly #deps: StateSaverDeps;
  #savedAtMs: number;
  #savedOffset = -1;
  #dropped = { firstSlice: 0, firstMinute: 0 };
  #dropping: Promise<void> = Promise.resolve();

  constructor(deps: StateSaverDeps) {
    this.#deps = deps;
    this.#savedAtMs = deps.clock.monotonic();
  }

  get isDue(): boolean {
    const { clock, state } = this.#deps;
    // Duplicates alone are worth a save as well: retention must never overtake the replay's start.
    return state.nextOffset > this.#savedOffset && isSaveDue(state, clock.monotonic() - this.#savedAtMs);
  }

  save(): void {
    const { clock, state, store } = this.#deps;
    // What is taken may read the store (D5 of dedup-index.ts), and fail as a write may.
    const save = this.#attempt(() => {
      const taken = takeSave(state);
      store.save(taken);
      return taken;
    });
    if (save === undefined) return;
    this.#savedAtMs = clock.monotonic();
    this.#savedOffset = save.meta.nextOffset;
    const { firstSlice, firstMinute } = savedState(state, save);
    if (firstSlice <= this.#dropped.firstSlice && firstMinute <= this.#dropped.firstMinute) return;
    this.#dropped = { firstSlice, firstMinute };
    this.#dropping = this.#dropping.then(() => this.#drop(firstSlice, firstMinute));
  }

  /**
   * A long replay is saved as it goes: its memory stays bounded, and after a crash it goes on. While
   * windows from the sink are ahead of the fold, no save can say how far they are: ids alone.
   */
  saveReplayed(mayMoveStart: boolean): void {
    const { limits, state, store } = this.#deps;
    const { covered, dedup, nextOffset, phase } = state;
    if (phase !== "recovering") return;
    const isRunFull = dedup.unsavedIds >= limits.dedupRunIds;
    if (covered === undefined || covered.until < nextOffset) {
      if (mayMoveStart && (isRunFull || isMemoryFull(state))) this.save();
      return;
    }
    if (!isRunFull) return;
    this.#attempt(() => {
      const runs = dedup.takeRuns(nextOffset);
      store.saveIds(runs);
      dedup.saved(runs, []);
    });
  }

  /** Resolves when nothing touches the store any more. */
  idle(): Promise<void> {
    return this.#dropping;
  }

  async #drop(firstSlice: number, firstMinute: number): Promise<void> {
    const { logger, state, store } = this.#deps;
    await store.drop(firstSlice, firstMinute).catch((error: unknown) => {
      logger.warn({ shard: state.identity.shard, error: messageOf(error) }, "drop failed");
    });
  }

  #attempt<T>(write: () => T): T | undefined {
    try {
      return write();
    } catch (error) {
      const code = isAdtallyError(error) ? error.code : "STORE_STOPPED";
      this.#deps.onFailure(code, `save failed: ${messageOf(error)}`);
      return undefined;
    }
  }
}
