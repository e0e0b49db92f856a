/**
 * Integer mixing for routing, Bloom filters and hash tables: MurmurHash3's 32-bit finaliser
 * and block step (Appleby, public domain). Not for secrets: MACs are keyed BLAKE3.
 * Routing depends on these values for ever: a change of any constant is a new generation kind.
 */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function step(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

export function hash64(high: number, low: number, seed: number): number {
  return mix32(step(step(seed, high), low) ^ 8);
}

export function hash128(w0: number, w1: number, w2: number, w3: number, seed: number): number {
  return mix32(step(step(step(step(seed, w0), w1), w2), w3) ^ 16);
}

/** A uniform 32-bit hash onto 0 … n-1 without division's bias of small remainders (Lemire). */
export function reduce(hash: number, n: number): number {
  return Math.floor((hash / 4_294_967_296) * n);
}
