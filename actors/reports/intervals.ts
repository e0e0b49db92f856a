/**
 * A report's time, cut into intervals as the clock on the wall of its time zone cuts it.
 *
 *  I1 Days begin at local midnight (or the first moment after it, where a change of the clock
 *     skips midnight), weeks on Monday; hours and five minutes at whole ones of the local clock,
 *     and where the clock is changed in between.
 *  I2 Intervals follow one another without a gap, each of at least a minute, and begin on whole
 *     minutes of UTC, as the counts do (offsets of odd seconds were in use until 1972).
 *  I3 The first one holds `from`, the last one the moment before `to`; a total is one interval,
 *     from and to rounded outwards to minutes.
 */
import { WINDOW_MS } from "../core/time.ts";
import type { Granularity, ReportQuery } from "./query.ts";

export interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

/** Intervals of one length, side by side. */
export interface Run {
  readonly fromMs: number;
  readonly stepMs: number;
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly intervals: readonly Interval[];
  /** The same, for SQL: of a year of days three long ones and two single. */
  readonly runs: readonly Run[];
}

type Asked = Pick<ReportQuery, "fromMs" | "toMs" | "granularity" | "timeZone">;

const STEP_MS = { "1m": WINDOW_MS, "5m": 5 * WINDOW_MS, "1h": 60 * WINDOW_MS } as const;
const DAY_MS = 1_440 * WINDOW_MS;
const minuteBefore = (timeMs: number): number => Math.floor(timeMs / WINDOW_MS) * WINDOW_MS;

/** Intervals at the most: by so much every interval but one at a change of the clock is as long. */
const NOMINAL_MS: Readonly<Record<Granularity, number>> = {
  ...STEP_MS,
  "1d": DAY_MS,
  "1w": 7 * DAY_MS,
  total: Infinity,
};

/** Without cutting: about how many intervals it makes. */
export const aboutPoints = ({ fromMs, toMs, granularity }: Asked): number =>
  Math.ceil((toMs - fromMs) / NOMINAL_MS[granularity]);

const inZone = (timeMs: number, timeZone: string): Temporal.ZonedDateTime =>
  Temporal.Instant.fromEpochMilliseconds(timeMs).toZonedDateTimeISO(timeZone);

/** A stretch in which the zone keeps one offset. */
function stretchAt(timeMs: number, timeZone: string) {
  const at = inZone(timeMs, timeZone);
  const offsetMs = at.offsetNanoseconds / 1e6;
  const next = at.getTimeZoneTransition("next");
  // Asked a moment later: a change at this very time is the one before.
  const before = inZone(timeMs + 1, timeZone).getTimeZoneTransition("previous");
  return {
    offsetMs,
    fromMs: before?.epochMilliseconds ?? -Infinity,
    toMs: next?.epochMilliseconds ?? Infinity,
  };
}

/** Boundaries of hours and minutes from the one at or before `fromMs`. */
function* clockBoundaries(fromMs: number, stepMs: number, timeZone: string): Generator<number> {
  let stretch = stretchAt(fromMs, timeZone);
  const { offsetMs } = stretch;
  let at = Math.max(Math.floor((fromMs + offsetMs) / stepMs) * stepMs - offsetMs, stretch.fromMs);
  for (;;) {
    yield at;
    const next = (Math.floor((at + stretch.offsetMs) / stepMs) + 1) * stepMs - stretch.offsetMs;
    at = Math.min(next, stretch.toMs);
    if (at >= stretch.toMs) stretch = stretchAt(at, timeZone);
  }
}

/** Midnights from the one at or before `fromMs`, every so many days. */
function* dayBoundaries(fromMs: number, days: 1 | 7, timeZone: string): Generator<number> {
  let date = inZone(fromMs, timeZone).toPlainDate();
  if (days === 7) date = date.subtract({ days: date.dayOfWeek - 1 });
  for (;;) {
    yield date.toZonedDateTime({ timeZone }).epochMilliseconds;
    date = date.add({ days });
  }
}

function boundariesOf({ fromMs, granularity, timeZone }: Asked): Iterable<number> {
  if (granularity === "1d") return dayBoundaries(fromMs, 1, timeZone);
  if (granularity === "1w") return dayBoundaries(fromMs, 7, timeZone);
  // The offsets of all zones are whole minutes since 1972, and minutes are UTC's by I2.
  return clockBoundaries(
    fromMs,
    granularity === "1m" ? WINDOW_MS : STEP_MS[granularity as "5m" | "1h"],
    granularity === "1m" ? "UTC" : timeZone,
  );
}

export function spanOf(asked: Asked): Span {
  const { fromMs, toMs, granularity } = asked;
  if (granularity === "total") {
    const total = { startMs: minuteBefore(fromMs), endMs: -minuteBefore(-toMs) };
    return spanFrom([total]);
  }
  const intervals: Interval[] = [];
  let startMs: number | undefined;
  for (const boundary of boundariesOf(asked)) {
    const atMs = minuteBefore(boundary);
    if (startMs !== undefined && atMs > startMs) intervals.push({ startMs, endMs: atMs });
    startMs = atMs;
    if (atMs >= toMs) break;
  }
  return spanFrom(intervals);
}

function spanFrom(intervals: readonly Interval[]): Span {
  const runs: Run[] = [];
  for (const { startMs, endMs } of intervals) {
    if (runs.at(-1)?.stepMs !== endMs - startMs) runs.push({ fromMs: startMs, stepMs: endMs - startMs });
  }
  return { fromMs: intervals[0]!.startMs, toMs: intervals.at(-1)!.endMs, intervals, runs };
}

/** The period before: as many days or weeks, else as much time, up to where this one begins. */
export function spanBefore(asked: Asked, span: Span): Span {
  const { granularity, timeZone } = asked;
  const toMs = span.fromMs;
  if (granularity !== "1d" && granularity !== "1w")
    return spanOf({ ...asked, fromMs: toMs - (span.toMs - toMs), toMs });
  const date = inZone(span.fromMs, timeZone).toPlainDate();
  const last = inZone(span.toMs, timeZone).toPlainDate();
  const days = date.until(last, { largestUnit: "days" }).days;
  const fromMs = date.subtract({ days }).toZonedDateTime({ timeZone }).epochMilliseconds;
  return spanOf({ ...asked, fromMs, toMs });
}
