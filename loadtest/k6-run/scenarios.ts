/**
 * The scenarios by name: what each needs prepared, and what must be counted after it. The traffic
 * itself stands in loadtest/k6/.
 */

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
  /** Share of them that are of one ad. */
  readonly hotShare: number;
  /** Issued after that ad was split. */
  readonly afterSplit: boolean;
}

export interface ScenarioKind {
  readonly what: string;
  readonly file: string;
  /** k6's scenarios whose latency is printed, in order. */
  readonly judged: readonly string[];
  tokens(offer: Offer): readonly TokenGroup[];
  /** Of this many clicks of the load (its warm-up apart), how many are the first of their link. */
  firsts(clicks: number): number;
}

/** Warm-up and load of an HTTP scenario, with room for the iterations that k6 adds at the edges. */
function linksFor({ rate, seconds, rampTo }: Offer): number {
  const most = Math.max(rate, rampTo);
  return Math.ceil((rate / 2) * 5 + ((rate + most) / 2 + most * 0.1) * seconds) + most + 10;
}

const spread = (count: number): TokenGroup => ({ count, hotShare: 0, afterSplit: false });

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
