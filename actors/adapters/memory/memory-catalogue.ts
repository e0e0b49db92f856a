/** A Catalogue that lives and ends with the process: for tests and the simulator. */
import type { IdKey } from "../../core/ids.ts";
import { settleAds } from "../../catalogue/ownership.ts";
import type { Ad, Catalogue } from "../../ports/catalogue.ts";

export function createMemoryCatalogue(): Catalogue {
  const ads = new Map<IdKey, Ad>();
  return {
    peek: (adId) => ads.get(adId),
    load: async (adIds) => {
      const found = new Map<IdKey, Ad>();
      for (const adId of adIds) {
        const ad = ads.get(adId);
        if (ad !== undefined) found.set(adId, ad);
      }
      return found;
    },
    put: async (given) => {
      for (const [key, ad] of settleAds(given, (key) => ads.get(key))) ads.set(key, ad);
    },
  };
}
