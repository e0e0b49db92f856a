/** Batches of clicks that are signed and encoded before the measured time, and how they are streamed. */
import { Verdict } from "../../actors/core/verdict.ts";
import { createClickMaker, USER_AGENT, type ClicksWanted } from "./clicks.ts";
import { encodeClick, encodeClickBatch, type ClickStream } from "./grpc-client.ts";
import { sleep } from "./wait.ts";

export interface ClickBatch {
  readonly id: number;
  readonly bytes: Buffer;
  readonly clicks: number;
}

export interface BatchesWanted extends ClicksWanted {
  readonly batches: number;
  readonly batchClicks: number;
}

export async function makeBatches(wanted: BatchesWanted): Promise<ClickBatch[]> {
  const { batches, batchClicks } = wanted;
  const nextClick = await createClickMaker(wanted);
  return Array.from({ length: batches }, (_, b): ClickBatch => {
    const clicks = Array.from({ length: batchClicks }, () => {
      const { token, ip } = nextClick();
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
