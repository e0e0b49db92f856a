/**
 * The shape of the data set that reports are measured on: how many minutes each ad has, whose it
 * is, and which part of it an insert makes. SQL expressions over `i`, the ad's number; no I/O.
 *
 * Ads are Zipf-ish in their clicks (the busiest have one in every minute, half of them a few in
 * the whole time), advertisers in their ads: of 100,000 the largest has tens of thousands, the
 * middle one some fifty. An ad's minutes lie evenly over the days, so reports can be told beforehand.
 */
export const MINUTE_DAYS = 90;
export const MINUTES = MINUTE_DAYS * 1_440;
const DAY_S = 86_400;
/** 5 January 1970. */
const FIRST_MONDAY_DAY = 4;
const ADS_A_CAMPAIGN = 20;
/** Advertiser of rank r has ads in proportion to r to the power of less this. */
const ADVERTISER_SKEW = 0.7;
export const FIRST_ADVERTISER = 1_000;
const FIRST_CAMPAIGN = 1_000_000;
const FIRST_AD = 1_000_000_000;

export interface Shape {
  readonly rows: number;
  readonly ads: number;
  readonly advertisers: number;
  readonly shards: number;
  /** The first minute's start; the last one's end lies MINUTE_DAYS later. */
  readonly startS: number;
}

/** Minutes of the ad of rank 1 if a day had enough of them: the sum over all ranks is `rows`. */
function scale({ ads, rows }: Shape): number {
  const sum = (c: number) => {
    const capped = Math.min(ads, c / MINUTES);
    return capped * MINUTES + (capped < ads ? c * Math.log(ads / Math.max(capped, 0.5)) : 0);
  };
  let low = 0;
  let high = rows;
  while (high - low > 1) {
    const middle = (low + high) / 2;
    if (sum(middle) < rows) low = middle;
    else high = middle;
  }
  return high;
}

/** Advertisers cut into ranges of about as many ads each. */
export function advertiserRanges(
  { advertisers }: Shape,
  parts: number,
): readonly (readonly [number, number])[] {
  const exponent = 1 - ADVERTISER_SKEW;
  const reach = (advertisers + 1) ** exponent - 1;
  const rank = (part: number) =>
    part === parts ? advertisers : Math.floor((1 + (reach * part) / parts) ** (1 / exponent) - 1);
  return Array.from({ length: parts }, (_, part) => [
    FIRST_ADVERTISER + rank(part),
    FIRST_ADVERTISER + rank(part + 1),
  ]);
}

/** Columns of each ad: advertiser_id, campaign_id, ad_id, shard, n (its minutes), u (its phase). */
export function adColumns(shape: Shape): string {
  const { ads, advertisers, shards } = shape;
  const exponent = 1 - ADVERTISER_SKEW;
  const reach = (advertisers + 1) ** exponent - 1;
  return `number AS i,
    ${FIRST_ADVERTISER} + toUInt64(floor(pow(1 + ${reach} * i / ${ads}, ${1 / exponent}) - 1)) AS advertiser_id,
    ${FIRST_CAMPAIGN} + advertiser_id * 10000 + intDiv(i, ${ADS_A_CAMPAIGN}) % 10000 AS campaign_id,
    ${FIRST_AD} + i AS ad_id,
    toUInt16(cityHash64(i, 's') % ${shards}) AS shard,
    (cityHash64(i, 'u') % 1000) / 1000 AS u,
    toUInt32(least(${MINUTES}, floor(${scale(shape)} / (1 + cityHash64(i, 'r') % ${ads}) + u))) AS n`;
}

/** The rows of the ads [firstAd, firstAd + adCount) whose minutes lie in [fromS, toS), in the order of the table's key. */
export function minuteRows(
  shape: Shape,
  ads: { readonly first: number; readonly count: number },
  time: { readonly fromS: number; readonly toS: number },
): string {
  const index = (atS: number) =>
    `toUInt32(greatest(0, ceil(${(atS - shape.startS) / 60} * n / ${MINUTES} - u)))`;
  return `SELECT advertiser_id, campaign_id, ad_id,
    toDateTime(${shape.startS} + 60 * toUInt32(floor((k + u) * ${MINUTES} / n)), 'UTC') AS minute, shard,
    toUInt32(1 + cityHash64(i, k) % 7) AS clicks,
    toUInt32(cityHash64(k, i) % 9 = 0) AS invalid, toUInt32(cityHash64(k, i) % 5 = 0) AS duplicates,
    toUInt64(1000000 + k) AS version
  FROM (
    SELECT ${adColumns(shape)}, arrayJoin(range(${index(time.fromS)}, ${index(time.toS)})) AS k
    FROM numbers(${ads.first}, ${ads.count}) WHERE n > 0
  )`;
}

export interface Slice {
  readonly fromS: number;
  readonly toS: number;
  /** A week that is over: its parts have been merged by now, so each is made in one piece of the key's order. */
  readonly merged: boolean;
}

/** Weeks that are over, as ClickHouse partitions them, and the current one day by day, as parts come. */
export function timeSlices({ startS }: Shape): readonly Slice[] {
  const endS = startS + MINUTE_DAYS * DAY_S;
  const nextMondayS = (atS: number) =>
    (Math.floor((atS / DAY_S - FIRST_MONDAY_DAY) / 7) + 1) * 7 * DAY_S + FIRST_MONDAY_DAY * DAY_S;
  const slices: Slice[] = [];
  for (let fromS = startS; fromS < endS;) {
    const merged = nextMondayS(fromS) <= endS;
    const toS = merged ? nextMondayS(fromS) : Math.min(endS, (Math.floor(fromS / DAY_S) + 1) * DAY_S);
    slices.push({ fromS, toS, merged });
    fromS = toS;
  }
  return slices;
}
