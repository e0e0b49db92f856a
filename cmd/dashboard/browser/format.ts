/** Numbers and times as people read them. English throughout, as the page is. */
const whole = new Intl.NumberFormat("en-US");
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const oneDigit = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);
export const short = (value: number): string => compact.format(value);
export const rate = (perSecond: number): string =>
  perSecond >= 10 ? whole.format(Math.round(perSecond)) : oneDigit.format(perSecond);

/** "+12.3 %"; nothing to compare with has no change. */
export function change(now: number, before: number | undefined): string | undefined {
  if (before === undefined || before === 0) return undefined;
  const percent = (now / before - 1) * 100;
  const sign = percent > 0 ? "+" : percent < 0 ? "−" : "±";
  const size = Math.abs(percent);
  return `${sign}${size >= 1_000 ? whole.format(Math.round(size)) : oneDigit.format(size)} %`;
}

export function percent(part: number, all: number): string {
  return all === 0 ? "0 %" : `${oneDigit.format((part / all) * 100)} %`;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function dateFormat(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = JSON.stringify([zone, options]);
  const known = formats.get(key) ?? new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
  formats.set(key, known);
  return known;
}

const CLOCK = { hour: "2-digit", minute: "2-digit" } as const;
const DAY = { weekday: "short", day: "numeric", month: "short" } as const;

export const clock = (ms: number, zone: string): string => dateFormat(zone, CLOCK).format(ms);
export const clockSeconds = (ms: number, zone: string): string =>
  dateFormat(zone, { ...CLOCK, second: "2-digit" }).format(ms);
export const day = (ms: number, zone: string): string => dateFormat(zone, DAY).format(ms);
export const moment = (ms: number, zone: string): string => `${day(ms, zone)}, ${clock(ms, zone)}`;
export const exact = (ms: number, zone: string): string =>
  dateFormat(zone, {
    ...DAY,
    ...CLOCK,
    year: "numeric",
    second: "2-digit",
    fractionalSecondDigits: 3,
  }).format(ms);

/** "Mon, 3 Nov, 14:00 – 18:00", the day said once where it is the same. */
export function span(fromMs: number, toMs: number, zone: string): string {
  const isDays = clock(fromMs, zone) === "00:00" && clock(toMs, zone) === "00:00";
  if (isDays) {
    const last = day(toMs - 1, zone);
    return day(fromMs, zone) === last ? last : `${day(fromMs, zone)} – ${last}`;
  }
  const to = day(fromMs, zone) === day(toMs, zone) ? clock(toMs, zone) : moment(toMs, zone);
  return `${moment(fromMs, zone)} – ${to}`;
}

/** CLICK_TIME_TOO_OLD as people say it. */
export const words = (code: string): string => {
  const text = code.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
};
