/**
 * What can be asked of reports, and which columns the answer has. One vocabulary for HTTP, gRPC
 * and the SQL behind them; read-query.ts makes a ReportQuery of what a caller wrote, intervals.ts
 * cuts its time, answer.ts joins counts to rows.
 *
 *  Q1 A query names nothing but values of closed lists, numbers, and ids: no text of a caller's
 *     reaches SQL, save a time zone that Temporal knows, and that stays here.
 *  Q2 Rows have the same columns in every form of the answer: JSON, CSV, Parquet, gRPC.
 */
export const GRANULARITIES = ["1m", "5m", "1h", "1d", "1w", "total"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

export const GROUPS = ["advertiser", "campaign", "ad", "verdict", "reason"] as const;
export type Group = (typeof GROUPS)[number];
export type IdGroup = "advertiser" | "campaign" | "ad";
/** Not known of a click yet; refused by name. */
export const GROUPS_TO_COME = ["country", "device"] as const;

/** What a kept click can come to, and the column that counts it. */
export const VERDICT_COLUMNS = {
  ACCEPTED: "clicks",
  INVALID_TRAFFIC: "invalid",
  DUPLICATE: "duplicates",
  LATE: "late",
  EXPIRED: "late",
  REFUSED: "late",
} as const;
export type CountedVerdict = keyof typeof VERDICT_COLUMNS;
export const COUNTED_VERDICTS = Object.keys(VERDICT_COLUMNS) as readonly CountedVerdict[];
/** What `late` counts: the dead letters. Read from raw rows. */
export const DEAD_VERDICTS = ["LATE", "EXPIRED", "REFUSED"] as const satisfies readonly CountedVerdict[];

export type Measure = "clicks" | "invalid" | "duplicates" | "late" | "count";

export interface Sort {
  readonly by: "time" | Measure;
  readonly descending: boolean;
}

/** Of a row in the order of all: its value sorted by, its interval's start, its keys. */
export type Position = readonly (number | string | null)[];

export interface ReportQuery {
  /** Empty: all that the caller may see. */
  readonly advertiserIds: readonly bigint[];
  readonly campaignIds: readonly bigint[];
  readonly adIds: readonly bigint[];
  /** Which verdicts are counted; all that the counts know by default. */
  readonly verdicts: readonly CountedVerdict[];
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
  readonly timeZone: string;
  readonly granularity: Granularity;
  readonly groupBy: readonly Group[];
  /** So many groups with the most clicks, all others as one row. */
  readonly top: number | undefined;
  /** With the period of the same length before. */
  readonly compare: boolean;
  readonly sort: Sort;
  readonly limit: number;
  readonly after: Position | undefined;
  /** Of everything but page and time: a cursor of another question is refused by it. */
  readonly fingerprint: string;
}

/** What a caller may see: every route passes its subject through this. */
export interface Access {
  readonly advertisers: "all" | ReadonlySet<bigint>;
}

export const EVERYTHING: Access = { advertisers: "all" };

const isByVerdict = (groupBy: readonly Group[]): boolean =>
  groupBy.includes("verdict") || groupBy.includes("reason");

/** The columns that count; a row of one verdict or reason has one number. */
export function measuresOf({
  groupBy,
  verdicts,
}: Pick<ReportQuery, "groupBy" | "verdicts">): readonly Measure[] {
  if (isByVerdict(groupBy)) return ["count"];
  return [...new Set(verdicts.map((verdict) => VERDICT_COLUMNS[verdict]))];
}

/** Whether dead letters are among what is asked. */
export const wantsDeadLetters = ({ verdicts }: Pick<ReportQuery, "verdicts">): boolean =>
  DEAD_VERDICTS.some((dead) => verdicts.includes(dead));

export type ColumnType = "time" | "id" | "text" | "count" | "ratio" | "flag";

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** Q2. */
export function columnsOf(
  query: Pick<ReportQuery, "groupBy" | "verdicts" | "top" | "compare">,
): readonly Column[] {
  const counts = measuresOf(query);
  const isId = (group: Group) => group !== "verdict" && group !== "reason";
  return [
    { name: "start", type: "time" },
    { name: "end", type: "time" },
    ...query.groupBy.map((group): Column =>
      isId(group) ? { name: `${group}_id`, type: "id" } : { name: group, type: "text" },
    ),
    ...(query.top === undefined ? [] : [{ name: "rest", type: "flag" } as const]),
    ...counts.map((name): Column => ({ name, type: "count" })),
    ...(query.groupBy.length === 0 ? [] : [{ name: "share", type: "ratio" } as const]),
    ...(query.compare ? counts.map((name): Column => ({ name: `previous_${name}`, type: "count" })) : []),
    { name: "status", type: "text" },
  ];
}
