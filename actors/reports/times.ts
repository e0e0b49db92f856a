/** The times of a report as a caller writes them: RFC 3339, `now`, or so long before now (`-7d`). */
import { parseRfc3339 } from "./rfc3339.ts";

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const RELATIVE = /^-([1-9]\d{0,6})([mhdw])$/;

/**
 * Milliseconds since 1970, or undefined for what is no time. Days and weeks before now are
 * calendar days of the time zone: at the same time of day, also across daylight saving.
 */
export function parseTime(text: string, nowMs: number, timeZone: string): number | undefined {
  if (text === "now") return nowMs;
  const relative = RELATIVE.exec(text);
  // A `+` of an offset that was not percent-encoded arrives as a space, which nothing else there can be.
  if (relative === null) return parseRfc3339(text.replace(/ (\d\d:\d\d)$/, "+$1"));
  const [count, unit] = [Number(relative[1]), relative[2] as keyof typeof UNIT_MS];
  if (nowMs - count * UNIT_MS[unit] < 0) return undefined;
  if (unit === "m" || unit === "h") return nowMs - count * UNIT_MS[unit];
  const now = Temporal.Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(timeZone);
  return now.subtract(unit === "d" ? { days: count } : { weeks: count }).epochMilliseconds;
}

/** The zone's name as it is known, or undefined: IANA names alone, no offsets. */
export function parseTimeZone(text: string): string | undefined {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]{1,62}$/.test(text)) return undefined;
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(text).timeZoneId;
  } catch {
    return undefined;
  }
}
