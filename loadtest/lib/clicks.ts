/** Signed clicks of a load test, the same ads and repeats for one seed, whoever carries them. */
import { randomFillSync } from "node:crypto";
import { seededRandom } from "../../actors/sim/random.ts";
import { createSigner } from "./tokens.ts";

export const USER_AGENT = Buffer.from(
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
);
/** Of the impressions signed so far, those that a repeat is picked from. */
const MOST_KNOWN = 200_000;
const IMPRESSIONS_WITHIN_MS = 60_000;
const NOISE_BYTES = 10;
const NOISE_CLICKS = 1_000;

export interface ClicksWanted {
  /** Holds the token keys. */
  readonly dataDir: string;
  readonly adIds: readonly bigint[];
  /** Share of the clicks that repeat an earlier impression. */
  readonly repeats: number;
  readonly seed: number;
  /** One ad that takes this share of the impressions; the rest is spread over all. */
  readonly hot?: { readonly adId: bigint; readonly share: number } | undefined;
}

export interface SignedClick {
  readonly token: Buffer;
  readonly ip: Buffer;
  readonly isRepeat: boolean;
}

/** Makes the next click at each call. */
export async function createClickMaker(wanted: ClicksWanted): Promise<() => SignedClick> {
  const { adIds, dataDir, hot, repeats } = wanted;
  const random = seededRandom(wanted.seed);
  const signer = await createSigner(dataDir);
  const noise = Buffer.alloc(NOISE_BYTES * NOISE_CLICKS);
  let noiseAt = noise.length;
  const known: Buffer[] = [];
  const nowMs = Date.now();
  const next = (): Buffer => {
    if (noiseAt === noise.length) {
      randomFillSync(noise);
      noiseAt = 0;
    }
    const bytes = Buffer.from(noise.subarray(noiseAt, (noiseAt += NOISE_BYTES)));
    const adId = hot !== undefined && random.chance(hot.share) ? hot.adId : random.pick(adIds);
    const { token } = signer.sign(adId, nowMs - random.below(IMPRESSIONS_WITHIN_MS), bytes);
    if (known.length < MOST_KNOWN) known.push(token);
    else known[random.below(known.length)] = token;
    return token;
  };
  return () => {
    const isRepeat = known.length > 0 && random.chance(repeats);
    const token = isRepeat ? random.pick(known) : next();
    const ip = Buffer.from([10, random.below(256), random.below(256), random.below(256)]);
    return { token, ip, isRepeat };
  };
}
