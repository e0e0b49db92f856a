/**
 * Counts joined to a report's rows: intervals without clicks, shares, the period before, order
 * and pages. Pure; the adapters bring the counts.
 *
 *  A1 Without groups there is a row for every interval; with groups one for each of which
 *     something is known, in this period or the one before.
 *  A2 The total is the sum of all rows of this period, whatever page is shown.
 *  A3 Rows have one order: the value sorted by, then time, then keys, the rest last. A page goes
 *     on behind the position of the last row of the one before, whether that row still stands or not.
 */
import { writeCursor } from "./cursor.ts";
import type { Interval, Span } from "./intervals.ts";
import {
  columnsOf,
  measuresOf,
  type Column,
  type Measure,
  type Position,
  type ReportQuery,
} from "./query.ts";

/** What was counted of one group in one interval, as the adapters read it. */
export interface CountedRow {
  readonly startMs: number;
  /** One for each of groupBy; null in the row of all that are not of the top. */
  readonly keys: readonly (string | null)[];
  /** One for each of measuresOf. */
  readonly counts: readonly number[];
}

export type Cell = string | number | boolean | null;

export interface Answer {
  readonly columns: readonly Column[];
  /** Of this page; cells as the columns stand. Times are milliseconds since 1970. */
  readonly rows: readonly (readonly Cell[])[];
  readonly total: Readonly<Partial<Record<Measure, number | null>>>;
  readonly previousTotal: Readonly<Partial<Record<Measure, number | null>>> | undefined;
  readonly rowCount: number;
  /** Null on the last page. */
  readonly next: string | null;
}

export interface Known {
  /** All before it changes no more; undefined while a shard has told nothing yet. */
  readonly finalBeforeMs: number | undefined;
  /** From when on dead letters are known. */
  readonly rawSinceMs: number;
}

export interface Period {
  readonly span: Span;
  readonly counted: readonly CountedRow[];
}

interface Row {
  readonly interval: Interval;
  readonly keys: readonly (string | null)[];
  readonly counts: readonly number[] | undefined;
  readonly previous: readonly number[] | undefined;
  /** Which interval of its period it is. */
  readonly index: number;
}

export function answer(
  query: ReportQuery,
  current: Period,
  before: Period | undefined,
  known: Known,
): Answer {
  const measures = measuresOf(query);
  const rows = joined(query, current, before);
  const positioned = rows
    .map((row) => ({ row, position: positionOf(query, measures, row) }))
    .sort((a, b) => comparePositions(query, a.position, b.position));
  const { after } = query;
  const rest =
    after === undefined
      ? positioned
      : positioned.filter(({ position }) => comparePositions(query, position, after) > 0);
  const page = rest.slice(0, query.limit);
  const last = page.at(-1);
  const totals = ofIntervals(current, measures.length);
  return {
    columns: columnsOf(query),
    rows: page.map(({ row }) => cellsOf(query, measures, row, totals, before, known)),
    total: totalOf(query, measures, current, known),
    previousTotal: before && totalOf(query, measures, before, known),
    rowCount: positioned.length,
    next: last === undefined || rest.length === page.length ? null : writeCursor(query, last.position),
  };
}

const keyOf = (index: number, keys: readonly (string | null)[]): string => JSON.stringify([index, ...keys]);

/** A1. */
function joined(query: ReportQuery, current: Period, before: Period | undefined): readonly Row[] {
  const indexOf = ({ span }: Period) => new Map(span.intervals.map(({ startMs }, index) => [startMs, index]));
  const found = new Map<
    string,
    { index: number; keys: readonly (string | null)[]; now?: CountedRow; then?: CountedRow }
  >();
  const add = (period: Period, which: "now" | "then") => {
    const starts = indexOf(period);
    for (const row of period.counted) {
      const index = starts.get(row.startMs);
      if (index === undefined || index >= current.span.intervals.length) continue;
      const key = keyOf(index, row.keys);
      found.set(key, { index, keys: row.keys, ...found.get(key), [which]: row });
    }
  };
  add(current, "now");
  if (before !== undefined) add(before, "then");
  if (query.groupBy.length === 0)
    for (let index = 0; index < current.span.intervals.length; index++) {
      const key = keyOf(index, []);
      if (!found.has(key)) found.set(key, { index, keys: [] });
    }
  return [...found.values()].map(({ index, keys, now, then }) => ({
    index,
    interval: current.span.intervals[index]!,
    keys,
    counts: now?.counts,
    previous: then?.counts,
  }));
}

