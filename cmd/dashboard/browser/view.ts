/**
 * What the page shows, as its URL says it: whatever is not in the URL is the same for everybody
 * who opens it. Times that move (the last seven days) stay so in the URL; times that were brushed
 * out of a chart stand as they are.
 */
export type Kind = "all" | "advertiser" | "campaign" | "ad" | "click";

export interface View {
  readonly kind: Kind;
  /** Of the advertiser, campaign, ad, or the impression; empty for all, and for a click not named yet. */
  readonly id: string;
  readonly range: Range;
  /** An IANA name. */
  readonly zone: string;
  /** A column of the table, with "-" before it where the greatest comes first. */
  readonly sort: string;
}

/** Ends now and lasts so long, or stands still. */
export type Range = { readonly last: string } | { readonly fromMs: number; readonly toMs: number };

export const PRESETS: readonly (readonly [last: string, name: string, ms: number])[] = [
  ["1h", "Last hour", 3_600_000],
  ["24h", "Last 24 hours", 86_400_000],
  ["7d", "Last 7 days", 604_800_000],
  ["30d", "Last 30 days", 2_592_000_000],
  ["90d", "Last 90 days", 7_776_000_000],
];
const DEFAULT_LAST = "7d";
const DEFAULT_SORT = "-clicks";
const MINUTE_MS = 60_000;
const KINDS: readonly Kind[] = ["advertiser", "campaign", "ad", "click"];

export function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** What a URL leaves out or gets wrong is as it is by default. */
export function readView(search: string, ownZone: string): View {
  const given = new URLSearchParams(search);
  const kind = KINDS.find((each) => given.has(each)) ?? "all";
  const zone = given.get("zone") ?? "";
  return {
    kind,
    id: kind === "all" ? "" : (given.get(kind) ?? ""),
    range: readRange(given),
    zone: isZone(zone) ? zone : ownZone,
    sort: given.get("sort") ?? DEFAULT_SORT,
  };
}

function readRange(given: URLSearchParams): Range {
  const [fromMs, toMs] = [Date.parse(given.get("from") ?? ""), Date.parse(given.get("to") ?? "")];
  if (fromMs < toMs) return { fromMs, toMs };
  const last = given.get("last") ?? DEFAULT_LAST;
  return { last: PRESETS.some(([each]) => each === last) ? last : DEFAULT_LAST };
}

/** The zone always stands in it: whoever is sent a link sees the same days. */
export function urlOf(view: View): string {
  const said = new URLSearchParams();
  if (view.kind !== "all") said.set(view.kind, view.id);
  if (view.kind !== "click") {
    if ("last" in view.range) {
      if (view.range.last !== DEFAULT_LAST) said.set("last", view.range.last);
    } else {
      said.set("from", new Date(view.range.fromMs).toISOString());
      said.set("to", new Date(view.range.toMs).toISOString());
    }
    if (view.sort !== DEFAULT_SORT) said.set("sort", view.sort);
  }
  said.set("zone", view.zone);
  return `/?${said.toString().replaceAll("%2F", "/").replaceAll("%3A", ":")}`;
}

export interface Bounds {
  readonly fromMs: number;
  readonly toMs: number;
}

/** To whole minutes, as counts are; now belongs to the minute under way. */
export function boundsOf(range: Range, nowMs: number): Bounds {
  if (!("last" in range)) return range;
  const toMs = Math.floor(nowMs / MINUTE_MS + 1) * MINUTE_MS;
  const ms = PRESETS.find(([last]) => last === range.last)?.[2] ?? 0;
  return { fromMs: toMs - ms, toMs };
}

export type Granularity = "1m" | "5m" | "1h" | "1d";
export const STEP_MS: Readonly<Record<Granularity, number>> = {
  "1m": MINUTE_MS,
  "5m": 5 * MINUTE_MS,
  "1h": 60 * MINUTE_MS,
  "1d": 1_440 * MINUTE_MS,
};
export const STEP_NAMES: Readonly<Record<Granularity, string>> = {
  "1m": "minute",
  "5m": "five minutes",
  "1h": "hour",
  "1d": "day",
};
/** More points than this say no more on a screen. */
const MOST_POINTS = 440;

export function granularityOf({ fromMs, toMs }: Bounds): Granularity {
  const steps = Object.entries(STEP_MS) as [Granularity, number][];
  return steps.find(([, ms]) => (toMs - fromMs) / ms <= MOST_POINTS)?.[0] ?? "1d";
}

/** Twice as long around the same middle, and not beyond now. */
export function zoomedOut({ fromMs, toMs }: Bounds, nowMs: number): Bounds {
  const half = (toMs - fromMs) / 2;
  const end = Math.min(toMs + half, Math.ceil(nowMs / MINUTE_MS) * MINUTE_MS);
  const to = Math.max(end, fromMs + MINUTE_MS);
  return { fromMs: Math.floor((to - 4 * half) / MINUTE_MS) * MINUTE_MS, toMs: to };
}

/** The moment at which the day of that time began in the zone. */
export function startOfDay(timeMs: number, zone: string): number {
  const at = wallClock(timeMs, zone);
  const midnight = timeMs - ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000 - (timeMs % 1_000);
  // Where the clock was changed since midnight, that guess is off by the change.
  const off = wallClock(midnight, zone);
  const minutes = off.hour * 60 + off.minute;
  if (minutes === 0) return midnight;
  return midnight + (minutes > 720 ? 1_440 - minutes : -minutes) * MINUTE_MS;
}

function wallClock(timeMs: number, zone: string) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
    hourCycle: "h23",
  }).formatToParts(timeMs);
  const of = (type: string) => Number(parts.find((part) => part.type === type)?.value ?? 0);
  return { hour: of("hour"), minute: of("minute"), second: of("second") };
}
