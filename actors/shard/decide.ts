/**
 * The verdicts: a block cut from the mailbox, every row decided on the state as it is, within
 * the block as well. Pure but for the state's own scratch; nothing is counted here (fold.ts
 * does that, once the log has the block).
 */
import { makeBlock, type Block } from "../block/block.ts";
import { readImpressionMs, readTime, rowEnd, RowAt, stampRow } from "../block/row.ts";
import { invariant } from "../core/errors.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import { dedupFloorMs, type BlockPart, type ShardState } from "./state.ts";

export interface Cut {
  readonly block: Block;
  readonly parts: readonly BlockPart[];
}

/** Cuts the next block from the spill's records: as many whole ones as fit. */
export function cutSpilled(state: ShardState, nowMs: number): Cut {
  const { limits } = state;
  const slices: Buffer[] = [];
  let rows = 0;
  let bytes = 0;
  let sourceOffset = -1;
  for (let next = state.spilled[0]; next !== undefined; next = state.spilled[0]) {
    const { header, offset, value } = next;
    const fits =
      rows + header.rowCount <= limits.blockMaxRows && bytes + value.length <= limits.blockMaxBytes;
    if (slices.length > 0 && !fits) break;
    state.spilled.shift();
    slices.push(value);
    rows += header.rowCount;
    bytes += value.length;
    sourceOffset = offset + 1;
  }
  invariant(rows > 0, "a block was cut from an empty spill");
  return { block: finish(state, Buffer.concat(slices, bytes), rows, sourceOffset, nowMs), parts: [] };
}

/** Cuts the next block from a mailbox that holds at least one row. */
export function cutBlock(state: ShardState, nowMs: number): Cut {
  const { limits } = state;
  const parts: BlockPart[] = [];
  const slices: Buffer[] = [];
  let rows = 0;
  let bytes = 0;
  while (state.mailbox.length > 0 && rows < limits.blockMaxRows && bytes < limits.blockMaxBytes) {
    const waiting = state.mailbox[0]!;
    const from = waiting.at;
    const firstOfSubmission = waiting.cut;
    let end = from;
    let count = 0;
    while (waiting.cut + count < waiting.count && rows + count < limits.blockMaxRows) {
      const next = rowEnd(waiting.rows, end);
      // The first row of a block always fits: a row is far smaller than a block.
      if (bytes + (next - from) > limits.blockMaxBytes) break;
      end = next;
      count += 1;
    }
    if (count === 0) break;
    slices.push(waiting.rows.subarray(from, end));
    parts.push({ waiting, firstRow: rows, count, firstOfSubmission });
    waiting.at = end;
    waiting.cut += count;
    rows += count;
    bytes += end - from;
    state.mailboxClicks -= count;
    if (waiting.cut === waiting.count) state.mailbox.shift();
  }
  invariant(rows > 0, "a block was cut from an empty mailbox");
  return { block: finish(state, Buffer.concat(slices, bytes), rows, -1, nowMs), parts };
}

function finish(
  state: ShardState,
  value: Buffer,
  rowCount: number,
  sourceOffset: number,
  nowMs: number,
): Block {
  const { epoch, writer } = state.identity;
  const sequence = ++state.sequence;
  const appendTimeMs = Math.max(nowMs, state.appendTimeMs);
  decideRows(state, value, rowCount, sequence, appendTimeMs);
  return makeBlock({ epoch, writer, sequence, rowCount, appendTimeMs, sourceOffset }, value);
}

function decideRows(
  state: ShardState,
  rows: Buffer,
  count: number,
  sequence: number,
  appendTimeMs: number,
): void {
  const { allowedLatenessMs, clockSkewMs } = state.limits;
  const floorMs = dedupFloorMs(state);
  state.blockIds.clear();
  let at = 0;
  for (let row = 0; row < count; row++) {
    let verdict = rows[at + RowAt.verdict]!;
    let reason = rows[at + RowAt.reason]!;
    if (verdict === Verdict.UNDECIDED) {
      const replayed = reason === Reason.REPLAYED_DEAD_LETTER;
      const receivedMs = readTime(rows, at + RowAt.receivedTime);
      const lateMs = receivedMs - readTime(rows, at + RowAt.clickTime);
      if (receivedMs > appendTimeMs + clockSkewMs && !replayed) {
        // One of the two clocks is wrong, and with it the click's minute; and a gateway that runs
        // ahead may have routed a click id by a map that will be another by then (G1 of table.ts).
        verdict = Verdict.REFUSED;
        reason = Reason.RECEIVED_IN_FUTURE;
      } else if (lateMs > allowedLatenessMs && !replayed) {
        verdict = Verdict.LATE;
        reason = Reason.CLICK_TIME_TOO_OLD;
      } else if (readImpressionMs(rows, at) < floorMs) {
        verdict = Verdict.EXPIRED;
        reason = Reason.HELD_PAST_RETENTION;
      } else if (isCounted(state, rows, at, row)) {
        verdict = Verdict.DUPLICATE;
        // A replay stays one, so that its letter can be seen to have been replayed.
        reason = replayed ? Reason.REPLAYED_DEAD_LETTER : Reason.NONE;
      } else {
        verdict = Verdict.ACCEPTED;
      }
    }
    stampRow(rows, at, verdict, reason, sequence, row);
    at = rowEnd(rows, at);
  }
}

/** Seen before, in the state or earlier in this block; otherwise it counts as seen from here on. */
function isCounted(state: ShardState, rows: Buffer, at: number, row: number): boolean {
  const w0 = rows.readUInt32LE(at + 4);
  const w1 = rows.readUInt32LE(at);
  const w2 = rows.readUInt32LE(at + 12);
  const w3 = rows.readUInt32LE(at + 8);
  if (state.dedup.find(w0, w1, w2, w3) !== undefined) return true;
  return !state.blockIds.add(w0, w1, w2, w3, 0, row);
}
