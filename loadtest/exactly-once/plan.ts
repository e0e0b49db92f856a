/**
 * What the exactly-once test will send: every click with its kind, its ad, its ways and its
 * repeats, drawn from one seed before anything is sent.
 */
import { randomBytes } from "node:crypto";
import { formatUuid } from "../../actors/core/ids.ts";
import { uuidV7 } from "../../actors/sim/clicks.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import type { TestAd } from "../lib/ads.ts";
import { forged, impressionIdOf, issueImpressions, type Impression, type Signer } from "../lib/tokens.ts";

export const KINDS = ["valid", "forged", "expired", "late"] as const;
export type Kind = (typeof KINDS)[number];
export type Way = "http" | "stream" | "submit-click" | "submit-clicks";

const MINUTE_MS = 60_000;
const SHARES: Readonly<Record<Exclude<Kind, "valid">, number>> = { forged: 0.02, expired: 0.01, late: 0.01 };
const REPEATED_AT_ONCE = 0.05;
const REPEATED_LATER = 0.05;
/** Of the valid clicks over gRPC. */
const BY_CLICK_ID = 0.1;
/** Clients that do not ask again when no answer came: their clicks may count or not. */
const WALKS_AWAY = 0.05;
/** Clicks over gRPC that say when the user clicked, up to this long ago; the rest leave it to the gateway. */
const OWN_TIME = 0.5;
const OWN_TIME_MOST_MS = 90_000;

export interface PlannedSend {
  readonly way: Way;
  readonly afterMs: number;
  /** How long ago the user clicked, as the client says; undefined: it says nothing. */
  readonly clickedAgoMs: number | undefined;
}

export interface PlannedClick {
  readonly kind: Kind;
  readonly adId: bigint;
  /** Text of the UUID that a count or a dead letter of it must carry. */
  readonly impressionId: string;
  readonly token: Buffer | undefined;
  readonly clickId: Buffer | undefined;
  readonly sends: readonly PlannedSend[];
  readonly walksAway: boolean;
}

export interface PlanOptions {
  readonly clicks: number;
  /** The longest time after which a click is repeated. */
  readonly repeatMostMs: number;
  /** Of all clicks, the first ad's; 0 where nothing is said. */
  readonly hotShare?: number;
}

export interface PlanDeps {
  readonly url: string;
  readonly ads: readonly TestAd[];
  readonly signer: Signer;
  readonly random: SeededRandom;
  readonly nowMs: number;
}

function kindOf(random: SeededRandom): Kind {
  let left = random.next();
  for (const [kind, share] of Object.entries(SHARES) as [Exclude<Kind, "valid">, number][]) {
    left -= share;
    if (left < 0) return kind;
  }
  return "valid";
}

function grpcWay(random: SeededRandom): Way {
  const draw = random.next();
  if (draw < 0.8) return "stream";
  return draw < 0.85 ? "submit-click" : "submit-clicks";
}

/** A few ads take most clicks, as ads do; a hot one takes its share of all. */
function adOf(ads: readonly TestAd[], random: SeededRandom, hotShare: number): bigint {
  if (hotShare > 0 && random.chance(hotShare)) return ads[0]!.adId;
  return ads[Math.floor(ads.length * random.next() ** 2)]!.adId;
}

function clickedAgo(kind: Kind, way: Way, random: SeededRandom): number | undefined {
  if (kind === "late") return 5 * MINUTE_MS + 1_000 + random.below(10 * MINUTE_MS);
  if (way === "http" || kind !== "valid" || !random.chance(OWN_TIME)) return undefined;
  return random.below(OWN_TIME_MOST_MS);
}

export async function makePlan(options: PlanOptions, deps: PlanDeps): Promise<PlannedClick[]> {
  const { ads, random, signer, nowMs } = deps;
  const drafts = Array.from({ length: options.clicks }, () => {
    const kind = kindOf(random);
    const overHttp = kind !== "late" && random.chance(0.5);
    return {
      kind,
      overHttp,
      adId: adOf(ads, random, options.hotShare ?? 0),
      byId: !overHttp && random.chance(BY_CLICK_ID),
    };
  });

  const wanted = new Map<bigint, number>();
  for (const { adId } of drafts) wanted.set(adId, (wanted.get(adId) ?? 0) + 1);
  const issued = new Map<bigint, Impression[]>();
  for (const [adId, count] of wanted) issued.set(adId, await issueImpressions(deps.url, adId, count));

  /** The impression of a click: what the program issued, or one that lies in the past. */
  function impressionOf(kind: Kind, adId: bigint): Impression {
    // An SDK's click time may lie before the impression by no more than the clocks differ.
    if (kind === "late") return signer.sign(adId, nowMs - 20 * MINUTE_MS, randomBytes(10));
    const expiredMs = nowMs - 121 * MINUTE_MS - random.below(60 * MINUTE_MS);
    if (kind === "expired") return signer.sign(adId, expiredMs, randomBytes(10));
    return issued.get(adId)!.pop()!;
  }

  return drafts.map(({ kind, overHttp, adId, byId }): PlannedClick => {
    const firstWay = overHttp ? "http" : grpcWay(random);
    const way = (): Way => (kind === "late" || random.chance(0.5) ? grpcWay(random) : "http");
    const send = (by: Way, afterMs: number): PlannedSend => ({
      way: by,
      afterMs,
      clickedAgoMs: clickedAgo(kind, by, random),
    });
    const sends = [send(firstWay, 0)];
    const useId = byId && kind === "valid";
    const again = useId ? () => grpcWay(random) : way;
    const draw = random.next();
    if (draw < REPEATED_AT_ONCE) sends.push(send(again(), 0));
    else if (draw < REPEATED_AT_ONCE + REPEATED_LATER) {
      sends.push(send(again(), Math.min(options.repeatMostMs, 1_000 + random.below(59_000))));
    }
    const walksAway = random.chance(WALKS_AWAY);
    const common = { kind, adId, sends, walksAway };
    if (useId) {
      const clickId = uuidV7(nowMs, randomBytes(10));
      return { ...common, impressionId: formatUuid(clickId), token: undefined, clickId };
    }
    const impression = impressionOf(kind, adId);
    const token = kind === "forged" ? forged(impression.token, random) : impression.token;
    return { ...common, impressionId: impressionIdOf(token), token, clickId: undefined };
  });
}
