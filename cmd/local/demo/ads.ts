/** The demo's advertisers, campaigns and ads. Ids are stable: what was clicked stays theirs. */
export interface DemoAd {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  readonly advertiser: string;
  readonly title: string;
  readonly line: string;
  /** Stands in for a picture: the `d` of an SVG path in a 48 × 32 box, drawn as a line. */
  readonly drawing: string;
}

interface DemoAdvertiser {
  readonly advertiserId: bigint;
  readonly advertiser: string;
  readonly drawing: string;
  /** Two ads make a campaign. */
  readonly ads: readonly (readonly [title: string, line: string])[];
}

const ADVERTISERS: readonly DemoAdvertiser[] = [
  {
    advertiserId: 1n,
    advertiser: "Nordlicht Outdoor",
    drawing: "M2 30 18 6l8 12 5-7 15 19zM14 12l4 4 4-4",
    ads: [
      ["Boots that outlast winter", "Waterproof to the ankle, warm to minus twenty."],
      ["A tent for two and the rain", "Pitched in four minutes. Dry for four seasons."],
      ["The jacket for the last tram", "Light enough to forget, warm enough to wait."],
      ["Maps that need no battery", "Forty valleys, folded."],
    ],
  },
  {
    advertiserId: 2n,
    advertiser: "Kaffeewerk",
    drawing: "M8 12h24v10a8 8 0 0 1-8 8h-8a8 8 0 0 1-8-8zM32 14h4a4 4 0 0 1 0 8h-4M15 2v5M22 2v5",
    ads: [
      ["Roasted on Tuesday", "In your cup by Thursday."],
      ["The grinder your beans deserve", "Forty-eight steps from fine to French press."],
      ["Decaf without apology", "All of the taste at ten in the evening."],
      ["Cold brew, by the litre", "Eighteen hours slow. Gone in one afternoon."],
    ],
  },
  {
    advertiserId: 3n,
    advertiser: "Volt Cycles",
    drawing:
      "M12 30a8 8 0 1 1 0-16 8 8 0 0 1 0 16zM36 30a8 8 0 1 1 0-16 8 8 0 0 1 0 16zM12 22l7-14h12l5 14M19 8l6 14 6-14M25 22H12",
    ads: [
      ["Up the hill in a suit", "The e-bike that arrives before the sweat."],
      ["A bell they will hear", "Ninety decibels of good manners."],
      ["Lights for November", "Seen from six hundred metres."],
      ["Carry two children, or one week", "The cargo bike that replaces the second car."],
    ],
  },
];

const FIRST_AD_ID = 1001;
const ADS_A_CAMPAIGN = 2;

export const DEMO_ADS: readonly DemoAd[] = ADVERTISERS.flatMap(
  ({ advertiserId, advertiser, drawing, ads }, at) =>
    ads.map(([title, line], n) => ({
      adId: BigInt(FIRST_AD_ID + at * ads.length + n),
      campaignId: advertiserId * 10n + BigInt(Math.floor(n / ADS_A_CAMPAIGN) + 1),
      advertiserId,
      advertiser,
      title,
      line,
      drawing,
    })),
);

export function demoAdOf(adId: bigint): DemoAd | undefined {
  return DEMO_ADS.find((ad) => ad.adId === adId);
}

/** Each advertiser's id and name. */
export const DEMO_ADVERTISERS: ReadonlyMap<bigint, string> = new Map(
  ADVERTISERS.map(({ advertiserId, advertiser }) => [advertiserId, advertiser]),
);
