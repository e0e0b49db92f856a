/**
 * What an actor host's shards have counted, told on the Bus for live streams: one message a shard
 * and slot of a quarter of a second in which it counted a valid click. Called for each block as it
 * is folded; nothing of counting waits for it, or depends on it.
 *
 *  B1 A message says which offsets of the log it covers, and its slot is that of its blocks' own
 *     append time: whoever folds a log tells of it in the same pieces, so that a message of a second
 *     owner, of a replay, or sent again after an answer that was lost, is told from a new one.
 *  B2 A shard that begins asks the bus what was told of it last, and tells what is behind: clicks that
 *     were counted, but not told, when a host was killed. Of what is older than `liveHistoryMs` nothing
 *     is told.
 *     After an append that failed it asks again, and tells again what the bus no longer has of the last
 *     `liveKeptSlots`: whoever followed may not have read it before a Redis without persistence died.
 *  B3 What waits is bounded (`liveMaxWaitingSlots` a shard, each as small as its message); past it,
 *     or older than `liveHistoryMs`, it is dropped and counted.
 */
import type { Buffer } from "node:buffer";
import type { LogRecord } from "../block/block.ts";
import { rowEnd, RowAt } from "../block/row.ts";
import { messageOf } from "../core/errors.ts";
import { idKey, type IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { Verdict } from "../core/verdict.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { CountKind, WindowTable } from "../window/window-table.ts";
import { decodeDelta, encodeDelta, type AdClicks, type LiveDelta } from "./delta.ts";

export const liveChannel = (shard: number): string => `live:${shard}`;

export interface LivePublisher {
  /** `outcomes`: two bytes a row, the first its verdict. */
  folded(shard: number, epoch: number, record: LogRecord, outcomes: Uint8Array): void;
  /** Clicks that no stream was told of. */
  readonly lost: number;
  /** Tells what is left, and ends. */
  stop(): Promise<void>;
}

export interface LivePublisherDeps {
  readonly bus: Pick<Bus, "append" | "newest">;
  readonly limits: Pick<
    Limits,
    | "liveSlotMs"
    | "liveSlotLagMs"
    | "liveSlotMaxAds"
    | "liveSlotMaxAdvertisers"
    | "liveMaxWaitingSlots"
    | "liveKeptSlots"
    | "liveHistoryMs"
    | "reconnectMaxMs"
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Piece {
  readonly slot: number;
  readonly fromOffset: number;
  throughOffset: number;
  clicks: number;
  /** Until the slot is over; then its message. */
  counts: WindowTable | undefined;
  message: Buffer | undefined;
}

interface Lane {
  readonly shard: number;
  epoch: number;
  /** Told through here; undefined until the bus has said (B2). */
  told: number | undefined;
  /** Met through here. */
  met: number;
  readonly pieces: Piece[];
  /** The last that were told, in order. */
  kept: Piece[];
  /** Nobody knows what the bus has: an append failed. */
  isInDoubt: boolean;
  /** Of the last piece: the next will have about as many. */
  ads: number;
  sending: Promise<void> | undefined;
}

export function createLivePublisher({ bus, limits, clock, logger }: LivePublisherDeps): LivePublisher {
  const lanes = new Map<number, Lane>();
  let lost = 0;
  let isStopping = false;

  function drop(lane: Lane): void {
    lost += lane.pieces.shift()?.clicks ?? 0;
  }

  async function begin(lane: Lane): Promise<void> {
    const newest = await bus.newest(liveChannel(lane.shard));
    if (newest === undefined) {
      if (!isStopping) clock.after(limits.reconnectMaxMs, () => void begin(lane));
      return;
    }
    lane.told = (newest && decodeDelta(newest)?.throughOffset) ?? -1;
    while (lane.pieces[0] !== undefined && lane.pieces[0].throughOffset <= lane.told) lane.pieces.shift();
    send(lane);
  }

  function laneOf(shard: number): Lane {
    let lane = lanes.get(shard);
    if (lane === undefined) {
      lane = {
        shard,
        epoch: 0,
        told: undefined,
        met: -1,
        pieces: [],
        kept: [],
        isInDoubt: false,
        ads: 1,
        sending: undefined,
      };
      lanes.set(shard, lane);
      void begin(lane);
    }
    return lane;
  }

  function pieceFor(lane: Lane, slot: number, offset: number): Piece {
    const last = lane.pieces.at(-1);
    // What the bus turns out to have is left out whole: until it has said, each block is by itself.
    const isFull = lane.pieces.length >= limits.liveMaxWaitingSlots;
    const canJoin = last?.counts !== undefined && last.slot === slot;
    if (canJoin && (lane.told !== undefined || isFull)) return last!;
    if (isFull) drop(lane);
    const piece: Piece = {
      slot,
      fromOffset: offset,
      throughOffset: offset,
      clicks: 0,
      counts: new WindowTable(0, lane.ads),
      message: undefined,
    };
    lane.pieces.push(piece);
    if (last !== undefined) close(lane, last);
    const endsInMs = (slot + 1) * limits.liveSlotMs - clock.now();
    clock.after(Math.min(Math.max(endsInMs, 0), limits.liveSlotMs) + limits.liveSlotLagMs, () => {
      close(lane, piece);
      send(lane);
    });
    return piece;
  }

  /** What waits for the bus is as small as its message. */
  function close(lane: Lane, piece: Piece): void {
    if (piece.counts === undefined) return;
    lane.ads = piece.counts.rows;
    piece.message = encodeDelta(deltaOf(lane, piece, piece.counts, limits));
    piece.counts = undefined;
  }

  function send(lane: Lane): void {
    if (lane.told === undefined) return;
    lane.sending ??= sendAll(lane).finally(() => (lane.sending = undefined));
  }

  /** False where the bus does not answer. */
  async function compare(lane: Lane): Promise<boolean> {
    const newest = await bus.newest(liveChannel(lane.shard));
    if (newest === undefined) return false;
    const through = (newest && decodeDelta(newest)?.throughOffset) ?? -1;
    const all = [...lane.kept, ...lane.pieces];
    const isThere = ({ counts, throughOffset }: Piece) => counts === undefined && throughOffset <= through;
    lane.kept = all.filter(isThere).slice(-limits.liveKeptSlots);
    const missing = all.filter((piece) => !isThere(piece));
    lane.pieces.splice(0, lane.pieces.length, ...missing);
    lane.isInDoubt = false;
    return true;
  }

  function sendLater(lane: Lane): void {
    if (!isStopping) clock.after(limits.reconnectMaxMs, () => send(lane));
  }

  async function sendAll(lane: Lane): Promise<void> {
    if (lane.isInDoubt && !(await compare(lane))) return sendLater(lane);
    for (let piece = lane.pieces[0]; piece?.message !== undefined; piece = lane.pieces[0]) {
      const isOld = (piece.slot + 1) * limits.liveSlotMs < clock.now() - limits.liveHistoryMs;
      if (isOld) {
        drop(lane);
        continue;
      }
      if (!(await bus.append(liveChannel(lane.shard), piece.message))) {
        lane.isInDoubt = true;
        return sendLater(lane);
      }
      // While it waited, the oldest may have been dropped.
      if (lane.pieces[0] === piece) lane.pieces.shift();
      lane.told = piece.throughOffset;
      lane.kept.push(piece);
      if (lane.kept.length > limits.liveKeptSlots) lane.kept.shift();
    }
  }

  function take(lane: Lane, { header, offset, value }: LogRecord, outcomes: Uint8Array): void {
    let piece: Piece | undefined;
    let at = 0;
    for (let row = 0; row < header.rowCount; row++) {
      if (outcomes[row * 2] === Verdict.ACCEPTED) {
        piece ??= pieceFor(lane, Math.floor(header.appendTimeMs / limits.liveSlotMs), offset);
        piece.counts!.count(value, at + RowAt.adId, CountKind.CLICK, offset);
        piece.clicks += 1;
      }
      at = rowEnd(value, at);
    }
    if (piece !== undefined) piece.throughOffset = offset;
  }

  return {
    folded(shard, epoch, record, outcomes) {
      const { header, offset } = record;
      if (header.appendTimeMs < clock.now() - limits.liveHistoryMs) return;
      const lane = laneOf(shard);
      if (offset <= lane.met || (lane.told !== undefined && offset <= lane.told)) return;
      lane.met = offset;
      lane.epoch = epoch;
      try {
        take(lane, record, outcomes);
      } catch (error) {
        // The shard that counted has no part in this.
        logger.error({ shard, offset, error: messageOf(error) }, "a block is missing in live counts");
      }
    },
    get lost() {
      return lost;
    },
    async stop() {
      isStopping = true;
      const last = [...lanes.values()].map(async (lane) => {
        for (const piece of lane.pieces) close(lane, piece);
        await lane.sending;
        send(lane);
        await lane.sending;
      });
      await Promise.all(last);
    },
  };
}

function deltaOf(
  lane: Lane,
  piece: Piece,
  counts: WindowTable,
  limits: LivePublisherDeps["limits"],
): LiveDelta {
  // Of thousands of ads few are named: no object is made for the others.
  const places: number[] = [];
  const clicksAt: number[] = [];
  let ids: Uint32Array = new Uint32Array(0);
  counts.takeUnflushed(Infinity, (table, at, clicks) => {
    ids = table;
    places.push(at);
    clicksAt.push(clicks);
  });
  const idAt = (at: number) => idKey(ids[at + 1]!, ids[at]!);
  const most = limits.liveSlotMaxAds;
  const least = leastNamed(clicksAt, most);
  /** Of those that have just so many as the last one named. */
  let room = most - clicksAt.reduce((sum, clicks) => sum + (clicks > least ? 1 : 0), 0);
  const ads: AdClicks[] = [];
  const rest = new Map<IdKey, number>();
  for (const [index, at] of places.entries()) {
    const clicks = clicksAt[index]!;
    const advertiserId = idAt(at + 4);
    if (clicks > least || (clicks === least && room-- > 0))
      ads.push({ adId: idAt(at), campaignId: idAt(at + 2), advertiserId, clicks });
    else rest.set(advertiserId, (rest.get(advertiserId) ?? 0) + clicks);
  }
  const advertisers = [...rest].map(([advertiserId, clicks]) => ({ advertiserId, clicks }));
  if (advertisers.length > limits.liveSlotMaxAdvertisers) advertisers.sort((a, b) => b.clicks - a.clicks);
  const unnamed = advertisers.splice(limits.liveSlotMaxAdvertisers);
  return {
    shard: lane.shard,
    epoch: lane.epoch,
    fromOffset: piece.fromOffset,
    throughOffset: piece.throughOffset,
    second: Math.floor((piece.slot * limits.liveSlotMs) / 1_000),
    ads,
    advertisers,
    unnamed: unnamed.reduce((sum, { clicks }) => sum + clicks, 0),
  };
}

/** Clicks of the last ad that is named, where there are more than can be. */
function leastNamed(clicks: readonly number[], most: number): number {
  if (clicks.length <= most) return 0;
  return Uint32Array.from(clicks).sort()[clicks.length - most]!;
}
