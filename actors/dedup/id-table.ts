/**
 * An exact table from 128-bit ids to the log position of the row that counted them: open
 * addressing over typed arrays, linear probing, at most half full. 28 bytes an entry and no
 * object, so that a few hundred thousand ids cost the garbage collector nothing.
 *
 * Two uses: the ids since a shard's state was last saved, and the ids of the block in the
 * making. Entries are never removed one by one, only all at once.
 */
import { hash128 } from "../core/hash.ts";

const SEED = 0x1d7ab1e5;

/** Where a row stands in its partition: offsets below 2^53, row numbers below 2^32. */
export interface LogPosition {
  readonly offset: number;
  readonly row: number;
}

export class IdTable {
  #mask: number;
  /** Four words an entry, in slot order; `#used` tells a slot's state. */
  #words: Uint32Array;
  #offsets: Float64Array;
  #rows: Uint32Array;
  #used: Uint8Array;
  #size = 0;

  constructor(expected: number) {
    const slots = 1 << Math.max(4, Math.ceil(Math.log2(expected * 2)));
    this.#mask = slots - 1;
    this.#words = new Uint32Array(slots * 4);
    this.#offsets = new Float64Array(slots);
    this.#rows = new Uint32Array(slots);
    this.#used = new Uint8Array(slots);
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of an id, or -1. */
  find(w0: number, w1: number, w2: number, w3: number): number {
    const slot = this.#probe(w0, w1, w2, w3);
    return this.#used[slot] === 1 ? slot : -1;
  }

  positionAt(slot: number): LogPosition {
    return { offset: this.#offsets[slot]!, row: this.#rows[slot]! };
  }

  /** False, and nothing changed, when the id is there already. */
  add(w0: number, w1: number, w2: number, w3: number, offset: number, row: number): boolean {
    if (this.#size * 2 > this.#mask) this.#grow();
    const slot = this.#probe(w0, w1, w2, w3);
    if (this.#used[slot] === 1) return false;
    const at = slot * 4;
    this.#words[at] = w0;
    this.#words[at + 1] = w1;
    this.#words[at + 2] = w2;
    this.#words[at + 3] = w3;
    this.#offsets[slot] = offset;
    this.#rows[slot] = row;
    this.#used[slot] = 1;
    this.#size += 1;
    return true;
  }

  clear(): void {
    if (this.#size === 0) return;
    this.#used.fill(0);
    this.#size = 0;
  }

  forEach(
    visit: (w0: number, w1: number, w2: number, w3: number, offset: number, row: number) => void,
  ): void {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#used[slot] !== 1) continue;
      const at = slot * 4;
      visit(
        this.#words[at]!,
        this.#words[at + 1]!,
        this.#words[at + 2]!,
        this.#words[at + 3]!,
        this.#offsets[slot]!,
        this.#rows[slot]!,
      );
    }
  }

  #probe(w0: number, w1: number, w2: number, w3: number): number {
    let slot = hash128(w0, w1, w2, w3, SEED) & this.#mask;
    while (this.#used[slot] === 1) {
      const at = slot * 4;
      if (
        this.#words[at + 3] === w3 &&
        this.#words[at + 2] === w2 &&
        this.#words[at + 1] === w1 &&
        this.#words[at] === w0
      ) {
        return slot;
      }
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #grow(): void {
    const larger = new IdTable(this.#mask + 1);
    this.forEach((w0, w1, w2, w3, offset, row) => larger.add(w0, w1, w2, w3, offset, row));
    this.#mask = larger.#mask;
    this.#words = larger.#words;
    this.#offsets = larger.#offsets;
    this.#rows = larger.#rows;
    this.#used = larger.#used;
  }
}
