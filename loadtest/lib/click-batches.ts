/** Batches of clicks that are signed and encoded before the measured time, and how they are streamed. */
import { randomFillSync } from "node:crypto";
import { Verdict } from "../../actors/core/verdict.ts";
import { seededRandom } from "../../actors/sim/random.ts";
import { encodeClick, encodeClickBatch, type ClickStream } from "./grpc-client.ts";
import { createSigner } from "./tokens.ts";
import { sleep } from "./wait.ts";

const USER_AGENT = Buffer.from(
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
);
/** Of the impressions signed so far, those that a repeat is picked from. */
const MOST_KNOWN = 200_000;
const IMPRESSIONS_WITHIN_MS = 60_000;

export interface ClickBatch {
  readonly id: number;
  readonly bytes: Buffer;
  readonly clicks: number;
}

export interface BatchesWanted {
  /** Holds the token keys. */
  readonly dataDir: string;
  readonly batches: number;
  readonly batchClicks: number;
  readonly adIds: readonly bigint[];
  /** Share of the clicks that repeat an earlier impression. */
  readonly repeats: number;
  readonly seed: number;
}

export async function makeBatches(wanted: BatchesWanted): Promise<ClickBatch[]> {
  const { adIds, batches, batchClicks, dataDir, repeats } = wanted;
  const random = seededRandom(wanted.seed);
  const signer = await createSigner(dataDir);
  const noise = Buffer.alloc(10 * batchClicks);
  const known: Buffer[] = [];
  const nowMs = Date.now();
  return Array.from({ length: batches }, (_, b): ClickBatch => {
    randomFillSync(noise);
    const clicks = Array.from({ length: batchClicks }, (_, i) => {
      let token: Buffer;
      if (known.length > 0 && random.chance(repeats)) token = random.pick(known);
      else {
        const bytes = Buffer.from(noise.subarray(i * 10, i * 10 + 10));
        token = signer.sign(random.pick(adIds), nowMs - random.below(IMPRESSIONS_WITHIN_MS), bytes).token;
        if (known.length < MOST_KNOWN) known.push(token);
        else known[random.below(known.length)] = token;
      }
      const ip = Buffer.from([10, random.below(256), random.below(256), random.below(256)]);
      return encodeClick({ token, ip, userAgent: USER_AGENT });
    });
    return { id: b + 1, bytes: encodeClickBatch(b + 1, clicks), clicks: batchClicks };
  });
}

export interface Sent {
  clicks: number;
  accepted: number;
  duplicates: number;
  /** Told another verdict than these two: nothing in this load deserves one. */
  other: number;
  refusedBatches: number;
  readonly batchMs: number[];
}

export interface Sending {
  readonly streams: readonly ClickStream[];
  /** Batches under way at once on each stream. */
  readonly inFlight: number;
  /** What is not sent by then stays unsent. */
  readonly withinMs: number;
}

/** Sends batches until they or the time are used up; what is refused with a hint is sent again. */
export async function sendBatches(batches: readonly ClickBatch[], how: Sending): Promise<Sent> {
  const sent: Sent = { clicks: 0, accepted: 0, duplicates: 0, other: 0, refusedBatches: 0, batchMs: [] };
  const endAt = performance.now() + how.withinMs;
  let next = 0;
  const worker = async (stream: ClickStream) => {
    while (next < batches.length && performance.now() < endAt) {
      const batch = batches[next++]!;
      sent.clicks += batch.clicks;
      const sentAt = performance.now();
      for (;;) {
        const { verdicts, refusal } = await stream.sendEncoded(batch.id, batch.bytes);
        if (refusal === undefined) {
          for (const verdict of verdicts) {
            if (verdict === Verdict.ACCEPTED) sent.accepted += 1;
            else if (verdict === Verdict.DUPLICATE) sent.duplicates += 1;
            else sent.other += 1;
          }
          break;
        }
        sent.refusedBatches += 1;
        if (refusal.retryAfterMs === 0) throw new Error(`batch refused: ${refusal.code} ${refusal.detail}`);
        await sleep(refusal.retryAfterMs);
      }
      sent.batchMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(how.streams.flatMap((each) => Array.from({ length: how.inFlight }, () => worker(each))));
  return sent;
}
