/**
 * Where a shard's fold begins: at what its store remembers; with the store lost, at the sink's
 * last checkpoint; with neither, at the beginning of the log. Called once, before the replay.
 *
 * With the store lost, windows come from the sink as of its checkpoint (each with the offset
 * that it covers), ids from as much of the log as ids are remembered for. That part is replayed
 * for its ids alone; counting goes on behind what each window covers.
 *
 *  V1 A fold never jumps: an offset that retention took is a halt.
 *  V2 A window whose first clicks the fold may not have seen is never written.
 *  V3 The log holds all that the sink was told of it: else new blocks would get the offsets of old
 *     ones, and their counts pass for old ones. It is held against the sink before the replay;
 *     a sink that does not answer in time holds nobody up, and is met before the first counts
 *     leave (count-flusher.ts).
 */
import { AdtallyError, isAdtallyError, messageOf } from "../core/errors.ts";
import { minuteOf, minuteStartMs, WINDOW_MS } from "../core/time.ts";
import type { ClickLog, LogBounds } from "../ports/click-log.ts";
import type { Checkpoint, CountSink } from "../ports/count-sink.ts";
import type { ShardStores, ShardStore } from "../ports/shard-store.ts";
import type { Clock } from "../runtime/clock.ts";
import { withDeadline } from "../runtime/deadline.ts";
import type { Logger } from "../runtime/log.ts";
import { createShardState, restoreState, type ShardIdentity, type ShardState } from "./state.ts";
import type { Limits } from "../core/limits.ts";

export interface RecoveryDeps {
  readonly identity: ShardIdentity;
  readonly limits: Limits;
  readonly clicks: ClickLog;
  readonly spill: ClickLog;
  readonly stores: ShardStores;
  readonly sink: Pick<CountSink, "readCheckpoints" | "readWindows">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Opened {
  readonly state: ShardState;
  readonly store: ShardStore;
  /** False for a store that held nothing. */
  readonly restored: boolean;
}

/**
 * Begins a shard; once more on an empty store where its own is damaged, whether that is found at
 * the open or by the replay's first look at it: what it held is made again.
 */
export async function onSoundStore<T>(
  { identity: { shard }, logger, stores }: RecoveryDeps,
  begin: () => Promise<T>,
): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    if (!isAdtallyError(error, "STORE_CORRUPT")) throw error;
    logger.warn({ shard, error: error.message }, "shard store damaged: rebuilding it");
    await stores.destroy(shard);
    return begin();
  }
}

