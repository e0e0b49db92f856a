/**
 * Keeps a local store equal to a keyed log: reads the log from where the store stands and applies
 * it, for as long as the program runs. The catalogue and the API keys of a cluster are such
 * stores; look-ups stay local, and what a cluster agrees on is the log's order alone.
 *
 * Invariants
 *  P1 A record is applied together with the offset behind it, in one atomic step of the store: a
 *     crash repeats nothing and leaves nothing out.
 *  P2 Records are applied in the log's order, each once: stores that have applied the same records
 *     are equal, whoever wrote them and whenever the store began.
 *  P3 `ready` once everything that the log held at the start is applied; from then on also with the
 *     log gone: what is known goes on being served. A store that outlives the program and was ready
 *     once is whole: it may be served from before the log answers (P7 for how long).
 *  P4 A record that cannot be read or understood is quarantined: logged with its offset, counted,
 *     passed over. All replicas pass over the same ones.
 *  P5 A log that ends before the store's place, or begins with another record than the store's
 *     log did, is another log (its topic was made anew, or it is another cluster's). Looked at
 *     first, and again after each failure. What a program brings from an earlier life is then
 *     discarded, by name, and the log read from its beginning. What it has followed in this life
 *     is kept: nothing is applied, it is a fault that says so, and goes when the log is back.
 *  P6 One read at a time; at most `importBatchAds` records are applied before other work has its
 *     turn; memory holds one read.
 *  P7 A store that found itself damaged is served from for as long as the log does not answer, and
 *     discarded when it does: what is left of it is more than nothing.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { KeyedLog, StoredRecord } from "../ports/keyed-log.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { withDeadline } from "../runtime/deadline.ts";
import type { Logger } from "../runtime/log.ts";
import { nextTurn } from "../runtime/turn.ts";

/** Taken at once while catching up; and later, when clicks wait meanwhile. */
const CATCH_UP_READ_BYTES = 1024 * 1024;
const FOLLOW_READ_BYTES = 64 * 1024;
const PROGRESS_LOG_MS = 5_000;
/** Between two reads while somebody asks: ids that nobody knows must not make it spin. */
const ASKED_PAUSE_MS = 10;

export interface ReplicaStore<Entry> {
  /** The offset to go on with: all before it is applied. */
  progress(): number;
  /** The key of the log's first record, where the store outlives the program (P5). */
  origin(): Buffer | undefined;
  /**
   * Applies the entries in their order and moves the progress, as one (P1). What it refuses, it
   * refuses by what the log said before and nothing else, so that every replica does. `origin`
   * comes with the log's first record.
   */
  apply(entries: readonly Entry[], progress: number, origin?: Buffer): void;
  /** Whether it has been at its log's end, in this life or an earlier one (P3). */
  isWhole(): boolean;
  markWhole(): void;
  /** Why it can no longer be relied on; undefined while it can. */
  damage(): string | undefined;
  /** Empties it; what outlived the program is set aside, and `why` is logged with where. */
  discard(why: string): Promise<void>;
}

export interface ReplicaDeps<Entry> {
  /** What is replicated, for people: "catalogue". */
  readonly name: string;
  readonly log: KeyedLog;
  readonly store: ReplicaStore<Entry>;
  /** The entry of a record's value, or in words why it is none. */
  readonly decode: (value: Buffer) => Entry | string;
  readonly limits: Pick<Limits, "importBatchAds" | "replicaFollowIntervalMs" | "reconnectMaxMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ReplicaStatus {
  readonly isReady: boolean;
  /** Fit to be served from without the log (P3). */
  readonly isWhole: boolean;
  /** All before it is applied. */
  readonly progress: number;
  /** The log's end, as last seen; undefined before the first answer. */
  readonly end: number | undefined;
  readonly quarantined: number;
  /** Why it does not follow now; undefined where it does. */
  readonly fault: string | undefined;
}

export interface Replica {
  status(): ReplicaStatus;
  /** @throws ABORTED when it is stopped first */
  ready(): Promise<void>;
  /** Resolves when all before `offset` is applied. @throws DEADLINE_EXCEEDED, ABORTED */
  applied(offset: number, deadlineMs: number): Promise<void>;
  /**
   * Resolves when the replica has been at the log's end at a moment after this call: what it does
   * not hold then did not exist when the caller asked.
   * @throws LOG_UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED
   */
  confirmed(deadlineMs: number): Promise<void>;
  /** Ends after the read under way. */
  stop(): Promise<void>;
}

