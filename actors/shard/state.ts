/**
 * The state of one shard: a fold over its partition of the click log, and beside it what is
 * under way (mailbox, block in the making). Owned by one actor, changed only by transition.ts.
 */
import { DedupIndex } from "../dedup/dedup-index.ts";
import { IdTable } from "../dedup/id-table.ts";
import type { Block, LogRecord } from "../block/block.ts";
import type { Limits } from "../core/limits.ts";
import { WindowSet, type CoveredCounts } from "../window/window-set.ts";
import type { ShardMeta, ShardStore } from "../ports/shard-store.ts";

/** Rows that wait for their verdicts. A large submission may span several blocks. */
export interface Waiting {
  readonly id: number;
  readonly rows: Buffer;
  readonly count: number;
  /** Monotonic time at which the caller gives up. */
  readonly deadlineMs: number;
  readonly outcomes: Uint8Array;
  /** Aborted: the caller has put the rows elsewhere, and those in no block yet need not count here. */
  readonly signal: AbortSignal | undefined;
  /** Position of the first row not yet in a block, and how many rows are. */
  at: number;
  cut: number;
  /** Rows whose block is folded. */
  settled: number;
}

/** Which of a block's rows answer which waiting submission. */
export interface BlockPart {
  readonly waiting: Waiting;
  readonly firstRow: number;
  readonly count: number;
  /** Index within the submission of the part's first row. */
  readonly firstOfSubmission: number;
}

export interface InFlight {
  readonly block: Block;
  /** What was folded when its verdicts were decided: they hold at this offset alone. */
  readonly decidedAt: number;
  readonly expectedOffset: number;
  readonly parts: readonly BlockPart[];
  attempts: number;
}

/**
 *   recovering ──at end of log──► ready ──cut──► appending ──acked at the expected offset──► ready
 *                                                    │
 *                                                    └─ answer lost, or a gap ─► catching-up
 *                                   catching-up ──own block found──► ready
 *                                   catching-up ──at end, not found──► appending (the same block)
 *   ready ──quiet for followIntervalMs──► catching-up ──at end──► ready
 *   any ──impossible state, offset gone──► halted
 */
export type Phase = "recovering" | "ready" | "appending" | "catching-up" | "halted";

export interface ShardIdentity {
  readonly shard: number;
  readonly epoch: number;
  /** Random, new with each incarnation. */
  readonly writer: number;
}

export interface ShardState {
  readonly identity: ShardIdentity;
  readonly limits: Limits;
  readonly dedup: DedupIndex;
  readonly windows: WindowSet;
  /** Ids of the block in the making: a repeat within one block is found here. */
  readonly blockIds: IdTable;
  phase: Phase;
  haltReason: string | undefined;

  // The fold.
  nextOffset: number;
  /** The block at nextOffset - 1, where this state folded it and it was no repeat (F4 of fold.ts). */
  previous: { readonly writer: number; readonly sequence: number } | undefined;
  readonly writers: Map<number, number>;
  appendTimeMs: number;
  eventTimeMs: number;
  watermarkMs: number;
  flushedOffset: number;
  sealedBeforeMs: number;
  spillOffset: number;
  /** After a lost store: what the windows had counted already when they came from the sink. */
  covered: CoveredCounts | undefined;

  // Under way.
  /** Spilled records read and not yet in a block, in order, the first at or behind spillOffset. */
  readonly spilled: LogRecord[];
  /** A read of the spill is under way. */
  readingSpill: boolean;
  /** The spill may hold more: its end was not met since the last tick. */
  spillKnown: boolean;
  /** The next block takes from the spill, if both it and the mailbox have rows. */
  spillsTurn: boolean;
  readonly mailbox: Waiting[];
  mailboxClicks: number;
  inFlight: InFlight | undefined;
  sequence: number;
  nextWaitingId: number;
  /** Monotonic time at which the log's end was last seen. */
  followedAtMs: number;

  readonly stats: ShardStats;
}

export interface ShardStats {
  accepted: number;
  duplicates: number;
  invalid: number;
  late: number;
  expired: number;
  /** Rows whose gateway's clock was ahead of this shard's by more than clocks may differ. */
  misdated: number;
  blocks: number;
  /** Rows whose effective verdict differs from the row's, because another owner wrote first. */
  overruled: number;
  /** Blocks found a second time and skipped. */
  repeatedBlocks: number;
  gaps: number;
  refused: number;
  /** Records passed over because nobody can read them. */
  quarantined: number;
  /** Rows that came by the spill. */
  spilled: number;
}

export function createShardState(identity: ShardIdentity, limits: Limits, store: ShardStore): ShardState {
  return {
    identity,
    limits,
    dedup: new DedupIndex(
      {
        sliceMs: limits.dedupSliceMs,
        falsePositiveRate: limits.bloomFalsePositiveRate,
        runIds: limits.dedupRunIds,
      },
      store,
    ),
    windows: new WindowSet(store),
    blockIds: new IdTable(limits.blockMaxRows),
    phase: "recovering",
    haltReason: undefined,
    nextOffset: 0,
    previous: undefined,
    writers: new Map(),
    appendTimeMs: 0,
    eventTimeMs: -1,
    watermarkMs: 0,
    flushedOffset: -1,
    sealedBeforeMs: 0,
    spillOffset: 0,
    covered: undefined,
    spilled: [],
    readingSpill: false,
    spillKnown: false,
    spillsTurn: false,
    mailbox: [],
    mailboxClicks: 0,
    inFlight: undefined,
    sequence: 0,
    nextWaitingId: 1,
    followedAtMs: 0,
    stats: {
      accepted: 0,
      duplicates: 0,
      invalid: 0,
      late: 0,
      expired: 0,
      misdated: 0,
      blocks: 0,
      overruled: 0,
      repeatedBlocks: 0,
      gaps: 0,
      refused: 0,
      quarantined: 0,
      spilled: 0,
    },
  };
}

/** Puts what the store had into a new state. @throws STORE_CORRUPT */
export function restoreState(state: ShardState, store: ShardStore): boolean {
  const stored = store.load();
  if (stored === undefined) return false;
  const { meta } = stored;
  state.nextOffset = meta.nextOffset;
  for (const [writer, sequence] of meta.writers) state.writers.set(writer, sequence);
  state.appendTimeMs = meta.appendTimeMs;
  state.eventTimeMs = meta.eventTimeMs;
  state.watermarkMs = meta.watermarkMs;
  state.flushedOffset = meta.flushedOffset;
  state.sealedBeforeMs = meta.sealedBeforeMs;
  state.spillOffset = meta.spillOffset;
  state.dedup.restore(stored);
  state.windows.restore(stored.minutes, meta.flushedOffset);
  return true;
}

export function metaOf(state: ShardState): ShardMeta {
  return {
    nextOffset: state.nextOffset,
    writers: [...state.writers],
    appendTimeMs: state.appendTimeMs,
    eventTimeMs: state.eventTimeMs,
    watermarkMs: state.watermarkMs,
    flushedOffset: state.flushedOffset,
    sealedBeforeMs: state.sealedBeforeMs,
    spillOffset: state.spillOffset,
  };
}

/**
 * Ids before this can no longer be decided: their slices are, or may be, dropped. Derived
 * from the log's own append times, so that every fold of one log draws the same line.
 */
export function dedupFloorMs(state: ShardState): number {
  const { dedupSliceMs, dedupRetentionMs } = state.limits;
  return Math.floor((state.appendTimeMs - dedupRetentionMs) / dedupSliceMs) * dedupSliceMs;
}
