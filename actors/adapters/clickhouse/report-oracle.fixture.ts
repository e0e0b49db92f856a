/**
 * A plain recomputation of reports, minute by minute, from rows kept in memory: no SQL, no
 * intervals of ours; the wall clock is Intl's, told every quarter of an hour.
 */
import type { CountRow } from "../../ports/count-sink.ts";
import type { CountedVerdict, Group, Measure } from "../../reports/query.ts";
import type { ReportInput } from "../../reports/read-query.ts";

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;

export interface RawClick {
  readonly advertiserId: bigint;
  readonly campaignId: bigint;
  readonly adId: bigint;
  readonly clickMs: number;
  readonly verdict: CountedVerdict;
  readonly reason: string;
}

export interface OracleData {
  /** The newest version of each window. */
  readonly counts: readonly CountRow[];
  readonly clicks: readonly RawClick[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly rawSinceMs: number;
  readonly watermarkMs: number;
}

export interface Asked {
  readonly input: ReportInput;
  readonly fromMs: number;
  readonly toMs: number;
}

type Interval = readonly [startMs: number, endMs: number];
type Row = Record<string, string | number | boolean | null>;

/** What the clock on the wall says, as milliseconds of a day that is UTC's. */
function wallClock(timeZone: string): (timeMs: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  const offsets = new Map<number, number>();
  return (timeMs) => {
    const quarter = Math.floor(timeMs / QUARTER_MS) * QUARTER_MS;
    let offset = offsets.get(quarter);
    if (offset === undefined) {
      const parts = Object.fromEntries(
        format.formatToParts(quarter).map(({ type, value }) => [type, Number(value)]),
      );
      const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = parts;
      offset = Date.UTC(year, month - 1, day, hour, minute) - quarter;
      offsets.set(quarter, offset);
    }
    return timeMs + offset;
  };
}

const DAY_MS = 1_440 * MINUTE_MS;
/** Intervals are runs of minutes that the wall clock gives one name. */
function nameOf(granularity: string, wallMs: number, offsetMs: number): string {
  const day = Math.floor(wallMs / DAY_MS);
  switch (granularity) {
    case "1m":
      return `${wallMs - offsetMs}`;
    case "5m":
      return `${Math.floor(wallMs / (5 * MINUTE_MS))}/${offsetMs}`;
    case "1h":
      return `${Math.floor(wallMs / (60 * MINUTE_MS))}/${offsetMs}`;
    case "1d":
      return `${day}`;
    default:
      return `${Math.floor((day + 3) / 7)}`;
  }
}

export function createOracle(data: OracleData) {
  const cache = new Map<string, readonly Interval[]>();

  function allIntervals(granularity: string, timeZone: string): readonly Interval[] {
    const key = `${granularity} ${timeZone}`;
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    const wall = wallClock(timeZone);
    const made: [number, number][] = [];
    let name: string | undefined;
    for (let at = data.fromMs; at < data.toMs; at += MINUTE_MS) {
      const now = nameOf(granularity, wall(at), wall(at) - at);
      if (now === name) made.at(-1)![1] = at + MINUTE_MS;
      else made.push([at, at + MINUTE_MS]);
      name = now;
    }
    cache.set(key, made);
    return made;
  }

  const overlapping = (all: readonly Interval[], fromMs: number, toMs: number): readonly Interval[] =>
    all.filter(([start, end]) => end > fromMs && start < toMs);

  function periods({ fromMs, input, toMs }: Asked): readonly [readonly Interval[], readonly Interval[]] {
    const granularity = input.granularity ?? "1h";
    if (granularity === "total") {
      const total: Interval = [
        Math.floor(fromMs / MINUTE_MS) * MINUTE_MS,
        Math.ceil(toMs / MINUTE_MS) * MINUTE_MS,
      ];
      return [[total], [[total[0] - (total[1] - total[0]), total[0]]]];
    }
    const all = allIntervals(granularity, input.time_zone ?? "UTC");
    const now = overlapping(all, fromMs, toMs);
    const [start, end] = [now[0]![0], now.at(-1)![1]];
    if (granularity !== "1d" && granularity !== "1w")
      return [now, overlapping(all, start - (end - start), start)];
    const at = all.indexOf(now[0]!);
    return [now, all.slice(at - now.length, at)];
  }

  return {
    /** All rows in order, and the totals. */
    report(asked: Asked) {
      const { input } = asked;
      const groups = (["advertiser", "campaign", "ad", "verdict", "reason"] as const).filter((group) =>
        (input.group_by ?? "").split(",").includes(group),
      );
      const byReason = groups.includes("reason");
      const isOne = byReason || groups.includes("verdict");
      const all = ["ACCEPTED", "INVALID_TRAFFIC", "DUPLICATE", "LATE", "EXPIRED", "REFUSED"];
      const known = input.include !== undefined || byReason ? all : all.slice(0, 3);
      const verdicts =
        input.verdict === undefined ? known : all.filter((name) => input.verdict!.split(",").includes(name));
      const columns: Record<string, Measure> = {
        ACCEPTED: "clicks",
        INVALID_TRAFFIC: "invalid",
        DUPLICATE: "duplicates",
      };
      const columnOf = (verdict: string): Measure => (isOne ? "count" : (columns[verdict] ?? "late"));
      const measures = [...new Set(verdicts.map(columnOf))];

      const wanted = (row: { advertiserId: bigint; campaignId: bigint; adId: bigint }) =>
        (input.advertiser_id === undefined ||
          input.advertiser_id.split(",").includes(String(row.advertiserId))) &&
        (input.campaign_id === undefined || input.campaign_id.split(",").includes(String(row.campaignId))) &&
        (input.ad_id === undefined || input.ad_id.split(",").includes(String(row.adId)));
      /** One thing that was counted: when, of whom, as what, how often. */
      const facts: { atMs: number; keys: Record<Group, string>; verdict: string; count: number }[] = [];
      const ids = (row: { advertiserId: bigint; campaignId: bigint; adId: bigint }) => ({
        advertiser: String(row.advertiserId),
        campaign: String(row.campaignId),
        ad: String(row.adId),
      });
      for (const row of data.counts.filter(wanted)) {
        if (byReason) break;
        for (const [verdict, column] of Object.entries(columns)) {
          const count = row[column as "clicks"];
          facts.push({
            atMs: row.minute * MINUTE_MS,
            keys: { ...ids(row), verdict, reason: "" },
            verdict,
            count,
          });
        }
      }
      for (const click of data.clicks.filter(wanted)) {
        const isDead = !(click.verdict in columns);
        if (!byReason && (!isDead || click.clickMs < data.rawSinceMs)) continue;
        const { verdict, reason } = click;
        facts.push({ atMs: click.clickMs, keys: { ...ids(click), verdict, reason }, verdict, count: 1 });
      }
      const used = facts.filter(({ count, verdict }) => count > 0 && verdicts.includes(verdict));

      const [now, before] = periods(asked);
      const within = (intervals: readonly Interval[]) =>
        used.flatMap((fact) => {
          const index = indexAt(intervals, fact.atMs);
          return index === undefined ? [] : [{ ...fact, index }];
        });
      const keysOf = (fact: { keys: Record<Group, string> }) => groups.map((group) => fact.keys[group]);
      const nameOfKeys = (keys: readonly (string | null)[]) => JSON.stringify(keys);

      function best(placed: ReturnType<typeof within>): ReadonlySet<string> | undefined {
        if (input.top === undefined) return undefined;
        const sums = new Map<string, { keys: readonly string[]; sum: number }>();
        for (const fact of placed) {
          const keys = keysOf(fact);
          const name = nameOfKeys(keys);
          const counted = columnOf(fact.verdict) === measures[0] ? fact.count : 0;
          sums.set(name, { keys, sum: (sums.get(name)?.sum ?? 0) + counted });
        }
        const order = [...sums.entries()].sort(([, a], [, b]) => b.sum - a.sum || compareAll(a.keys, b.keys));
        return new Set(order.slice(0, Number(input.top)).map(([name]) => name));
      }

      interface Sums {
        readonly index: number;
        readonly keys: readonly (string | null)[];
        readonly sums: Partial<Record<Measure, number>>;
      }
      function summed(intervals: readonly Interval[], chosen: ReadonlySet<string> | undefined) {
        const rows = new Map<string, Sums>();
        for (const fact of within(intervals)) {
          const own = keysOf(fact);
          const keys = chosen === undefined || chosen.has(nameOfKeys(own)) ? own : own.map(() => null);
          const name = JSON.stringify([fact.index, keys]);
          const row = rows.get(name) ?? { index: fact.index, keys, sums: {} };
          const measure = columnOf(fact.verdict);
          row.sums[measure] = (row.sums[measure] ?? 0) + fact.count;
          rows.set(name, row);
        }
        return rows;
      }
      const chosen = best(within(now));
      const current = summed(now, chosen);
      const previous = input.compare === undefined ? new Map<string, Sums>() : summed(before, chosen);
      const merged = new Map<string, Sums>(
        [...previous, ...current].filter(([, { index }]) => index < now.length),
      );
      if (groups.length === 0)
        now.forEach((_, index) => {
          const name = JSON.stringify([index, []]);
          if (!merged.has(name)) merged.set(name, { index, keys: [], sums: {} });
        });
      const shareTotals = new Map<number, number>();
      for (const { index, sums } of current.values())
        shareTotals.set(index, (shareTotals.get(index) ?? 0) + (sums[measures[0]!] ?? 0));
      const isKnown = (measure: Measure, startMs: number) =>
        (measure !== "late" && !byReason) || startMs >= data.rawSinceMs;

      const rows = [...merged].map(([name, { index, keys }]): Row => {
        const [start, end] = now[index]!;
        const sums = current.get(name)?.sums ?? {};
        const row: Row = { start: new Date(start).toISOString(), end: new Date(end).toISOString() };
        groups.forEach((group, at) => {
          row[group === "verdict" || group === "reason" ? group : `${group}_id`] = keys[at]!;
        });
        if (input.top !== undefined) row["rest"] = keys[0] === null;
        for (const measure of measures) row[measure] = isKnown(measure, start) ? (sums[measure] ?? 0) : null;
        const total = shareTotals.get(index) ?? 0;
        if (groups.length > 0) row["share"] = total === 0 ? null : (sums[measures[0]!] ?? 0) / total;
        if (input.compare !== undefined) {
          const then = before[index];
          for (const measure of measures)
            row[`previous_${measure}`] =
              then !== undefined && isKnown(measure, then[0])
                ? (previous.get(name)?.sums[measure] ?? 0)
                : null;
        }
        row["status"] = end <= data.watermarkMs ? "final" : "live";
        return row;
      });

      const fallback = input.granularity === "total" ? `-${measures[0]!}` : "time";
      const sort = input.sort ?? fallback;
      const by = sort.replace("-", "");
      const valueOf = (row: Row) =>
        by === "time" ? Date.parse(row["start"] as string) : Number(row[by] ?? 0);
      const sign = sort.startsWith("-") ? -1 : 1;
      const keysOfRow = (row: Row) =>
        groups.map(
          (group) => row[group === "verdict" || group === "reason" ? group : `${group}_id`] as string | null,
        );
      rows.sort(
        (a, b) =>
          sign * (valueOf(a) - valueOf(b)) ||
          Date.parse(a["start"] as string) - Date.parse(b["start"] as string) ||
          compareAll(keysOfRow(a), keysOfRow(b)),
      );
      const totalOf = (of: Map<string, Sums>, startMs: number) =>
        Object.fromEntries(
          measures.map((measure) => [
            measure,
            isKnown(measure, startMs)
              ? [...of.values()].reduce((sum, { sums }) => sum + (sums[measure] ?? 0), 0)
              : null,
          ]),
        );
      return {
        rows,
        total: totalOf(current, now[0]![0]),
        previousTotal: input.compare === undefined ? undefined : totalOf(previous, before[0]![0]),
      };
    },
  };
}

/** The interval that holds the time: they stand side by side. */
function indexAt(intervals: readonly Interval[], atMs: number): number | undefined {
  let [low, high] = [0, intervals.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (intervals[middle]![0] <= atMs) low = middle;
    else high = middle - 1;
  }
  const [start, end] = intervals[low] ?? [0, 0];
  return atMs >= start && atMs < end ? low : undefined;
}

function compareAll(a: readonly (string | null)[], b: readonly (string | null)[]): number {
  for (const [at, one] of a.entries()) {
    const other = b[at] ?? null;
    if (one === other) continue;
    if (one === null || other === null) return one === null ? 1 : -1;
    if (/^\d+$/.test(one)) return BigInt(one) < BigInt(other) ? -1 : 1;
    return one < other ? -1 : 1;
  }
  return 0;
}
