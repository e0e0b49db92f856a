/**
 * A shard in memory for tests of what stands before shards: it keeps rows, finds repeats by id,
 * and can be told to be overloaded, slow, or dead. It decides as a shard does where a gateway
 * can tell the difference: EXPIRED stays, the first of an id is ACCEPTED, the others DUPLICATE.
 */
import { RowAt, readImpressionId, rowEnd } from "../../block/row.ts";
import { AdtallyError, invariant } from "../../core/errors.ts";
import { Verdict } from "../../core/verdict.ts";
import type { ShardPort, Submission, SubmissionResult } from "../../ports/shard-port.ts";
import type { Clock } from "../../runtime/clock.ts";

export interface KeptRow {
  readonly impressionId: string;
  readonly verdict: number;
  readonly reason: number;
  readonly bytes: Buffer;
}

export class MemoryShard implements ShardPort {
  readonly rows: KeptRow[] = [];
  /** Blocks appended so far. */
  appended = 0;
  #mode: "well" | "overloaded" | "dead" = "well";
  #delayMs = 0;
  #waitingRows = 0;
  readonly #counted = new Set<string>();
  readonly #clock: Clock;
  readonly #mailboxMaxClicks: number;

  constructor(clock: Clock, mailboxMaxClicks: number) {
    this.#clock = clock;
    this.#mailboxMaxClicks = mailboxMaxClicks;
  }

  beWell(): void {
    this.#mode = "well";
    this.#delayMs = 0;
  }

  beOverloaded(): void {
    this.#mode = "overloaded";
  }

  /** Answers this long after it has appended. */
  beSlow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Takes what it is given, and never answers. */
  die(): void {
    this.#mode = "dead";
  }

  accepted(): number {
    return this.rows.filter((row) => row.verdict === Verdict.ACCEPTED).length;
  }

  async submit(submission: Submission): Promise<SubmissionResult> {
    if (this.#mode === "overloaded" || this.#waitingRows + submission.count > this.#mailboxMaxClicks) {
      throw new AdtallyError("OVERLOADED", "the mailbox is full", { retryAfterMs: 50 });
    }
    const result = this.#append(submission);
    if (this.#mode === "dead") return new Promise(() => undefined);
    this.#waitingRows += submission.count;
    if (this.#delayMs > 0) await new Promise<void>((resolve) => this.#clock.after(this.#delayMs, resolve));
    this.#waitingRows -= submission.count;
    return result;
  }

  #append({ rows, count }: Submission): SubmissionResult {
    const outcomes = new Uint8Array(2 * count);
    let at = 0;
    for (let row = 0; row < count; row++) {
      const end = rowEnd(rows, at);
      invariant(end > 0, "memory shard: fewer rows than the submission says");
      const verdict = this.#decide(rows, at);
      const reason = rows[at + RowAt.reason]!;
      outcomes[2 * row] = verdict;
      outcomes[2 * row + 1] = reason;
      const impressionId = readImpressionId(rows, at).toString("hex");
      this.rows.push({ impressionId, verdict, reason, bytes: Buffer.from(rows.subarray(at, end)) });
      at = end;
    }
    invariant(at === rows.length, "memory shard: more bytes than the submission's rows");
    return { offset: this.appended++, outcomes };
  }

  #decide(rows: Buffer, at: number): number {
    const preset = rows[at + RowAt.verdict]!;
    if (preset !== Verdict.UNDECIDED) return preset;
    const id = readImpressionId(rows, at).toString("hex");
    if (this.#counted.has(id)) return Verdict.DUPLICATE;
    this.#counted.add(id);
    return Verdict.ACCEPTED;
  }
}