/** At the log's end, with nobody asking; with somebody asking; after a failed read. */
type PauseReason = "idle" | "asked" | "failed";

interface Waiting {
  readonly isDone: () => boolean;
  /** Whether a failed read ends the wait. */
  readonly failsWithRead: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function startReplica<Entry>(deps: ReplicaDeps<Entry>): Replica {
  const { name, log, store, decode, limits, clock, logger } = deps;
  const waiting = new Set<Waiting>();
  /** The log's end when the replica started: what `ready` waits for. */
  let target: number | undefined;
  let isReady = false;
  let isStopped = false;
  let isVerified = false;
  /** Whether the store is this log's beyond doubt: it was read in this life (P5). */
  let hasFollowed = false;
  let end: number | undefined;
  let fault: string | undefined;
  let quarantined = 0;
  /** Reads begun, and the newest of them that found the log's end. */
  let readsBegun = 0;
  let confirmedRead = 0;
  /** Whether the read under way has answered anybody. */
  let hasServed = false;
  let pausing: { readonly timer: Timer; readonly go: () => void; readonly why: PauseReason } | undefined;
  let loggedAtMs = clock.monotonic();

  function quarantine(offset: number, why: string): void {
    quarantined += 1;
    logger.error({ log: name, offset, why }, "a record is quarantined: passed over, and left in the log");
  }

  /** P1, P4, P6. What compaction took from the end is passed over with the last records. */
  async function applyAll(records: readonly StoredRecord[], next: number): Promise<void> {
    for (let at = 0; at < records.length; at += limits.importBatchAds) {
      const slice = records.slice(at, at + limits.importBatchAds);
      const entries: Entry[] = [];
      for (const { offset, value } of slice) {
        const entry = decode(value);
        if (typeof entry === "string") quarantine(offset, entry);
        else entries.push(entry);
      }
      const isLast = at + slice.length >= records.length;
      const origin = store.progress() === 0 ? slice[0]!.key : undefined;
      store.apply(entries, isLast ? next : slice.at(-1)!.offset + 1, origin);
      settle();
      if (!isLast) await nextTurn();
    }
    if (records.length === 0 && next > store.progress()) store.apply([], next);
  }

  /** P5 */
  async function verify(): Promise<void> {
    const origin = store.origin();
    if (origin === undefined) return;
    let first: StoredRecord | undefined;
    try {
      first = (await log.read(0, 1)).records[0];
    } catch (error) {
      // Damage there says nothing of which log it is.
      if (isAdtallyError(error, "LOG_CORRUPT")) return;
      throw error;
    }
    if (first?.key.equals(origin) === true) return;
    throw new AdtallyError("OFFSET_OUT_OF_RANGE", "its first record is another one");
  }

  async function discard(why: string): Promise<void> {
    await store.discard(why);
    isReady = false;
    target = undefined;
  }

  /** One read and its application; true at the end of the log. */
  async function step(): Promise<boolean> {
    const read = ++readsBegun;
    const damage = store.damage();
    if (damage !== undefined) {
      // P7: throws while the log does not answer.
      await log.end();
      await discard(damage);
    }
    const from = store.progress();
    try {
      if (!isVerified) await verify();
      isVerified = true;
      target ??= await log.end();
      const found = await log.read(from, isReady ? FOLLOW_READ_BYTES : CATCH_UP_READ_BYTES);
      end = Math.max(found.end, found.next);
      await applyAll(found.records, found.next);
      if (found.next >= found.end) confirmedRead = read;
    } catch (error) {
      if (!isAdtallyError(error, "LOG_CORRUPT")) throw error;
      const offset = error.offset ?? from;
      quarantine(offset, messageOf(error));
      store.apply([], Math.max(from, offset) + 1);
    }
    hasFollowed = true;
    if (!isReady && store.progress() >= target!) {
      isReady = true;
      if (!store.isWhole()) store.markWhole();
      logger.info({ log: name, offset: store.progress() }, "the replica has caught up");
    }
    settle();
    return confirmedRead === read;
  }

  function settle(): void {
    for (const each of waiting) {
      if (!each.isDone()) continue;
      waiting.delete(each);
      hasServed = true;
      each.resolve();
    }
  }

  function failed(error: unknown): void {
    const why = isAdtallyError(error, "OFFSET_OUT_OF_RANGE")
      ? `the ${name} log is not the one that this replica was made from (${messageOf(error)}): ` +
        "if that log is gone for good, remove the replica's folder and start again"
      : messageOf(error);
    if (fault !== why) logger.warn({ log: name, why }, "the replica does not follow its log; trying again");
    fault = why;
    isVerified = false;
    const told = new AdtallyError("LOG_UNAVAILABLE", `${name}: ${why}`, { cause: error });
    for (const each of waiting) {
      if (!each.failsWithRead) continue;
      waiting.delete(each);
      each.reject(told);
    }
  }

  /** P5 */
  async function discardForeign(found: string): Promise<void> {
    try {
      await discard(`it was made from another ${name} log than the one that is there now (${found})`);
    } catch (error) {
      failed(error);
      await pause(limits.reconnectMaxMs, "failed");
    }
  }

  function tellProgress(): void {
    if (isReady || clock.monotonic() - loggedAtMs < PROGRESS_LOG_MS) return;
    loggedAtMs = clock.monotonic();
    logger.info({ log: name, offset: store.progress(), of: target }, "the replica is catching up");
  }

  function pause(delayMs: number, why: PauseReason): Promise<void> {
    if (isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const go = () => {
        pausing?.timer.cancel();
        pausing = undefined;
        resolve();
      };
      pausing = { timer: clock.after(delayMs, go), go, why };
    });
  }

