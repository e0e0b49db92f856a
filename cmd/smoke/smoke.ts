/**
 * One click through all of adtally, as a user of it would see it: an ad is put, shown and clicked
 * twice, and the report must come to say one click and one duplicate.
 */
import { messageOf } from "../../actors/core/errors.ts";
import { sleep, type Clock, type RandomBytes } from "../../actors/runtime/clock.ts";

const REQUEST_MS = 10_000;
const LOOK_MS = 500;
const HOUR_MS = 3_600_000;
const DESTINATION = "https://example.com/adtally-smoke";

export interface Smoke {
  readonly gatewayUrl: string;
  readonly queryUrl: string;
  readonly adminKey: string;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly report: (line: string) => void;
}

interface Counts {
  readonly clicks: number;
  readonly duplicates: number;
}

/** Why it did not come to one click in time. */
export class SmokeFailed extends Error {
  override readonly name = "SmokeFailed";
}

/** @throws SmokeFailed */
export async function smoke(given: Smoke): Promise<void> {
  const { clock, deadlineMs, gatewayUrl, queryUrl, random, report } = given;
  const untilMs = clock.monotonic() + deadlineMs;

  /** A step may meet a gateway that is just starting: it is done again until the time is up. */
  async function untilDone<T>(what: string, step: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        if (clock.monotonic() >= untilMs)
          throw new SmokeFailed(`${what}: not within ${deadlineMs / 1_000} s: ${messageOf(error)}`);
        await sleep(clock, LOOK_MS);
      }
    }
  }

  async function ask(url: string, body?: object): Promise<Response> {
    return fetch(url, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${given.adminKey}`,
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: "manual",
      signal: AbortSignal.timeout(REQUEST_MS),
    });
  }

  async function json<T>(url: string, body?: object): Promise<T> {
    const answer = await ask(url, body);
    const text = await answer.text();
    if (!answer.ok)
      throw new Error(`${new URL(url).pathname} answered ${answer.status}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as T;
  }

  // In the upper half of all ids, where nobody's own ads are likely to be.
  const adId = (random(8).readBigUInt64BE() | (1n << 63n)).toString();
  const ids = { ad_id: adId, campaign_id: adId, advertiser_id: adId };
  const ad = { ...ids, destination_url: DESTINATION, title: "adtally smoke" };
  await untilDone("the ad", () => json(`${gatewayUrl}/v1/ads`, ad));
  report(`ad ${adId}: put`);

  interface Issued {
    readonly impressions: readonly { readonly click_url: string; readonly impression_id: string }[];
  }
  const { impressions } = await untilDone("the impression", () =>
    json<Issued>(`${gatewayUrl}/v1/impressions`, { ad_id: adId }),
  );
  const [{ click_url: clickUrl, impression_id: impression }] = impressions as [Issued["impressions"][0]];
  // The public URL may lead through the world outside.
  const { pathname, search } = new URL(clickUrl);
  report(`impression ${impression}: shown`);

  const fromMs = clock.now() - HOUR_MS;
  for (const which of ["click", "repeat"]) {
    await untilDone(which, async () => {
      const answer = await ask(`${gatewayUrl}${pathname}${search}`);
      await answer.arrayBuffer();
      const location = answer.headers.get("location");
      if (answer.status !== 302 || location !== DESTINATION)
        throw new Error(
          `answered ${answer.status} to ${location ?? "nowhere"}, 302 to ${DESTINATION} is wanted`,
        );
    });
    report(`${which}: redirected`);
  }

  const total = await untilDone("the report", async () => {
    const span = `from=${new Date(fromMs).toISOString()}&to=${new Date(clock.now() + HOUR_MS).toISOString()}`;
    const url = `${queryUrl}/v1/reports/clicks?ad_id=${adId}&granularity=1h&${span}`;
    const { total: counts } = await json<{ readonly total: Counts }>(url);
    // One that was diverted on its way, and taken all the same, is a duplicate more.
    if (counts.clicks !== 1 || counts.duplicates < 1)
      throw new Error(
        `it says ${counts.clicks} clicks and ${counts.duplicates} duplicates, 1 and 1 are wanted`,
      );
    return counts;
  });
  report(`report: ${total.clicks} click, ${total.duplicates} duplicate`);
}
