/**
 * A ShardPort that does not fail while anything durable is left: what a shard does not take in
 * time goes to the spill topic, and what that does not take to the gateway's own disk (the
 * spool). Both are drained later with the usual verdicts; the caller is told DEFERRED.
 *
 * Invariants:
 *  S1 DEFERRED is told only once the rows are durable in the spill or the spool.
 *  S2 Rows that the shard took all the same (its answer was lost, or late) are found to be
 *     repeats when they are drained: dedup is by id, so diverting is always safe.
 *  S3 While a shard owes an answer that is overdue, new rows for it are diverted at once; then one
 *     submission at a time asks whether it is back (absence.ts). A shard that hangs makes nobody
 *     wait but the first, and those who ask. The same holds for the spill topic.
 *  S4 What the spool does not take either (it is full, or its disk broken) is NOT_KEPT: nothing
 *     durable is left. Never told as DEFERRED, and counted.
 *  S5 Rows whose generation is not known go to the spool alone (unrouted.ts).
 */
import { makeBlock, type Block } from "../block/block.ts";
import { AdtallyError, isAdtallyError, messageOf, type ErrorCode } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { ShardPort, Submission, SubmissionResult } from "../ports/shard-port.ts";
import { withDeadline } from "../runtime/deadline.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { createThrottle } from "../runtime/throttle.ts";
import { unroutedPartition } from "./unrouted.ts";
import { createAbsence, type Absence, type Question } from "./absence.ts";

