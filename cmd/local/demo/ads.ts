/** The demo's advertisers, campaigns and ads. Ids are stable: what was clicked stays theirs. */
export interface DemoAd {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  readonly advertiser: string;
  readonly title: string;
  readonly line: string;
  /** Stands in for a picture. */
  readonly art: string;
}

interface DemoAdvertiser {
  readonly advertiserId: bigint;
  readonly advertiser: string;
  /** Title, line and picture of each ad; two ads make a campaign. */
  readonly ads: readonly (readonly [title: string, line: string, art: string])[];
}

const ADVERTISERS: readonly DemoAdvertiser[] = [
  {
    advertiserId: 1n,
    advertiser: "Nordlicht Outdoor",
    ads: [
      ["Boots that outlast winter", "Waterproof to the ankle, warm to minus twenty.", "🥾"],
      ["A tent for two and the rain", "Pitched in four minutes. Dry for four seasons.", "⛺"],
      ["The jacket for the last tram", "Light enough to forget, warm enough to wait.", "🧥"],
      ["Maps that need no battery", "Forty valleys, folded.", "🗺️"],
    ],
  },
  {
    advertiserId: 2n,
    advertiser: "Kaffeewerk",
    ads: [
      ["Roasted on Tuesday", "In your cup by Thursday.", "☕"],
      ["The grinder your beans deserve", "Forty-eight steps from fine to French press.", "⚙️"],
      ["Decaf without apology", "All of the taste at ten in the evening.", "🌙"],
      ["Cold brew, by the litre", "Eighteen hours slow. Gone in one afternoon.", "🧊"],
    ],
  },
  {
    advertiserId: 3n,
    advertiser: "Volt Cycles",
    ads: [
      ["Up the hill in a suit", "The e-bike that arrives before the sweat.", "🚲"],
      ["A bell they will hear", "Ninety decibels of good manners.", "🔔"],
      ["Lights for November", "Seen from six hundred metres.", "🔦"],
      ["Carry two children, or one week", "The cargo bike that replaces the second car.", "📦"],
    ],
  },
];

const FIRST_AD_ID = 1001;
const ADS_A_CAMPAIGN = 2;

export const DEMO_ADS: readonly DemoAd[] = ADVERTISERS.flatMap(({ advertiserId, advertiser, ads }, at) =>
  ads.map(([title, line, art], n) => ({
    adId: BigInt(FIRST_AD_ID + at * ads.length + n),
    campaignId: advertiserId * 10n + BigInt(Math.floor(n / ADS_A_CAMPAIGN) + 1),
    advertiserId,
    advertiser,
    title,
    line,
    art,
  })),
);

export function demoAdOf(adId: bigint): DemoAd | undefined {
  return DEMO_ADS.find((ad) => ad.adId === adId);
}