function positionOf({ sort }: ReportQuery, measures: readonly Measure[], row: Row): Position {
  const { startMs } = row.interval;
  const value = sort.by === "time" ? startMs : (row.counts?.[measures.indexOf(sort.by)] ?? 0);
  return [value, startMs, ...row.keys];
}

/** A3. */
function comparePositions({ sort }: ReportQuery, a: Position, b: Position): number {
  const byValue = (a[0] as number) - (b[0] as number);
  if (byValue !== 0) return sort.descending ? -byValue : byValue;
  const byTime = (a[1] as number) - (b[1] as number);
  if (byTime !== 0) return byTime;
  for (let at = 2; at < Math.max(a.length, b.length); at++) {
    const order = compareKeys((a[at] ?? null) as string | null, (b[at] ?? null) as string | null);
    if (order !== 0) return order;
  }
  return 0;
}

/** Ids by their size, names by their letters, the rest last. */
function compareKeys(a: string | null, b: string | null): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  if (a.length !== b.length && /^\d+$/.test(a) && /^\d+$/.test(b)) return a.length - b.length;
  return a < b ? -1 : 1;
}

/** Sums of the first measure, for shares. */
function ofIntervals({ counted }: Period, measures: number): ReadonlyMap<number, number> {
  const sums = new Map<number, number>();
  if (measures > 0)
    for (const { startMs, counts } of counted) sums.set(startMs, (sums.get(startMs) ?? 0) + counts[0]!);
  return sums;
}

/** Dead letters and reasons are known as far back as raw rows are kept. */
const isKnownOf = (query: ReportQuery, measure: Measure, startMs: number, { rawSinceMs }: Known): boolean =>
  (measure !== "late" && !query.groupBy.includes("reason")) || startMs >= rawSinceMs;

function cellsOf(
  query: ReportQuery,
  measures: readonly Measure[],
  { counts, index, interval, keys, previous }: Row,
  totals: ReadonlyMap<number, number>,
  before: Period | undefined,
  known: Known,
): readonly Cell[] {
  const { startMs, endMs } = interval;
  const total = totals.get(startMs) ?? 0;
  const then = before?.span.intervals[index];
  const numbers = (of: readonly number[] | undefined, atMs: number): readonly Cell[] =>
    measures.map((measure, at) => (isKnownOf(query, measure, atMs, known) ? (of?.[at] ?? 0) : null));
  return [
    startMs,
    endMs,
    ...keys,
    ...(query.top === undefined ? [] : [keys.includes(null)]),
    ...numbers(counts, startMs),
    ...(query.groupBy.length === 0 ? [] : [total === 0 ? null : (counts?.[0] ?? 0) / total]),
    // A period before that has fewer intervals (a day that a zone skipped) has nothing to tell.
    ...(!query.compare
      ? []
      : then === undefined
        ? measures.map(() => null)
        : numbers(previous, then.startMs)),
    known.finalBeforeMs !== undefined && endMs <= known.finalBeforeMs ? "final" : "live",
  ];
}

/** A2. */
function totalOf(query: ReportQuery, measures: readonly Measure[], { counted, span }: Period, known: Known) {
  return Object.fromEntries(
    measures.map((measure, at) => [
      measure,
      isKnownOf(query, measure, span.fromMs, known)
        ? counted.reduce((sum, { counts }) => sum + counts[at]!, 0)
        : null,
    ]),
  );
}
