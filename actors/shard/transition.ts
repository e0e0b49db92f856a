/**
 * What a shard does next: transition(state, command, now) changes the state and returns the
 * effects to run. No clock, no randomness, no I/O but the store's synchronous reads: the actor
 * (actor.ts) or a simulator runs the effects and feeds their results back as commands.
 *
 * Invariants:
 *  A1 One append is under way at a time; the next block gathers meanwhile (group commit).
 *  A2 Nothing is counted and nobody is answered before the log acknowledged the block.
 *  A3 A block, once cut, is appended until the log has it, byte for byte the same: so a repeat
 *     that arrives late is recognised by (writer, sequence) and changes nothing.
 *  A4 An append that lands elsewhere than expected (a gap) means that someone else wrote:
 *     what was missed is folded first, and the outcomes told are those of the fold. So are those of
 *     a block that is appended again after another's was folded.
 *  A5 What another owner wrote is folded within followIntervalMs even where no click comes.
 *  A6 The mailbox is bounded; past it a submission is refused whole, and nothing of it taken.
 */
import type { Block, LogRecord } from "../block/block.ts";
import { rowEnd, RowAt } from "../block/row.ts";
import { invariant, isAdtallyError, messageOf, type ErrorCode } from "../core/errors.ts";
import { isDeadLetter } from "../core/verdict.ts";
import { advanceWatermark } from "../window/watermark.ts";
import { cutBlock, cutSpilled } from "./decide.ts";
import { foldRecord, type Outcomes } from "./fold.ts";
import type { InFlight, ShardState, Waiting } from "./state.ts";

export type Command =
  | { readonly kind: "submit"; readonly rows: Buffer; readonly count: number; readonly signal?: AbortSignal }
  /** Cut a block if one can be. */
  | { readonly kind: "cut" }
  | { readonly kind: "append-acked"; readonly offset: number }
  /** `unknown`: the log may have it. Otherwise it certainly has not. */
  | { readonly kind: "append-failed"; readonly unknown: boolean }
  | { readonly kind: "records"; readonly records: readonly LogRecord[]; readonly atEnd: boolean }
  /** The record at `offset` is no block that anyone can read: passed over, for every fold alike. */
  | { readonly kind: "poison"; readonly offset: number }
  /** What a read of the spill brought; empty at its end, or when it could not be read. */
  | { readonly kind: "spilled"; readonly records: readonly LogRecord[] }
  | { readonly kind: "tick" }
  | { readonly kind: "halt"; readonly code: ErrorCode; readonly reason: string };

export type Effect =
  | { readonly kind: "accepted"; readonly waiting: Waiting }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly detail: string }
  | { readonly kind: "append"; readonly block: Block; readonly attempt: number }
  | { readonly kind: "read"; readonly fromOffset: number }
  | { readonly kind: "read-spill"; readonly fromOffset: number }
  | { readonly kind: "answer"; readonly waiting: Waiting; readonly offset: number }
  /** The caller gave up waiting; the rows stay, and may still be counted. */
  | { readonly kind: "expire"; readonly waiting: Waiting }
  | { readonly kind: "dead-letter"; readonly record: LogRecord; readonly outcomes: Outcomes }
  /** This block is of the state now. */
  | { readonly kind: "folded"; readonly record: LogRecord; readonly outcomes: Outcomes }
  | { readonly kind: "ready" }
  | { readonly kind: "halted"; readonly code: ErrorCode; readonly reason: string };

export interface Now {
  /** Wall clock, ms since 1970. */
  readonly wallMs: number;
  /** Monotonic, ms. */
  readonly monotonicMs: number;
}

export function transition(state: ShardState, command: Command, now: Now): Effect[] {
  try {
    return step(state, command, now);
  } catch (error) {
    // An impossible state, or a damaged store, in the middle of a fold: nothing may be guessed.
    return halt(state, isAdtallyError(error) ? error.code : "STATE_IMPOSSIBLE", messageOf(error));
  }
}

function step(state: ShardState, command: Command, now: Now): Effect[] {
  if (command.kind === "halt") return halt(state, command.code, command.reason);
  if (state.phase === "halted") {
    return command.kind === "submit" ? [refusal("SHARD_HALTED", state.haltReason ?? "halted")] : [];
  }
  switch (command.kind) {
    case "submit":
      return submit(state, command.rows, command.count, command.signal, now);
    case "cut":
      return cut(state, now);
    case "append-acked":
      return appendAcked(state, command.offset);
    case "append-failed":
      return appendFailed(state, command.unknown);
    case "records":
      return recordsRead(state, command.records, command.atEnd);
    case "poison":
      return passOver(state, command.offset);
    case "spilled":
      return spillRead(state, command.records);
    case "tick":
      return tick(state, now);
  }
}

function refusal(code: ErrorCode, detail: string): Effect {
  return { kind: "refused", code, detail };
}

