/**
 * The scenarios by name: what each needs prepared, and what must be counted after it. The traffic
 * itself stands in loadtest/k6/.
 */

/** As loadtest/k6/lib/traffic.ts has it. */
const WARM_UP_SECONDS = 5;

export interface Offer {
  /** Clicks a second. */
  readonly rate: number;
  readonly seconds: number;
  /** 0, or the rate to which it is raised. */
  readonly rampTo: number;
}

/** A stretch of tokens, in the order in which the scenario takes them. */
export interface TokenGroup {
  readonly count: number;
  /** Four in five are of this ad, the rest is spread; undefined: all of it is. */
  readonly hotAd?: bigint;
}

export interface ScenarioKind {
  readonly what: string;
  readonly file: string;
  /** k6's scenarios whose latency is printed, in order. */
  readonly judged: readonly string[];
  /** k6's scenarios whose CPU time is told apart: they follow each other, and tell when (click_at_ms). */
  readonly phases?: readonly string[];
  tokens(offer: Offer): readonly TokenGroup[];
  /** Ways of the ads that must be split before the run: it needs a cluster of its own. */
  readonly splits?: ReadonlyMap<number, number>;
  /** Of this many clicks of the load (its warm-up apart), how many are the first of their link. */
  firsts(clicks: number): number;
}

/** Warm-up and load of an HTTP scenario, with room for the iterations that k6 adds at the edges. */
function linksFor({ rate, seconds, rampTo }: Offer): number {
  const most = Math.max(rate, rampTo);
  return Math.ceil((rate / 2) * WARM_UP_SECONDS + ((rate + most) / 2 + most * 0.1) * seconds) + most + 10;
}

const spread = (count: number): TokenGroup => ({ count });

/** The first two of loadtest/lib/ads.ts: one that lives on one shard, and one that is split. */
const WHOLE_AD = 1_001;
const SPLIT_AD = 1_002;
const SPLIT_WAYS = 4;

const HOT_PHASES = ["spread", "hot_split", "spread_again", "hot_split_again", "hot"];

/** loadtest/k6/hot-ad.ts takes these stretches one after the other. */
function hotStretches({ rate, seconds }: Offer): readonly TokenGroup[] {
  const each = rate * Math.ceil(seconds / HOT_PHASES.length) + rate;
  const warmUp = Math.ceil((rate / 2) * WARM_UP_SECONDS) + 1;
  const hot = (ad: number): TokenGroup => ({ count: each, hotAd: BigInt(ad) });
  return [spread(warmUp + each), hot(SPLIT_AD), spread(each), hot(SPLIT_AD), hot(WHOLE_AD)];
}

export const SCENARIOS: Readonly<Record<string, ScenarioKind>> = {
  "http-clicks": {
    what: "browsers follow signed links, at a rate that is held, or raised to the knee with --ramp-to",
    file: "http-clicks.ts",
    judged: ["load"],
    tokens: (offer) => [spread(linksFor(offer))],
    firsts: (clicks) => clicks,
  },
  "grpc-clicks": {
    what: "SDKs: a tenth of the clicks one by one, the rest in batches of 100 on streams",
    file: "grpc-clicks.ts",
    judged: ["unary", "streams"],
    tokens: (offer) => [spread(linksFor(offer) + offer.rate)],
    firsts: (clicks) => clicks,
  },
  "hot-ad": {
    what: "the same traffic spread, with 80 % on an ad that is split, both again, and not split (on a cluster)",
    file: "hot-ad.ts",
    judged: HOT_PHASES,
    phases: HOT_PHASES,
    tokens: hotStretches,
    firsts: (clicks) => clicks,
    splits: new Map([[SPLIT_AD, SPLIT_WAYS]]),
  },
  replays: {
    what: "half of all clicks are repeats of links clicked a second before",
    file: "replays.ts",
    judged: ["load"],
    tokens: (offer) => [spread(linksFor(offer))],
    firsts: (clicks) => Math.ceil(clicks / 2),
  },
  mixed: {
    what: "clicks, reports and impressions together",
    file: "mixed.ts",
    judged: ["clicks"],
    tokens: (offer) => [spread(linksFor(offer))],
    firsts: (clicks) => clicks,
  },
};
