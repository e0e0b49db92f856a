/**
 * RowGather: rows of one batch (or of one turn of the event loop) sorted by shard as they are
 * written. A protocol's server owns one, fills it without awaiting, and drains it into parts,
 * each of which becomes one submission.
 *
 *  G1 A part fits one block: at most `blockMaxRows` rows and `blockMaxBytes` bytes.
 *  G2 A drained part shares no memory with the gather, nor a byte with another part: the buffers
 *     stay here and warm, the rows leave as one exact copy, that the shards may stamp and keep.
 *  G3 Rows keep the order in which they were reserved, within a shard.
 */
import type { Limits } from "../core/limits.ts";

export interface Part {
  readonly shard: number;
  readonly rows: Buffer;
  readonly count: number;
  /** Which click of the batch each row is. */
  readonly clicks: Uint32Array;
}

/** Rows of one shard that wait to be drained. */
export interface Lane {
  readonly shard: number;
  rows: Buffer;
  /** Bytes of `rows` in use, the row last reserved included. */
  used: number;
  count: number;
  clicks: Uint32Array;
}

const FIRST_BYTES = 16 * 1024;
const FIRST_ROWS = 128;

export class RowGather {
  readonly #maxRows: number;
  readonly #maxBytes: number;
  readonly #lanes: (Lane | undefined)[] = [];
  #open: Lane[] = [];
  #full: Part[] = [];

  constructor(limits: Pick<Limits, "blockMaxRows" | "blockMaxBytes">) {
    this.#maxRows = limits.blockMaxRows;
    this.#maxBytes = limits.blockMaxBytes;
  }

  /** Makes room for a row of `bytes` in the shard's lane; the caller writes it at `used - bytes`. */
  reserve(shard: number, bytes: number, click: number): Lane {
    let lane = this.#lanes[shard];
    if (lane === undefined) lane = this.#addLane(shard);
    if (lane.used + bytes > this.#maxBytes || lane.count === this.#maxRows) {
      this.#full.push(cut(lane, Buffer.allocUnsafeSlow(lane.used)));
    } else if (lane.count === 0) {
      this.#open.push(lane);
    }
    if (lane.used + bytes > lane.rows.length) lane.rows = grown(lane.rows, lane.used, bytes);
    if (lane.count === lane.clicks.length) lane.clicks = grownClicks(lane.clicks);
    lane.clicks[lane.count++] = click;
    lane.used += bytes;
    return lane;
  }

  /** Everything reserved since the last drain. */
  drain(): Part[] {
    const parts = this.#full;
    // One piece of memory for all parts: a piece each cost more than its rows' copy.
    const rows = Buffer.allocUnsafeSlow(this.#open.reduce((sum, { used }) => sum + used, 0));
    let at = 0;
    for (const lane of this.#open) {
      const { used } = lane;
      parts.push(cut(lane, rows.subarray(at, at + used)));
      at += used;
    }
    this.#full = [];
    this.#open = [];
    return parts;
  }

  /** Forgets everything reserved since the last drain. */
  discard(): void {
    for (const lane of this.#open) empty(lane);
    this.#full = [];
    this.#open = [];
  }

  #addLane(shard: number): Lane {
    while (this.#lanes.length <= shard) this.#lanes.push(undefined);
    const rows = Buffer.allocUnsafeSlow(FIRST_BYTES);
    const lane: Lane = { shard, rows, used: 0, count: 0, clicks: new Uint32Array(FIRST_ROWS) };
    this.#lanes[shard] = lane;
    return lane;
  }
}

/** Leaves with its rows in `rows`, which are as long as them. */
function cut(lane: Lane, rows: Buffer): Part {
  lane.rows.copy(rows, 0, 0, lane.used);
  const part: Part = { shard: lane.shard, rows, count: lane.count, clicks: lane.clicks.slice(0, lane.count) };
  empty(lane);
  return part;
}

function empty(lane: Lane): void {
  lane.used = 0;
  lane.count = 0;
}

function grown(rows: Buffer, used: number, bytes: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(rows.length * 2, used + bytes));
  rows.copy(larger, 0, 0, used);
  return larger;
}

function grownClicks(clicks: Uint32Array): Uint32Array {
  const larger = new Uint32Array(clicks.length * 2);
  larger.set(clicks);
  return larger;
}