export interface SpillDeps {
  readonly inner: ShardPort;
  /** Whether a shard's owner can be spoken to now; where it is known that it cannot, no browser waits. */
  readonly isReachable?: (shard: number) => boolean;
  readonly spill: ClickLog;
  /** The gateway's own disk; without one, what the spill does not take fails as the shard did. */
  readonly spool?: ClickLog;
  /** Random id of this process's life (1 … 2^48-1): names its spilled blocks. */
  readonly writer: number;
  readonly limits: Pick<
    Limits,
    "spillAfterMs" | "spillPatientAfterMs" | "spillDeadlineMs" | "spoolRetryAfterMs" | "maxShards"
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SpillingShardPort extends ShardPort {
  /**
   * For gRPC: waits as long as the move of a shard may take, and passes on that it is overloaded.
   * A client can wait and try again; a browser cannot.
   */
  readonly patient: ShardPort;
  readonly stats: { readonly spilled: number; readonly spooled: number; readonly notKept: number };
}

/** Failures that say nothing against the rows: they can be decided later. */
const LOG_EVERY_MS = 5_000;
const DIVERTED: readonly ErrorCode[] = ["NOT_OWNER", "SHARD_HALTED", "DEADLINE_EXCEEDED", "ABORTED"];

export function createSpillingShardPort(deps: SpillDeps): SpillingShardPort {
  const { inner, isReachable = () => true, spill, spool, writer, limits, clock, logger } = deps;
  const stats = { spilled: 0, spooled: 0, notKept: 0 };
  const warn = createThrottle(clock, LOG_EVERY_MS);
  const absences = new Map<number, Absence>();
  const spillAbsence = createAbsence();
  let sequence = 0;

  function absenceOf(shard: number): Absence {
    const absence = absences.get(shard) ?? createAbsence();
    absences.set(shard, absence);
    return absence;
  }

  /** Gives up on a shard after `waitMs`, and at once while it owes older answers (S3). */
  function attempt(submission: Submission, waitMs: number): Promise<SubmissionResult> {
    const { shard } = submission;
    const question = absenceOf(shard).ask();
    if (question === undefined) {
      return Promise.reject(new AdtallyError("DEADLINE_EXCEEDED", `shard ${shard} owes answers`));
    }
    const withdrawal = new AbortController();
    const answer = inner.submit({ ...submission, signal: withdrawal.signal });
    return new Promise((resolve, reject) => {
      const timer = clock.after(waitMs, () => {
        question.overdue();
        withdrawal.abort();
        reject(new AdtallyError("DEADLINE_EXCEEDED", `shard ${shard} did not answer in time`));
      });
      answer.then(
        (result) => {
          timer.cancel();
          question.end(true);
          resolve(result);
        },
        (error: unknown) => {
          timer.cancel();
          question.end(!(isAdtallyError(error) && DIVERTED.includes(error.code)));
          reject(error);
        },
      );
    });
  }

  async function divert(submission: Submission, why: unknown): Promise<SubmissionResult> {
    const block = blockOf(submission);
    const question = spillAbsence.ask();
    if (question !== undefined) {
      try {
        await appendToSpill(submission.shard, block, question);
        stats.spilled += submission.count;
        return deferred(submission);
      } catch (error) {
        if (spool === undefined) throw why;
        const fields = { shard: submission.shard, error: messageOf(error) };
        warn("spill", (suppressed) =>
          logger.warn({ ...fields, suppressed }, "spill failed: spooling to disk"),
        );
      }
    }
    if (spool === undefined) throw why;
    return spoolTo(spool, submission, block);
  }

  /** S4 */
  async function spoolTo(to: ClickLog, submission: Submission, block: Block): Promise<SubmissionResult> {
    try {
      await to.append(submission.shard, block);
    } catch (error) {
      stats.notKept += submission.count;
      const why = `neither shard, spill nor spool took it: ${messageOf(error)}`;
      warn("spool", (suppressed) =>
        logger.error({ error: messageOf(error), suppressed }, "clicks are not kept, and will not be counted"),
      );
      const { spoolRetryAfterMs: retryAfterMs } = limits;
      throw new AdtallyError("NOT_KEPT", why, { cause: error, retryAfterMs });
    }
    stats.spooled += submission.count;
    return deferred(submission);
  }

  async function appendToSpill(shard: number, block: Block, question: Question): Promise<void> {
    const append = spill.append(shard, block);
    append.then(
      () => question.end(true),
      () => question.end(false),
    );
    try {
      await withDeadline(clock, limits.spillDeadlineMs, "the spill", append);
    } catch (error) {
      if (isAdtallyError(error, "DEADLINE_EXCEEDED")) question.overdue();
      throw error;
    }
  }

  function blockOf({ rows, count }: Submission): Block {
    sequence += 1;
    const header = {
      epoch: 0,
      writer,
      sequence,
      rowCount: count,
      appendTimeMs: clock.now(),
      sourceOffset: -1,
    };
    // A copy: the rows belong to the caller again once it is answered.
    return makeBlock(header, Buffer.from(rows));
  }

  async function orDivert(
    submission: Submission,
    answer: Promise<SubmissionResult>,
    codes: readonly ErrorCode[],
  ): Promise<SubmissionResult> {
    try {
      return await answer;
    } catch (error) {
      if (!isAdtallyError(error) || !codes.includes(error.code)) throw error;
      return divert(submission, error);
    }
  }

  function keepUnrouted(submission: Submission): Promise<SubmissionResult> {
    if (spool !== undefined) return spoolTo(spool, submission, blockOf(submission));
    const why = "the generation of these clicks is not here, and there is no spool to keep them";
    return Promise.reject(new AdtallyError("ROUTING_TABLE_STALE", why));
  }

  const isUnrouted = ({ shard }: Submission) => shard === unroutedPartition(limits);

  return {
    stats,
    submit: (submission) =>
      isUnrouted(submission)
        ? keepUnrouted(submission)
        : isReachable(submission.shard)
          ? orDivert(submission, attempt(submission, limits.spillAfterMs), ["OVERLOADED", ...DIVERTED])
          : divert(
              submission,
              new AdtallyError("ABORTED", `the owner of shard ${submission.shard} cannot be reached`),
            ),
    patient: {
      submit: (submission) => orDivert(submission, attempt(submission, limits.spillPatientAfterMs), DIVERTED),
    },
  };
}

function deferred({ count }: Submission): SubmissionResult {
  const outcomes = new Uint8Array(count * 2);
  for (let at = 0; at < outcomes.length; at += 2) {
    outcomes[at] = Verdict.DEFERRED;
    outcomes[at + 1] = Reason.NONE;
  }
  return { offset: undefined, outcomes };
}
