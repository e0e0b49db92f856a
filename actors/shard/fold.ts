/**
 * The fold: one block of the log applied to a shard's state. It runs for the actor's own
 * blocks, for replay after a crash, and for blocks that another owner wrote.
 *
 * Invariants:
 *  F1 The result depends on the log alone (blocks and their offsets), never on a clock or on
 *     which owner folds: two folds of one log agree in every count.
 *  F2 A row counts only if its id was not counted at an earlier position, whatever its verdict
 *     says: two owners that both accepted one id still count it once.
 *  F3 A block whose (writer, sequence) was folded before is skipped whole, and so is one whose
 *     spilled records were.
 *  F4 A block that stands right behind its writer's block before it was decided on exactly the
 *     fold up to there: its writer folds each block before it cuts the next, and nothing came
 *     between. Its verdicts hold as they stand, so a replay looks hardly any id up.
 */
import { rowEnd, readImpressionMs, readTime, RowAt } from "../block/row.ts";
import type { LogRecord } from "../block/block.ts";
import { invariant } from "../core/errors.ts";
import { minuteOf, minuteStartMs } from "../core/time.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import { windowKey } from "../window/window-set.ts";
import { CountKind } from "../window/window-table.ts";
import { dedupFloorMs, type ShardState } from "./state.ts";

/** Writers remembered for F3; each has at most one append under way, and few overlap. */
const WRITERS_KEPT = 64;

/** What each row came to in the fold, two bytes a row: verdict, reason. All zero for a repeated block. */
export type Outcomes = Uint8Array;

/**
 * Folds the record at `state.nextOffset`. `own`: the actor's own block, at the offset at which it
 * was decided. Its verdicts were decided on exactly this state, so ids need no second look.
 */
export function foldRecord(state: ShardState, record: LogRecord, own: boolean): Outcomes {
  const { header, value, offset } = record;
  invariant(offset === state.nextOffset, `fold of offset ${offset}, expected ${state.nextOffset}`);
  const outcomes = new Uint8Array(header.rowCount * 2);
  const fromSpill = header.sourceOffset >= 0;
  const repeated =
    (state.writers.get(header.writer) ?? 0) >= header.sequence ||
    (fromSpill && header.sourceOffset <= state.spillOffset);
  const { previous } = state;
  const trusted = own || (previous?.writer === header.writer && previous.sequence + 1 === header.sequence);
  const floorMs = dedupFloorMs(state);
  let at = 0;
  for (let row = 0; row < header.rowCount; row++) {
    const end = rowEnd(value, at);
    invariant(end > 0, `block at offset ${offset} ends within row ${row} of ${header.rowCount}`);
    if (!repeated) {
      let verdict = value[at + RowAt.verdict]!;
      let reason = value[at + RowAt.reason]!;
      if (verdict === Verdict.ACCEPTED || verdict === Verdict.INVALID_TRAFFIC) {
        const effective = trusted ? verdict : effectiveVerdict(state, value, at, verdict, floorMs);
        if (effective !== verdict) {
          state.stats.overruled += 1;
          verdict = effective;
          reason = effective === Verdict.EXPIRED ? Reason.HELD_PAST_RETENTION : Reason.NONE;
        }
        if (verdict !== Verdict.DUPLICATE && verdict !== Verdict.EXPIRED) {
          state.dedup.add(
            value.readUInt32LE(at + 4),
            value.readUInt32LE(at),
            value.readUInt32LE(at + 12),
            value.readUInt32LE(at + 8),
            offset,
            row,
          );
        }
      }
      countRow(state, value, at, verdict, offset);
      outcomes[row * 2] = verdict;
      outcomes[row * 2 + 1] = reason;
    }
    at = end;
  }
  invariant(
    at === value.length,
    `block at offset ${offset} has ${value.length - at} bytes behind its last row`,
  );
  if (repeated) state.stats.repeatedBlocks += 1;
  else {
    rememberWriter(state, header.writer, header.sequence);
    if (fromSpill) {
      state.spillOffset = header.sourceOffset;
      state.stats.spilled += header.rowCount;
    }
  }
  state.stats.blocks += 1;
  state.appendTimeMs = Math.max(state.appendTimeMs, header.appendTimeMs);
  state.nextOffset = offset + 1;
  state.previous = repeated ? undefined : header;
  return outcomes;
}

function effectiveVerdict(
  state: ShardState,
  rows: Buffer,
  at: number,
  verdict: number,
  floorMs: number,
): number {
  if (readImpressionMs(rows, at) < floorMs) return Verdict.EXPIRED;
  const counted = state.dedup.find(
    rows.readUInt32LE(at + 4),
    rows.readUInt32LE(at),
    rows.readUInt32LE(at + 12),
    rows.readUInt32LE(at + 8),
  );
  return counted === undefined ? verdict : Verdict.DUPLICATE;
}

function countRow(state: ShardState, rows: Buffer, at: number, verdict: number, offset: number): void {
  const stats = state.stats;
  let kind: CountKind;
  switch (verdict) {
    case Verdict.ACCEPTED:
      kind = CountKind.CLICK;
      stats.accepted += 1;
      break;
    case Verdict.INVALID_TRAFFIC:
      kind = CountKind.INVALID;
      stats.invalid += 1;
      break;
    case Verdict.DUPLICATE:
      kind = CountKind.DUPLICATE;
      stats.duplicates += 1;
      break;
    case Verdict.LATE:
      stats.late += 1;
      return;
    case Verdict.REFUSED:
      stats.misdated += 1;
      return;
    default:
      stats.expired += 1;
      return;
  }
  const clickMs = readTime(rows, at + RowAt.clickTime);
  if (clickMs > state.eventTimeMs) state.eventTimeMs = clickMs;
  const minute = minuteOf(clickMs);
  if (minuteStartMs(minute) < state.sealedBeforeMs) return;
  if (state.covered !== undefined && isCovered(state, rows, at, minute, offset)) return;
  state.windows.count(rows, at + RowAt.adId, clickMs, kind, offset);
}

/** After a lost store: whether the window, as it came from the sink, holds this block already. */
function isCovered(state: ShardState, rows: Buffer, at: number, minute: number, offset: number): boolean {
  const { covered } = state;
  if (covered === undefined || offset <= covered.offset) return covered !== undefined;
  if (offset <= covered.until) {
    return offset <= (covered.windows.get(windowKey(minute, rows, at + RowAt.adId)) ?? -1);
  }
  state.covered = undefined;
  return false;
}

function rememberWriter(state: ShardState, writer: number, sequence: number): void {
  state.writers.delete(writer);
  state.writers.set(writer, sequence);
  if (state.writers.size > WRITERS_KEPT) {
    const oldest = state.writers.keys().next().value;
    if (oldest !== undefined) state.writers.delete(oldest);
  }
}
