/**
 * A report's question as HTTP's query string and gRPC's message bring it, read strictly: every
 * fault is named with its field, nothing is guessed, dropped or cut.
 */
import { createHash } from "node:crypto";
import { AdtallyError } from "../core/errors.ts";
import { parseU64 } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { readCursor } from "./cursor.ts";
import { aboutPoints } from "./intervals.ts";
import {
  COUNTED_VERDICTS,
  GRANULARITIES,
  GROUPS,
  GROUPS_TO_COME,
  measuresOf,
  wantsDeadLetters,
  type CountedVerdict,
  type Granularity,
  type Group,
  type ReportQuery,
  type Sort,
} from "./query.ts";
import { parseTime, parseTimeZone } from "./times.ts";

export const REPORT_FIELDS = [
  "advertiser_id",
  "campaign_id",
  "ad_id",
  "from",
  "to",
  "time_zone",
  "granularity",
  "group_by",
  "verdict",
  "include",
  "top",
  "compare",
  "sort",
  "limit",
  "cursor",
] as const;
export type ReportField = (typeof REPORT_FIELDS)[number];
/** As written; lists are separated by commas. */
export type ReportInput = Readonly<Partial<Record<ReportField, string>>>;

export interface Fault {
  readonly field: string;
  readonly reason: string;
}

export type ReportLimits = Pick<
  Limits,
  "reportMaxPoints" | "reportMaxIds" | "reportMaxTop" | "reportPageRows" | "reportPageMaxRows"
>;

export interface ReadContext {
  readonly nowMs: number;
  readonly limits: ReportLimits;
}

export type ReadResult =
  | { readonly query: ReportQuery; readonly faults?: undefined }
  | { readonly query?: undefined; readonly faults: readonly [Fault, ...Fault[]] };

const DAY_MS = 86_400_000;
const COUNTS_KNOW = ["ACCEPTED", "INVALID_TRAFFIC", "DUPLICATE"] as const satisfies readonly CountedVerdict[];

