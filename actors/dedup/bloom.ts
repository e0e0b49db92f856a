/**
 * A Bloom filter over 128-bit ids given as two independent 32-bit hashes.
 *
 * Sizing: m = -n·ln(p) / ln(2)² bits and k = m/n·ln(2) probes (Bloom 1970); the k probes come
 * from two hashes, h1 + i·h2 (Kirsch and Mitzenmacher 2006: no loss of asymptotic accuracy).
 */
import { hash128 } from "../core/hash.ts";

export interface BloomParts {
  readonly capacity: number;
  /** Bits set and asked for an id. */
  readonly probes: number;
  /** Ids added. */
  readonly count: number;
  readonly words: Uint32Array;
}

export interface BloomFilter extends BloomParts {
  readonly byteLength: number;
  add(h1: number, h2: number): void;
  mayContain(h1: number, h2: number): boolean;
}

const SEED_1 = 0x0b100f11;
const SEED_2 = 0x0b100f12;

/** The two hashes of an id that its filters are told: stored filters hold them (stored-filters.ts). */
export function firstHash(w0: number, w1: number, w2: number, w3: number): number {
  return hash128(w0, w1, w2, w3, SEED_1);
}

export function secondHash(w0: number, w1: number, w2: number, w3: number): number {
  return hash128(w0, w1, w2, w3, SEED_2) | 1;
}

const LN2_SQUARED = Math.LN2 * Math.LN2;

export function createBloom(capacity: number, falsePositiveRate: number): BloomFilter {
  const bitCount = Math.max(64, Math.ceil((-capacity * Math.log(falsePositiveRate)) / LN2_SQUARED));
  const words = new Uint32Array(Math.ceil(bitCount / 32));
  const probes = Math.max(1, Math.round(((words.length * 32) / capacity) * Math.LN2));
  return restoreBloom({ capacity, probes, count: 0, words });
}

/** Goes on with the parts of an earlier filter; `words` are its own from here on. */
export function restoreBloom(parts: BloomParts): BloomFilter {
  const { capacity, probes, words } = parts;
  const bits = words.length * 32;
  let { count } = parts;
  return {
    capacity,
    probes,
    words,
    byteLength: words.byteLength,
    get count() {
      return count;
    },
    add(h1, h2) {
      count += 1;
      let h = h1;
      for (let i = 0; i < probes; i++) {
        const bit = ((h >>> 0) * bits) / 4_294_967_296;
        const index = bit >>> 0;
        words[index >>> 5]! |= 1 << (index & 31);
        h = (h + h2) | 0;
      }
    },
    mayContain(h1, h2) {
      let h = h1;
      for (let i = 0; i < probes; i++) {
        const index = (((h >>> 0) * bits) / 4_294_967_296) >>> 0;
        if ((words[index >>> 5]! & (1 << (index & 31))) === 0) return false;
        h = (h + h2) | 0;
      }
      return true;
    },
  };
}
