/**
 * What one caller is shown of a second or a minute: the advertisers that their key may see, of these
 * what they asked for, the ads with most clicks by name.
 *
 *  V1 An advertiser that the key may not see leaves no trace: neither a name, nor a click in a sum.
 */
import { idKeyOf, type IdKey } from "../core/ids.ts";
import type { LiveAd, MinuteEvent, SecondEvent } from "./event.ts";
import type { Second } from "./seconds.ts";

/** From a request's authorisation. */
export interface LiveAccess {
  readonly visible: (advertiserId: bigint) => boolean;
  /** All that `visible` is true of, where they are few: reads of the past are narrowed by it. */
  readonly advertisers?: readonly bigint[];
}

export const EVERY_ADVERTISER: LiveAccess = { visible: () => true };

/** Of what a key may see (keys/api-key.ts); one for each set, so that its views are shared. */
export const liveAccessOf = ((known: WeakMap<ReadonlySet<bigint>, LiveAccess>) => {
  return (advertisers: "all" | ReadonlySet<bigint>): LiveAccess => {
    if (advertisers === "all") return EVERY_ADVERTISER;
    let access = known.get(advertisers);
    if (access === undefined) {
      access = { visible: (advertiserId) => advertisers.has(advertiserId), advertisers: [...advertisers] };
      known.set(advertisers, access);
    }
    return access;
  };
})(new WeakMap());

export interface LiveFilter {
  readonly advertiserId?: bigint;
  readonly campaignId?: bigint;
  readonly adId?: bigint;
}

export interface LiveView {
  readonly access: LiveAccess;
  readonly filter: LiveFilter;
}

/** A minute's clicks of an ad, from the counts. */
export interface AdMinute {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  readonly clicks: number;
}

/** Views that show the same are one, so that what they are shown is made once. */
export function createViews(): (access: LiveAccess, filter: LiveFilter) => LiveView {
  const views = new WeakMap<LiveAccess["visible"], Map<string, WeakRef<LiveView>>>();
  return (access, filter) => {
    const own = views.get(access.visible) ?? new Map<string, WeakRef<LiveView>>();
    views.set(access.visible, own);
    const name = [filter.advertiserId, filter.campaignId, filter.adId].join(" ");
    const known = own.get(name)?.deref();
    if (known !== undefined) return known;
    for (const [other, ref] of own) if (ref.deref() === undefined) own.delete(other);
    const view = { access, filter };
    own.set(name, new WeakRef(view));
    return view;
  };
}

const toText = (seconds: number): string => new Date(seconds * 1_000).toISOString().replace(".000Z", "Z");

function named(ads: LiveAd[], most: number): readonly LiveAd[] {
  return ads.sort((a, b) => b.clicks - a.clicks || (a.ad_id < b.ad_id ? -1 : 1)).slice(0, most);
}

const sumOf = (ads: readonly LiveAd[]): number => ads.reduce((sum, { clicks }) => sum + clicks, 0);

export function secondEvent(second: Second, { access, filter }: LiveView, mostAds: number): SecondEvent {
  const wanted = {
    advertiser: filter.advertiserId === undefined ? undefined : idKeyOf(filter.advertiserId),
    campaign: filter.campaignId === undefined ? undefined : idKeyOf(filter.campaignId),
    ad: filter.adId === undefined ? undefined : idKeyOf(filter.adId),
  };
  const isByAd = wanted.campaign !== undefined || wanted.ad !== undefined;
  const seesAll = access === EVERY_ADVERTISER && wanted.advertiser === undefined && !isByAd;
  let clicks = seesAll ? second.unnamed : 0;
  const found: LiveAd[] = [];
  for (const [advertiserId, advertiser] of second.advertisers) {
    if (wanted.advertiser !== undefined && advertiserId !== wanted.advertiser) continue;
    if (!access.visible(BigInt(advertiserId))) continue;
    if (!isByAd) clicks += advertiser.clicks;
    for (const [adId, ad] of advertiser.ads) {
      if (wanted.ad !== undefined && adId !== wanted.ad) continue;
      if (wanted.campaign !== undefined && ad.campaignId !== wanted.campaign) continue;
      if (isByAd) clicks += ad.clicks;
      found.push(liveAd(adId, ad.campaignId, advertiserId, ad.clicks));
    }
  }
  const ads = named(found, mostAds);
  return {
    kind: "second",
    second: toText(second.second),
    clicks_per_second: clicks,
    ads,
    other_clicks: clicks - sumOf(ads),
    over: second.isOver,
  };
}

/** `later`: those of the minute's seconds that are told as seconds. */
export function minuteEvent(
  minute: number,
  counts: readonly AdMinute[],
  later: readonly Second[],
  { access, filter }: LiveView,
  mostAds: number,
): MinuteEvent {
  const told = new Map<IdKey, number>();
  for (const { advertisers } of later)
    for (const { ads } of advertisers.values())
      for (const [adId, ad] of ads) told.set(adId, (told.get(adId) ?? 0) + ad.clicks);
  const found = counts.flatMap((count) => {
    const isWanted =
      access.visible(count.advertiserId) &&
      (filter.advertiserId ?? count.advertiserId) === count.advertiserId &&
      (filter.campaignId ?? count.campaignId) === count.campaignId &&
      (filter.adId ?? count.adId) === count.adId;
    const clicks = count.clicks - (told.get(idKeyOf(count.adId)) ?? 0);
    return isWanted && clicks > 0 ? [liveAd(count.adId, count.campaignId, count.advertiserId, clicks)] : [];
  });
  const ads = named(found, mostAds);
  const clicks = sumOf(found);
  return {
    kind: "minute",
    minute: toText(minute * 60),
    until: toText(later[0]?.second ?? (minute + 1) * 60),
    clicks,
    ads,
    other_clicks: clicks - sumOf(ads),
  };
}

function liveAd(adId: IdKey, campaignId: IdKey, advertiserId: IdKey, clicks: number): LiveAd {
  return {
    ad_id: String(adId),
    campaign_id: String(campaignId),
    advertiser_id: String(advertiserId),
    clicks,
  };
}