function submit(
  state: ShardState,
  rows: Buffer,
  count: number,
  signal: AbortSignal | undefined,
  now: Now,
): Effect[] {
  const { shard } = state.identity;
  if (state.phase === "recovering") return [refusal("NOT_OWNER", `shard ${shard} is still recovering`)];
  if (state.mailboxClicks + count > state.limits.mailboxMaxClicks) {
    state.stats.refused += count;
    return [refusal("OVERLOADED", `shard ${shard} has ${state.mailboxClicks} clicks waiting`)];
  }
  const fault = faultOf(rows, count, shard);
  if (fault !== undefined) return [refusal("INPUT_INVALID", fault)];
  const waiting: Waiting = {
    id: state.nextWaitingId++,
    rows,
    count,
    deadlineMs: now.monotonicMs + state.limits.submitDeadlineMs,
    outcomes: new Uint8Array(count * 2),
    signal,
    at: 0,
    cut: 0,
    settled: 0,
  };
  state.mailbox.push(waiting);
  state.mailboxClicks += count;
  return [{ kind: "accepted", waiting }];
}

/** A gateway is trusted to route, but a block must never hold bytes that do not parse. */
function faultOf(rows: Buffer, count: number, shard: number): string | undefined {
  if (count < 1) return "a submission without rows";
  let at = 0;
  for (let row = 0; row < count; row++) {
    const end = rowEnd(rows, at);
    if (end < 0) return `row ${row} of ${count} is cut off`;
    const meant = rows.readUInt16LE(at + RowAt.shard);
    if (meant !== shard) return `row ${row} is for shard ${meant}, not ${shard}`;
    at = end;
  }
  return at === rows.length ? undefined : `${rows.length - at} bytes behind the last row`;
}

function cut(state: ShardState, now: Now): Effect[] {
  if (state.phase !== "ready") return [];
  const withdrawn = dropWithdrawn(state);
  // Another owner may have drained some meanwhile: its block told up to where.
  while (state.spilled.length > 0 && state.spilled[0]!.offset < state.spillOffset) state.spilled.shift();
  const hasSpill = state.spilled.length > 0;
  if (state.mailboxClicks === 0 && !hasSpill) return withdrawn;
  // Turn by turn: neither a flood of clicks nor a long spill keeps the other waiting.
  const takesSpill = hasSpill && (state.mailboxClicks === 0 || state.spillsTurn);
  state.spillsTurn = !takesSpill;
  const { block, parts } = takesSpill ? cutSpilled(state, now.wallMs) : cutBlock(state, now.wallMs);
  const { nextOffset } = state;
  state.inFlight = { block, decidedAt: nextOffset, expectedOffset: nextOffset, parts, attempts: 1 };
  state.phase = "appending";
  return [...withdrawn, { kind: "append", block, attempt: 1 }];
}

/** Submissions whose caller took them elsewhere leave, where no row of them is in a block yet. */
function dropWithdrawn(state: ShardState): Effect[] {
  if (!state.mailbox.some((waiting) => waiting.signal?.aborted === true)) return [];
  const effects: Effect[] = [];
  const kept = state.mailbox.filter((waiting) => {
    if (waiting.signal?.aborted !== true || waiting.cut > 0) return true;
    state.mailboxClicks -= waiting.count;
    effects.push({ kind: "expire", waiting });
    return false;
  });
  state.mailbox.splice(0, state.mailbox.length, ...kept);
  return effects;
}

function appendAcked(state: ShardState, offset: number): Effect[] {
  const inFlight = state.inFlight;
  invariant(
    state.phase === "appending" && inFlight !== undefined,
    "an append was acknowledged that is not under way",
  );
  invariant(
    offset >= inFlight.expectedOffset,
    `the log gave offset ${offset} again, ${inFlight.expectedOffset} was expected: it is behind this state`,
  );
  if (offset > inFlight.expectedOffset) return catchUp(state);
  const record = { ...inFlight.block, offset };
  const outcomes = foldRecord(state, record, offset === inFlight.decidedAt);
  const effects = settle(state, inFlight, record, outcomes);
  state.phase = "ready";
  return [{ kind: "folded", record, outcomes }, ...effects, ...readSpill(state)];
}

/** Reads on in the spill, once all that was read of it is folded. */
function readSpill(state: ShardState): Effect[] {
  if (state.readingSpill || state.spilled.length > 0 || !state.spillKnown) return [];
  if (state.inFlight !== undefined) return [];
  state.readingSpill = true;
  return [{ kind: "read-spill", fromOffset: state.spillOffset }];
}

function spillRead(state: ShardState, records: readonly LogRecord[]): Effect[] {
  state.readingSpill = false;
  state.spillKnown = records.length > 0;
  state.spilled.push(...records);
  return [];
}

function appendFailed(state: ShardState, unknown: boolean): Effect[] {
  const inFlight = state.inFlight;
  invariant(state.phase === "appending" && inFlight !== undefined, "an append failed that is not under way");
  if (unknown) return catchUp(state);
  return appendAgain(inFlight);
}

