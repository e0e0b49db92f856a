/**
 * What a host's shards are offered: how many clicks, and of which ads most. Told of each block as
 * it is cut, so of every click once, whatever its verdict will be (load is what a split divides),
 * and not of what a replay folds again. One sketch a shard, of bounded memory.
 *
 * Rows of large blocks are sampled, by gaps of random length: a sketch that met millions of ads
 * would else cost more than the verdicts, and a gap of one length would fall in step with clicks
 * that come in turn. A block gives some 32 samples, or all its rows; more where that would be less
 * than one row in 16.
 *
 *  L1 The number of clicks is exact.
 *  L2 An ad's rate is off by its `error` at the most: the sketch's (H1, H2 of space-saving.ts), and
 *     three standard deviations of the sample (√(16 × its clicks)) where there was one. At 10,000
 *     clicks a second that is 4 % of ten seconds' count.
 *  L3 A shard that is offered nothing any more is forgotten.
 */
import { rowEnd, RowAt } from "../block/row.ts";
import { idKey } from "../core/ids.ts";
import { createTopRates, type AdRate, type TopRates } from "../hot-ads/top-rates.ts";
import type { Clock, RandomBytes } from "../runtime/clock.ts";

export interface HostLoad {
  /** `rows`: `count` rows of a block, as decided or not. */
  offered(shard: number, rows: Buffer, count: number): void;
  /** Offered since the beginning. */
  readonly clicks: number;
  /** Of all shards, the largest first. */
  topAds(most: number): readonly AdRate[];
}

export interface HostLoadDeps {
  readonly clock: Pick<Clock, "monotonic">;
  readonly random: RandomBytes;
}

/** Rates are of the last whole span of so long. */
export const LOAD_SPAN_MS = 10_000;
/** A shard's ads that can be told apart: one with more than a 64th of its clicks is never missed. */
const COUNTERS = 64;
const STRIDE_MAX = 16;
const SAMPLES_LEAST_LOG2 = 5;
const SIGMAS = 3;

interface ShardLoad {
  readonly rates: TopRates;
  strideMax: number;
  /** Rows to the next sample. */
  gap: number;
  lastMs: number;
}

export function createHostLoad({ clock, random }: HostLoadDeps): HostLoad {
  const shards = new Map<number, ShardLoad>();
  let clicks = 0;
  let dice = random(4).readUInt32LE();

  function loadOf(shard: number): ShardLoad {
    let load = shards.get(shard);
    if (load === undefined) {
      load = { rates: createTopRates(COUNTERS, LOAD_SPAN_MS), strideMax: 1, gap: 0, lastMs: 0 };
      shards.set(shard, load);
    }
    return load;
  }

  /** 0 to 2 × stride - 2, so a stride from sample to sample on average. */
  function randomGap(stride: number): number {
    // Numerical Recipes' generator; its high bits are the good ones.
    dice = (Math.imul(dice, 1_664_525) + 1_013_904_223) >>> 0;
    return (dice >>> 16) % (2 * stride - 1);
  }

  /** L2 */
  function withSampling({ adId, clicksPerSecond, error }: AdRate, stride: number): AdRate {
    if (stride === 1) return { adId, clicksPerSecond, error };
    const perSpan = LOAD_SPAN_MS / 1_000;
    const sampling = (SIGMAS * Math.sqrt(stride * clicksPerSecond * perSpan)) / perSpan;
    return { adId, clicksPerSecond, error: Math.min(clicksPerSecond, error + sampling) };
  }

  return {
    offered(shard, rows, count) {
      clicks += count;
      const nowMs = clock.monotonic();
      const load = loadOf(shard);
      const stride = Math.min(STRIDE_MAX, Math.max(1, count >> SAMPLES_LEAST_LOG2));
      if (stride > load.strideMax) load.strideMax = stride;
      load.lastMs = nowMs;
      let { gap } = load;
      if (stride === 1) gap = 0;
      let at = 0;
      for (let row = 0; row < count && at >= 0; row++) {
        if (gap > 0) gap -= 1;
        else {
          const adAt = at + RowAt.adId;
          load.rates.add(idKey(rows.readUInt32LE(adAt + 4), rows.readUInt32LE(adAt)), stride, nowMs);
          if (stride > 1) gap = randomGap(stride);
        }
        at = rowEnd(rows, at);
      }
      load.gap = gap;
    },
    get clicks() {
      return clicks;
    },
    topAds(most) {
      const nowMs = clock.monotonic();
      const all: AdRate[] = [];
      for (const [shard, { rates, strideMax, lastMs }] of shards) {
        if (nowMs - lastMs > 2 * LOAD_SPAN_MS) shards.delete(shard);
        else for (const rate of rates.rates(nowMs, COUNTERS)) all.push(withSampling(rate, strideMax));
      }
      return all.sort((a, b) => b.clicksPerSecond - a.clicksPerSecond).slice(0, most);
    },
  };
}
