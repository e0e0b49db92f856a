/**
 * The last seconds with what was counted in each, from the shards' deltas: bounded in time, and in
 * ads and advertisers a second. Pure: times come in as arguments. Owned by one feed.
 *
 *  S1 Each block is added once: a delta whose offsets were met before adds nothing. One that was
 *     met in part is left out whole, so a sum may be too low and is never too high.
 *  S2 Seconds follow one another without a gap, from `first` on; each is told over once its time and
 *     `liveSettleMs` have passed, and changes after that are changes all the same.
 *  S3 Each change has a version of its own, that only rises; seconds are kept in its order.
 */
import type { IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { LiveDelta } from "./delta.ts";

export interface AdvertiserSecond {
  /** Those of ads that are not told apart included. */
  clicks: number;
  readonly ads: Map<IdKey, { readonly campaignId: IdKey; clicks: number }>;
}

export interface Second {
  readonly second: number;
  version: number;
  isOver: boolean;
  /** Ads told apart. */
  adCount: number;
  readonly advertisers: Map<IdKey, AdvertiserSecond>;
  /** Clicks of advertisers that are not told apart. */
  unnamed: number;
}

type SecondsLimits = Pick<Limits, "liveHistoryMs" | "liveSettleMs" | "liveSecondMaxAds" | "clockSkewMs">;

export class LiveSeconds {
  readonly #limits: SecondsLimits;
  /** In the order of their versions. */
  readonly #seconds = new Map<number, Second>();
  readonly #changed = new Set<number>();
  readonly #met = new Map<number, number>();
  #version = 0;
  #first: number;
  /** The next to be over. */
  #nextOver: number;

  /** `firstMs`: since when deltas come, or are told of the past. */
  constructor(limits: SecondsLimits, firstMs: number) {
    this.#limits = limits;
    this.#first = Math.floor(firstMs / 1_000);
    this.#nextOver = this.#first;
  }

  /** The earliest second that is kept. */
  get first(): number {
    return this.#first;
  }

  get version(): number {
    return this.#version;
  }

  get(second: number): Second | undefined {
    return this.#seconds.get(second);
  }

  /** False where it added nothing. */
  add(delta: LiveDelta, nowMs: number): boolean {
    const met = this.#met.get(delta.shard) ?? -1;
    if (delta.throughOffset <= met) return false;
    this.#met.set(delta.shard, delta.throughOffset);
    const isAhead = delta.second * 1_000 > nowMs + this.#limits.clockSkewMs;
    if (delta.fromOffset <= met || delta.second < this.#first || isAhead) return false;
    const second = this.#secondAt(delta.second);
    for (const { adId, advertiserId, campaignId, clicks } of delta.ads) {
      const advertiser = this.#advertiserOf(second, advertiserId, clicks);
      if (advertiser === undefined) continue;
      const ad = advertiser.ads.get(adId);
      if (ad !== undefined) ad.clicks += clicks;
      else if (second.adCount < this.#limits.liveSecondMaxAds) {
        second.adCount += 1;
        advertiser.ads.set(adId, { campaignId, clicks });
      }
    }
    for (const { advertiserId, clicks } of delta.advertisers)
      this.#advertiserOf(second, advertiserId, clicks);
    second.unnamed += delta.unnamed;
    this.#changed.add(delta.second);
    return true;
  }

  /** Gives what changed its version, marks what is over, forgets what is old. True where there is news. */
  advance(nowMs: number): boolean {
    const { liveHistoryMs, liveSettleMs } = this.#limits;
    const oldest = Math.floor((nowMs - liveHistoryMs) / 1_000);
    if (oldest > this.#first) {
      for (const second of this.#seconds.keys()) if (second < oldest) this.#seconds.delete(second);
      for (const second of this.#changed) if (second < oldest) this.#changed.delete(second);
      this.#first = oldest;
      this.#nextOver = Math.max(this.#nextOver, oldest);
    }
    for (; (this.#nextOver + 1) * 1_000 + liveSettleMs <= nowMs; this.#nextOver += 1) {
      this.#secondAt(this.#nextOver).isOver = true;
      this.#changed.add(this.#nextOver);
    }
    if (this.#changed.size === 0) return false;
    for (const at of [...this.#changed].sort((a, b) => a - b)) {
      const second = this.#seconds.get(at)!;
      second.version = this.#version += 1;
      this.#seconds.delete(at);
      this.#seconds.set(at, second);
    }
    this.#changed.clear();
    return true;
  }

  /** The one that changed first after this version. */
  after(version: number): Second | undefined {
    if (version >= this.#version) return undefined;
    for (const second of this.#seconds.values()) if (second.version > version) return second;
    return undefined;
  }

  #secondAt(at: number): Second {
    let second = this.#seconds.get(at);
    if (second === undefined) {
      second = { second: at, version: 0, isOver: false, adCount: 0, advertisers: new Map(), unnamed: 0 };
      this.#seconds.set(at, second);
    }
    return second;
  }

  /** With the clicks added; undefined where it has no place of its own. */
  #advertiserOf(second: Second, advertiserId: IdKey, clicks: number): AdvertiserSecond | undefined {
    let advertiser = second.advertisers.get(advertiserId);
    if (advertiser === undefined) {
      if (second.advertisers.size >= this.#limits.liveSecondMaxAds) {
        second.unnamed += clicks;
        return undefined;
      }
      advertiser = { clicks: 0, ads: new Map() };
      second.advertisers.set(advertiserId, advertiser);
    }
    advertiser.clicks += clicks;
    return advertiser;
  }
}