function appendAgain(inFlight: InFlight): Effect[] {
  inFlight.attempts += 1;
  return [{ kind: "append", block: inFlight.block, attempt: inFlight.attempts }];
}

function catchUp(state: ShardState): Effect[] {
  state.phase = "catching-up";
  state.stats.gaps += 1;
  return [{ kind: "read", fromOffset: state.nextOffset }];
}

function recordsRead(state: ShardState, records: readonly LogRecord[], atEnd: boolean): Effect[] {
  const effects: Effect[] = [];
  for (const record of records) {
    const own = ownBlock(state, record);
    const outcomes = foldRecord(state, record, false);
    effects.push({ kind: "folded", record, outcomes });
    if (own === undefined) pushDeadLetter(effects, record, outcomes);
    else effects.push(...settle(state, own, record, outcomes));
  }
  if (!atEnd) return [...effects, { kind: "read", fromOffset: state.nextOffset }];
  if (state.phase === "recovering") {
    state.phase = "ready";
    state.spillKnown = true;
    return [...effects, { kind: "ready" }, ...readSpill(state)];
  }
  if (state.inFlight === undefined) {
    state.phase = "ready";
    return effects;
  }
  // The log was read to its end and does not have the block: the append never arrived.
  state.phase = "appending";
  state.inFlight = { ...state.inFlight, expectedOffset: state.nextOffset };
  return [...effects, ...appendAgain(state.inFlight)];
}

function passOver(state: ShardState, offset: number): Effect[] {
  invariant(offset === state.nextOffset, `poison at offset ${offset}, the fold is at ${state.nextOffset}`);
  state.nextOffset += 1;
  state.previous = undefined;
  state.stats.quarantined += 1;
  return [{ kind: "read", fromOffset: state.nextOffset }];
}

function ownBlock(state: ShardState, record: LogRecord): InFlight | undefined {
  const header = state.inFlight?.block.header;
  if (header?.writer !== record.header.writer || header.sequence !== record.header.sequence) return undefined;
  return state.inFlight;
}

/** Tells the callers of a folded block what became of their rows. */
function settle(state: ShardState, inFlight: InFlight, record: LogRecord, outcomes: Outcomes): Effect[] {
  const effects: Effect[] = [];
  for (const { waiting, firstRow, count, firstOfSubmission } of inFlight.parts) {
    waiting.outcomes.set(outcomes.subarray(firstRow * 2, (firstRow + count) * 2), firstOfSubmission * 2);
    waiting.settled += count;
    if (waiting.settled === waiting.count) effects.push({ kind: "answer", waiting, offset: record.offset });
  }
  state.inFlight = undefined;
  pushDeadLetter(effects, record, outcomes);
  return effects;
}

function pushDeadLetter(effects: Effect[], record: LogRecord, outcomes: Outcomes): void {
  for (let at = 0; at < outcomes.length; at += 2) {
    if (isDeadLetter(outcomes[at]!)) {
      effects.push({ kind: "dead-letter", record, outcomes });
      return;
    }
  }
}

function tick(state: ShardState, now: Now): Effect[] {
  state.watermarkMs = advanceWatermark({
    watermarkMs: state.watermarkMs,
    eventTimeMs: state.eventTimeMs,
    nowMs: now.wallMs,
    idle: state.phase === "ready" && state.mailboxClicks === 0,
    allowedLatenessMs: state.limits.allowedLatenessMs,
    transitMs: state.limits.submitDeadlineMs,
  });
  const expired: Effect[] = [];
  const overdue = (waiting: Waiting) => waiting.deadlineMs <= now.monotonicMs;
  for (const { waiting } of state.inFlight?.parts ?? []) {
    if (overdue(waiting)) expired.push({ kind: "expire", waiting });
  }
  // Rows that are in no block yet leave with their caller: nothing durable knows them.
  while (state.mailbox.length > 0 && overdue(state.mailbox[0]!)) {
    const waiting = state.mailbox.shift()!;
    state.mailboxClicks -= waiting.count - waiting.cut;
    expired.push({ kind: "expire", waiting });
  }
  if (state.phase !== "ready") return expired;
  state.spillKnown = true;
  return [...expired, ...readSpill(state), ...follow(state, now)];
}

/**
 * A quiet owner would never learn by the gap rule of blocks that another owner wrote and never
 * flushed (it died): so it looks for itself now and then.
 */
function follow(state: ShardState, now: Now): Effect[] {
  if (state.mailboxClicks > 0) return [];
  if (now.monotonicMs - state.followedAtMs < state.limits.followIntervalMs) return [];
  state.followedAtMs = now.monotonicMs;
  state.phase = "catching-up";
  return [{ kind: "read", fromOffset: state.nextOffset }];
}

function halt(state: ShardState, code: ErrorCode, reason: string): Effect[] {
  if (state.phase === "halted") return [];
  state.phase = "halted";
  state.haltReason = `${code}: ${reason}`;
  return [{ kind: "halted", code, reason }];
}
