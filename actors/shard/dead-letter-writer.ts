/**
 * Carries a shard's LATE, EXPIRED and REFUSED rows into the dead letters' topic, in log order, one
 * block each of the click log's. Owned by one actor.
 *
 * Exactly once: a block of dead letters names the block it comes from (sourceOffset), so after
 * a crash the replay goes on behind the last one written; the actor saves no state while a
 * letter is under way, so that the replay begins early enough.
 */
import { makeBlock, type Block, type LogRecord } from "../block/block.ts";
import { rowEnd, RowAt } from "../block/row.ts";
import { messageOf } from "../core/errors.ts";
import { isDeadLetter } from "../core/verdict.ts";
import type { ClickLog } from "../ports/click-log.ts";
import { sleep, type Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { backoffMs } from "./backoff.ts";
import type { Outcomes } from "./fold.ts";
import type { ShardIdentity } from "./state.ts";

export interface DeadLetterWriterDeps {
  readonly identity: ShardIdentity;
  readonly deadLetters: ClickLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class DeadLetterWriter {
  readonly #deps: DeadLetterWriterDeps;
  readonly #onAllWritten: () => void;
  /** Last offset of the click log whose letters are written or under way. */
  #writtenOffset = -1;
  #underWay: Promise<void> = Promise.resolve();
  #pending = 0;
  #sequence = 0;
  #stopped = false;

  /** `onAllWritten` is told each time that no letter is pending any more. */
  constructor(deps: DeadLetterWriterDeps, onAllWritten: () => void) {
    this.#deps = deps;
    this.#onAllWritten = onAllWritten;
  }

  /** Letters that are not yet in their topic. */
  get pending(): number {
    return this.#pending;
  }

  /** Finds where an earlier incarnation ended. @throws LOG_UNAVAILABLE, LOG_CORRUPT */
  async recover(): Promise<void> {
    const { deadLetters, identity } = this.#deps;
    const { next, earliest } = await deadLetters.bounds(identity.shard);
    if (next === earliest) return;
    const [last] = await deadLetters.read(identity.shard, next - 1, 1);
    if (last !== undefined) this.#writtenOffset = last.header.sourceOffset;
  }

  write(record: LogRecord, outcomes: Outcomes): void {
    if (record.offset <= this.#writtenOffset) return;
    this.#writtenOffset = record.offset;
    const rows = lettersOf(record, outcomes);
    const { epoch, appendTimeMs } = record.header;
    const header = {
      epoch,
      writer: this.#deps.identity.writer,
      sequence: ++this.#sequence,
      rowCount: rows.length,
      appendTimeMs,
      sourceOffset: record.offset,
    };
    const block = makeBlock(header, Buffer.concat(rows));
    this.#pending += 1;
    this.#underWay = this.#underWay
      .then(() => this.#append(block))
      .finally(() => {
        this.#pending -= 1;
        if (this.#pending === 0 && !this.#stopped) this.#onAllWritten();
      });
  }

  /** Gives up what cannot be written now: the replay after the next start writes it. */
  stop(): void {
    this.#stopped = true;
  }

  async #append(block: Block): Promise<void> {
    const { clock, deadLetters, identity, logger } = this.#deps;
    for (let attempt = 1; !this.#stopped; attempt++) {
      try {
        await deadLetters.append(identity.shard, block);
        return;
      } catch (error) {
        // A repeat is recognised by its source offset.
        logger.warn({ shard: identity.shard, attempt, error: messageOf(error) }, "dead letter not written");
        await sleep(clock, backoffMs(attempt));
      }
    }
  }
}

function lettersOf(record: LogRecord, outcomes: Outcomes): Buffer[] {
  const rows: Buffer[] = [];
  let at = 0;
  for (let row = 0; row < record.header.rowCount; row++) {
    const end = rowEnd(record.value, at);
    const verdict = outcomes[row * 2]!;
    if (isDeadLetter(verdict)) {
      const copy = Buffer.from(record.value.subarray(at, end));
      copy[RowAt.verdict] = verdict;
      copy[RowAt.reason] = outcomes[row * 2 + 1]!;
      rows.push(copy);
    }
    at = end;
  }
  return rows;
}