  async function follow(): Promise<void> {
    const firstBackoffMs = Math.min(limits.replicaFollowIntervalMs, limits.reconnectMaxMs);
    let backoffMs = firstBackoffMs;
    while (!isStopped) {
      try {
        hasServed = false;
        const isAtEnd = await step();
        fault = undefined;
        backoffMs = firstBackoffMs;
        tellProgress();
        if (!isAtEnd) await nextTurn();
        else if (waiting.size === 0 && !hasServed) await pause(limits.replicaFollowIntervalMs, "idle");
        else await pause(ASKED_PAUSE_MS, "asked");
      } catch (error) {
        if (isAdtallyError(error, "OFFSET_OUT_OF_RANGE") && !hasFollowed && store.progress() > 0) {
          await discardForeign(messageOf(error));
          continue;
        }
        failed(error);
        await pause(backoffMs, "failed");
        backoffMs = Math.min(backoffMs * 2, limits.reconnectMaxMs);
      }
    }
  }

  /** `isThere`: the log is known to have what is waited for, so that any pause may be cut short. */
  function wait(
    what: string,
    deadlineMs: number,
    each: Pick<Waiting, "isDone" | "failsWithRead">,
    isThere: boolean,
  ): Promise<void> {
    if (each.isDone()) return Promise.resolve();
    if (isStopped) return Promise.reject(new AdtallyError("ABORTED", `${name}: the replica has stopped`));
    if (pausing !== undefined && (isThere || pausing.why === "idle")) pausing.go();
    let entry: Waiting | undefined;
    const work = new Promise<void>((resolve, reject) => {
      entry = { ...each, resolve, reject };
      waiting.add(entry);
    });
    if (deadlineMs === Infinity) return work;
    return withDeadline(clock, deadlineMs, what, work).finally(() => waiting.delete(entry!));
  }

  const following = follow();

  return {
    status: () => ({
      isReady,
      isWhole: store.isWhole(),
      progress: store.progress(),
      end,
      quarantined,
      fault,
    }),
    ready: () =>
      wait(`${name}: the replica`, Infinity, { isDone: () => isReady, failsWithRead: false }, false),
    applied: (offset, deadlineMs) =>
      wait(
        `${name}: the replica at offset ${offset}`,
        deadlineMs,
        { isDone: () => store.progress() >= offset, failsWithRead: false },
        true,
      ),
    confirmed: (deadlineMs) => {
      const after = readsBegun;
      const isDone = () => confirmedRead > after;
      if (pausing?.why === "failed") {
        return Promise.reject(new AdtallyError("LOG_UNAVAILABLE", `${name}: ${fault ?? "unavailable"}`));
      }
      return wait(`${name}: the replica`, deadlineMs, { isDone, failsWithRead: true }, false);
    },
    async stop() {
      isStopped = true;
      pausing?.go();
      await following;
      const error = new AdtallyError("ABORTED", `${name}: the replica has stopped`);
      for (const each of waiting) each.reject(error);
      waiting.clear();
    },
  };
}
