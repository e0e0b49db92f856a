/**
 * Who an ad belongs to never changes: counts are stored under advertiser and campaign, so a
 * moved ad would split its own history. Every catalogue adapter asks here (C2 of ports/catalogue.ts), and so
 * does the import, which leaves out what conflicts and writes the rest.
 */
import { AdtallyError } from "../core/errors.ts";
import { idKeyOf, type IdKey } from "../core/ids.ts";
import type { Ad } from "../ports/catalogue.ts";

/** Why `ad` cannot replace `existing`, or undefined. */
export function ownershipConflict(existing: Ad | undefined, ad: Ad): string | undefined {
  if (existing === undefined) return undefined;
  if (existing.campaignId === ad.campaignId && existing.advertiserId === ad.advertiserId) return undefined;
  return (
    `ad ${ad.adId} belongs to campaign ${existing.campaignId} of advertiser ${existing.advertiserId} ` +
    `and cannot move to campaign ${ad.campaignId} of advertiser ${ad.advertiserId}: ` +
    "give the new one an id of its own"
  );
}

/**
 * The ads to write, one for each id (the last stands), none of them conflicting.
 * @throws CATALOGUE_CONFLICT on the first ad that conflicts with what exists or with an earlier one
 */
export function settleAds(
  ads: readonly Ad[],
  existing: (key: IdKey) => Ad | undefined,
): ReadonlyMap<IdKey, Ad> {
  const settled = new Map<IdKey, Ad>();
  for (const ad of ads) {
    const key = idKeyOf(ad.adId);
    const conflict = ownershipConflict(settled.get(key) ?? existing(key), ad);
    if (conflict !== undefined) throw new AdtallyError("CATALOGUE_CONFLICT", conflict);
    settled.set(key, ad);
  }
  return settled;
}