export async function openState({ identity, limits, stores }: RecoveryDeps): Promise<Opened> {
  const store = await stores.open(identity.shard);
  try {
    const state = createShardState(identity, limits, store);
    const restored = restoreState(state, store);
    return { state, store, restored };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** @throws LOG_BEHIND_STATE, OFFSET_OUT_OF_RANGE (V1), LOG_UNAVAILABLE, COUNT_SINK_UNAVAILABLE */
export async function findBeginning(deps: RecoveryDeps, { state, restored }: Opened): Promise<void> {
  const { shard } = deps.identity;
  const bounds = await deps.clicks.bounds(shard);
  if (restored) await meetSink(deps);
  else await beginWithoutStore(deps, state, bounds);
  assertBehind(shard, bounds, state.nextOffset, "its state");
  if (state.nextOffset < bounds.earliest) throw gone(shard, state.nextOffset, bounds);
  await meetSpill(deps, state, restored);
}

/** V3 for a shard that needs nothing of the sink. */
async function meetSink(deps: RecoveryDeps): Promise<void> {
  const { clock, identity, limits, logger, sink } = deps;
  const { shard } = identity;
  try {
    const reading = sink.readCheckpoints();
    const checkpoints = await withDeadline(clock, limits.sinkMeetDeadlineMs, "the count sink", reading);
    await assertSinkBehind(deps, checkpoints.find((checkpoint) => checkpoint.shard === shard)?.offset ?? -1);
  } catch (error) {
    if (isAdtallyError(error) && error.after === "halt") throw error;
    const later = "not held against the count sink yet: that is done before the first counts leave";
    logger.warn({ shard, error: messageOf(error) }, later);
  }
}

/** V3: `offset` is the last block that the sink has of the shard. @throws LOG_BEHIND_STATE, LOG_UNAVAILABLE */
export async function assertSinkBehind(
  { clicks, identity }: Pick<RecoveryDeps, "clicks" | "identity">,
  offset: number,
): Promise<void> {
  // Read after the sink was: another owner may append and flush meanwhile.
  assertBehind(identity.shard, await clicks.bounds(identity.shard), offset + 1, "what ClickHouse has of it");
}

function assertBehind(shard: number, { next }: LogBounds, offset: number, what: string): void {
  if (offset <= next) return;
  throw new AdtallyError(
    "LOG_BEHIND_STATE",
    `the log of shard ${shard} ends at ${next}, ${what} is at ${offset}: the log was lost or replaced; ` +
      `restore it, or move the state and the counts away: they are made again as far back as the log is kept`,
  );
}

function gone(shard: number, offset: number, { earliest }: LogBounds): AdtallyError {
  return new AdtallyError(
    "OFFSET_OUT_OF_RANGE",
    `shard ${shard} needs offset ${offset}, the log begins at ${earliest}`,
  );
}

async function beginWithoutStore(deps: RecoveryDeps, state: ShardState, bounds: LogBounds): Promise<void> {
  const checkpoint = await readCheckpoint(deps, bounds);
  if (checkpoint !== undefined && checkpoint.offset >= 0)
    await beginAtCheckpoint(deps, state, bounds, checkpoint);
  else if (bounds.earliest > 0) await beginLate(deps, state, bounds.earliest);
}

async function readCheckpoint(deps: RecoveryDeps, bounds: LogBounds): Promise<Checkpoint | undefined> {
  const { identity, logger, sink } = deps;
  try {
    return (await sink.readCheckpoints()).find(({ shard }) => shard === identity.shard);
  } catch (error) {
    // A whole log needs no checkpoint: the replay only takes longer.
    if (bounds.earliest > 0) throw error;
    logger.warn(
      { shard: identity.shard, error: messageOf(error) },
      "no checkpoint to begin with: replaying all",
    );
    return undefined;
  }
}

async function beginAtCheckpoint(
  deps: RecoveryDeps,
  state: ShardState,
  bounds: LogBounds,
  { offset, watermarkMs }: Checkpoint,
): Promise<void> {
  const { clicks, identity, limits, logger, sink } = deps;
  const { shard } = identity;
  await assertSinkBehind(deps, offset);
  if (offset + 1 < bounds.earliest) throw gone(shard, offset + 1, bounds);
  const newestMs = await appendTimeAt(clicks, shard, bounds.next - 1);
  const idsSinceMs = newestMs - limits.dedupRetentionMs - limits.dedupSliceMs - limits.clockSkewMs;
  const idsFrom = await firstOffsetSince(clicks, shard, bounds, idsSinceMs);
  const fromMinute = minuteOf(newestMs - limits.windowRetentionMs);
  const counts = await sink.readWindows(shard, fromMinute);
  const covered = state.windows.restoreCounts(counts, offset);
  await assertSinkBehind(deps, covered.until);
  state.covered = covered;
  state.nextOffset = Math.min(idsFrom, offset + 1);
  state.flushedOffset = offset;
  state.watermarkMs = watermarkMs;
  state.sealedBeforeMs = minuteStartMs(fromMinute);
  logger.warn(
    { shard, checkpoint: offset, windows: counts.rowCount, from: state.nextOffset },
    "shard store lost: windows from the count sink, ids from the log",
  );
}

/** V2 for a fold that begins where the log does, but not at offset 0. */
async function beginLate(deps: RecoveryDeps, state: ShardState, earliest: number): Promise<void> {
  const { clicks, identity, limits } = deps;
  state.nextOffset = earliest;
  const [first] = await clicks.read(identity.shard, earliest, 1);
  if (first === undefined) return;
  state.sealedBeforeMs = first.header.appendTimeMs + limits.clockSkewMs + WINDOW_MS;
}

async function appendTimeAt(clicks: ClickLog, shard: number, offset: number): Promise<number> {
  try {
    const [record] = await clicks.read(shard, offset, 1);
    return record?.header.appendTimeMs ?? 0;
  } catch (error) {
    // A record that nobody can read has its neighbour's time.
    if (!isAdtallyError(error, "LOG_CORRUPT") || error.offset !== offset) throw error;
    return appendTimeAt(clicks, shard, offset + 1);
  }
}

/** First offset appended at or after `timeMs`: append times never fall along a partition. */
async function firstOffsetSince(
  clicks: ClickLog,
  shard: number,
  { earliest, next }: LogBounds,
  timeMs: number,
): Promise<number> {
  let [low, high] = [earliest, next];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((await appendTimeAt(clicks, shard, middle)) < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @throws OFFSET_OUT_OF_RANGE where retention took spilled clicks that were never drained */
async function meetSpill(
  { identity, spill }: RecoveryDeps,
  state: ShardState,
  restored: boolean,
): Promise<void> {
  const { earliest } = await spill.bounds(identity.shard);
  if (state.spillOffset >= earliest) return;
  if (restored) {
    const where = `the spill of shard ${identity.shard} was drained to ${state.spillOffset} and begins at ${earliest}`;
    throw new AdtallyError("OFFSET_OUT_OF_RANGE", where);
  }
  // A new fold: what was drained before the log begins is older than ids are remembered.
  state.spillOffset = earliest;
}