export function readReportQuery(input: ReportInput, { nowMs, limits }: ReadContext): ReadResult {
  const faults: Fault[] = [];
  const refuse = (field: ReportField, reason: string): undefined => void faults.push({ field, reason });

  const listOf = (field: ReportField): readonly string[] => {
    const text = input[field];
    if (text === undefined) return [];
    const parts = text.split(",");
    if (new Set(parts).size < parts.length) refuse(field, "names the same thing twice");
    return parts;
  };
  const choices = <Value extends string>(field: ReportField, allowed: readonly Value[]): readonly Value[] =>
    listOf(field).filter((part): part is Value => {
      if ((allowed as readonly string[]).includes(part)) return true;
      refuse(field, `must be of ${allowed.join(", ")}, separated by commas`);
      return false;
    });
  const ids = (field: ReportField): readonly bigint[] => {
    const parts = listOf(field);
    if (parts.length > limits.reportMaxIds)
      refuse(field, `has ${parts.length} ids, ${limits.reportMaxIds} are allowed`);
    return parts.flatMap((part) => {
      const id = parseU64(part);
      if (id !== undefined) return [id];
      refuse(field, "must be unsigned 64-bit decimals without leading zeros, separated by commas");
      return [];
    });
  };
  const number = (field: ReportField, most: number): number | undefined => {
    const text = input[field];
    if (text === undefined) return undefined;
    const value = /^[1-9]\d{0,6}$/.test(text) ? Number(text) : Infinity;
    return value <= most ? value : refuse(field, `must be a whole number from 1 to ${most}`);
  };

  const timeZone =
    parseTimeZone(input.time_zone ?? "UTC") ??
    refuse("time_zone", "must be the name of a time zone, such as Europe/Berlin or UTC");
  const granularity = (input.granularity ?? "1h") as Granularity;
  if (!GRANULARITIES.includes(granularity))
    refuse("granularity", `must be one of ${GRANULARITIES.join(", ")}`);
  const time = (field: "from" | "to", fallback: string): number =>
    parseTime(input[field] ?? fallback, nowMs, timeZone ?? "UTC") ??
    refuse(
      field,
      "must be an RFC 3339 time between 1970 and 2105, such as 2026-01-31T12:00:00Z, or now, or a time before now, such as -24h or -7d",
    ) ??
    Number.NaN;

  const groupBy = readGroups();
  const given = choices("verdict", COUNTED_VERDICTS);
  const include = choices("include", ["late"]);
  const verdicts = readVerdicts();
  const compare = readCompare();
  const top = number("top", limits.reportMaxTop);
  if (top !== undefined && groupBy.length === 0) refuse("top", "needs group_by: the best of which groups?");
  const sort = readSort();
  const fingerprint = fingerprintOf(input);
  const cursor = readCursorField();
  const fromMs = cursor?.fromMs ?? time("from", "-24h");
  const toMs = cursor?.toMs ?? time("to", "now");
  if (fromMs >= toMs) refuse("from", "must lie before to");
  const points = aboutPoints({ fromMs, toMs, granularity, timeZone: "UTC" });
  if (points > limits.reportMaxPoints)
    refuse(
      "granularity",
      `${granularity} makes ${points} intervals of this time, ${limits.reportMaxPoints} are allowed: ask for a coarser one, or less time`,
    );
  const query: ReportQuery = {
    advertiserIds: ids("advertiser_id"),
    campaignIds: ids("campaign_id"),
    adIds: ids("ad_id"),
    verdicts,
    fromMs,
    toMs,
    timeZone: timeZone ?? "UTC",
    granularity,
    groupBy,
    top,
    compare,
    sort,
    limit: number("limit", limits.reportPageMaxRows) ?? limits.reportPageRows,
    after: cursor?.after,
    fingerprint,
  };
  const [first, ...others] = uniqueFaults(faults);
  return first === undefined ? { query } : { faults: [first, ...others] };

  function readGroups(): readonly Group[] {
    const toCome = listOf("group_by").find((part) => (GROUPS_TO_COME as readonly string[]).includes(part));
    if (toCome !== undefined) {
      refuse("group_by", `${toCome} is not known of clicks yet; known are ${GROUPS.join(", ")}`);
      return [];
    }
    const asked = choices("group_by", GROUPS);
    return GROUPS.filter((group) => asked.includes(group));
  }

  /** By reason everything is read from raw rows, which have dead letters as well. */
  function readVerdicts(): readonly CountedVerdict[] {
    const all = include.length > 0 || groupBy.includes("reason") ? COUNTED_VERDICTS : COUNTS_KNOW;
    return given.length === 0 ? all : COUNTED_VERDICTS.filter((verdict) => given.includes(verdict));
  }

  function readCompare(): boolean {
    if (input.compare === undefined || input.compare === "previous") return input.compare !== undefined;
    refuse("compare", "must be previous: the period of the same length before");
    return false;
  }

  /** The newest last by time; a total begins with the most. */
  function readSort(): Sort {
    const measures = measuresOf({ groupBy, verdicts });
    const columns = ["time", ...measures] as const;
    const text = input.sort ?? (granularity === "total" ? `-${measures[0]!}` : "time");
    const by = columns.find((column) => column === text.replace(/^-/, ""));
    if (by === undefined)
      refuse("sort", `must be one of ${columns.join(", ")}, or with - before it for the largest first`);
    return { by: by ?? "time", descending: text.startsWith("-") };
  }

  function readCursorField() {
    if (input.cursor === undefined) return undefined;
    const cursor = readCursor(input.cursor, fingerprint);
    return (
      cursor ?? refuse("cursor", "is not of this question: give all else as it was when the cursor was told")
    );
  }
}

/** Page size is no part of the question: it may change between two pages. */
function fingerprintOf(input: ReportInput): string {
  const said = REPORT_FIELDS.filter((field) => field !== "cursor" && field !== "limit").map(
    (field) => input[field] ?? null,
  );
  return createHash("sha256").update(JSON.stringify(said)).digest("base64url").slice(0, 16);
}

const uniqueFaults = (faults: readonly Fault[]): readonly Fault[] => [
  ...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values(),
];

/** @throws INPUT_INVALID where reasons are asked of a time of which they are not known any more */
export function assertRawKnown(query: ReportQuery, rawSinceMs: number): void {
  if (!query.groupBy.includes("reason") || query.fromMs >= rawSinceMs) return;
  throw new AdtallyError(
    "INPUT_INVALID",
    `from lies before ${new Date(rawSinceMs).toISOString()}: reasons are known of raw clicks alone, which are kept for so long`,
  );
}

/** From when on everything is known of what the raw rows say. */
export const rawSince = (nowMs: number, rawDays: number): number =>
  Math.ceil((nowMs - rawDays * DAY_MS) / DAY_MS) * DAY_MS;

/** Whether raw rows are read at all. */
export const readsRaw = (query: Pick<ReportQuery, "groupBy" | "verdicts">): boolean =>
  query.groupBy.includes("reason") || wantsDeadLetters(query);
