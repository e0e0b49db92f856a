/**
 * The demo's past: two weeks of counts (the second one, and what it is compared with) of ads that nobody can click, so that reports have something to
 * show from the first minute on. Made by a generator from a seed: the same at each first start.
 *
 *  H1 It never meets what is counted: its ads are its own, and its rows stand under a shard that no
 *     routing table can name, so that no actor reads or writes them.
 *  H2 It says what it is: each of its ads has "demo data" in its title.
 *  H3 It is written once, into a database that has none of it.
 */
import type { ClickHouse } from "../../../actors/adapters/clickhouse/client.ts";
import { DATABASE } from "../../../actors/adapters/clickhouse/migrations.ts";
import { encodeCountRows } from "../../../actors/ports/count-rows.ts";
import type { CountRow, CountSink } from "../../../actors/ports/count-sink.ts";

export interface HistoryAd {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  readonly title: string;
  /** Clicks a minute, on an ordinary day at noon. */
  readonly rate: number;
}

/** Beyond the most shards that a routing table may have (4,096). */
export const HISTORY_SHARD = 65_535;
const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;
/** A day more than two weeks: days of every time zone are whole. */
export const HISTORY_MINUTES = 15 * DAY_MINUTES;
const SEED = 0x5eed;
const FIRST_AD = 9_001;
const FIRST_CAMPAIGN = 901;

type Shown = readonly [title: string, rate: number];
/** By advertiser, its campaigns, their ads. */
const CAMPAIGNS: readonly (readonly (readonly Shown[])[])[] = [
  [
    [
      ["Autumn boots", 10.4],
      ["Boots, the second pair", 4.2],
    ],
    [
      ["Tents for two", 6.8],
      ["Tents for four", 2.4],
    ],
    [["Rain jackets", 13.0]],
  ],
  [
    [
      ["Espresso subscription", 15.6],
      ["Filter subscription", 7.8],
    ],
    [
      ["Grinders", 4.4],
      ["Grinder spare parts", 1.2],
    ],
    [["Cold brew by the crate", 3.4]],
  ],
  [
    [
      ["City e-bikes", 18.2],
      ["City e-bikes, used", 8.6],
    ],
    [
      ["Cargo bikes", 5.6],
      ["Cargo bike trial ride", 2.8],
    ],
    [["Winter lights", 6.2]],
  ],
];

export const HISTORY_ADS: readonly HistoryAd[] = CAMPAIGNS.flatMap((campaigns, advertiser) =>
  campaigns.flatMap((ads, campaign) =>
    ads.map(([title, rate]) => ({ title: `${title} (demo data)`, rate, advertiser, campaign })),
  ),
).map(({ title, rate, advertiser, campaign }, index) => ({
  adId: BigInt(FIRST_AD + index),
  campaignId: BigInt(FIRST_CAMPAIGN + 10 * advertiser + campaign),
  advertiserId: BigInt(advertiser + 1),
  title,
  rate,
}));

/**
 * Few at night, most by noon and in the evening, more at the weekend. Each ad has its own hours, and
 * grows or fades a little over the days.
 */
export function rateAt(ad: HistoryAd, timeMs: number): number {
  const at = new Date(timeMs);
  const own = Number(ad.adId - BigInt(FIRST_AD));
  const hour = at.getUTCHours() + at.getUTCMinutes() / 60;
  const wave = (peak: number, perDay: number) => Math.cos(((hour - peak) / 24) * perDay * 2 * Math.PI);
  const evening = 0.1 + 0.06 * (own % 5);
  const ofDay = Math.max(0.3, 0.6 + 0.38 * wave(13 + (own % 4), 1) + evening * wave(9 + (own % 3), 2));
  const isWeekend = at.getUTCDay() === 0 || at.getUTCDay() === 6;
  const days = timeMs / (DAY_MINUTES * MINUTE_MS);
  const drift =
    1 + 0.16 * Math.sin((days / 23) * 2 * Math.PI + own * 1.3) + 0.05 * Math.sin(days * 2.1 + own);
  return ofDay * drift * ad.rate * (isWeekend ? 0.8 + 0.12 * (own % 5) : 1);
}

/** What happened in the last of these weeks, beside the ordinary: minutes before its end. */
interface Incident {
  readonly adId: bigint;
  readonly fromMinute: number;
  readonly toMinute: number;
  /** Of ordinary clicks. */
  readonly clicks: number;
  readonly invalid: number;
}

const hours = (count: number): number => count * 60;
const INCIDENTS: readonly Incident[] = [
  // A program clicks one ad for an afternoon; a campaign is paused; another is talked about.
  { adId: 9_003n, fromMinute: hours(74), toMinute: hours(69), clicks: 1, invalid: 6 },
  { adId: 9_008n, fromMinute: hours(60), toMinute: hours(38), clicks: 0, invalid: 0 },
  { adId: 9_011n, fromMinute: hours(30), toMinute: hours(26), clicks: 3.2, invalid: 0.1 },
];
const ORDINARY = { clicks: 1, invalid: 0.011, duplicates: 0.028 } as const;

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** So many events of a minute that has `mean` of them on average (Knuth). */
export function poisson(mean: number, random: () => number): number {
  const limit = Math.exp(-mean);
  let events = 0;
  for (let product = random(); product > limit; product *= random()) events++;
  return events;
}

/** The two weeks before the minute of that time, which itself is left out. */
export function makeHistory(nowMs: number): readonly CountRow[] {
  const end = Math.floor(nowMs / MINUTE_MS);
  const random = seeded(SEED);
  const rows: CountRow[] = [];
  for (const ad of HISTORY_ADS) {
    const { adId, advertiserId, campaignId } = ad;
    const incidents = INCIDENTS.filter((each) => each.adId === adId);
    for (let before = HISTORY_MINUTES; before > 0; before--) {
      const minute = end - before;
      const rate = rateAt(ad, minute * MINUTE_MS);
      const incident = incidents.find(
        ({ fromMinute, toMinute }) => before <= fromMinute && before > toMinute,
      );
      const clicks = poisson(rate * (incident?.clicks ?? ORDINARY.clicks), random);
      const invalid = poisson(rate * (incident?.invalid ?? ORDINARY.invalid), random);
      const duplicates = poisson(clicks * ORDINARY.duplicates, random);
      if (clicks + invalid + duplicates === 0) continue;
      rows.push({
        advertiserId,
        campaignId,
        adId,
        minute,
        shard: HISTORY_SHARD,
        clicks,
        invalid,
        duplicates,
        version: 0,
      });
    }
  }
  return rows;
}

/** H3. @throws COUNT_SINK_UNAVAILABLE, COUNT_SINK_REJECTED */
export async function writeHistory(
  clickhouse: Pick<ClickHouse, "rows">,
  sink: Pick<CountSink, "writeCounts">,
  nowMs: number,
): Promise<void> {
  const advertisers = [...new Set(HISTORY_ADS.map(({ advertiserId }) => advertiserId))];
  const [found] = await clickhouse.rows<{ rows: string }>(
    `SELECT count() AS rows FROM ${DATABASE}.click_counts
     WHERE advertiser_id IN {advertisers:Array(UInt64)} AND shard = {shard:UInt16}`,
    { advertisers, shard: HISTORY_SHARD },
  );
  if (found?.rows === "0") await sink.writeCounts(encodeCountRows(makeHistory(nowMs)));
}
