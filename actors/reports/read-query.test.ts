import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { writeCursor } from "./cursor.ts";
import { REPORT_FIELDS, readReportQuery, type ReportInput } from "./read-query.ts";
import { parseTime } from "./times.ts";

const nowMs = Date.parse("2026-03-30T10:15:30Z");
const read = (input: ReportInput) => readReportQuery(input, { nowMs, limits: DEFAULT_LIMITS });
const reasonOf = (input: ReportInput): string =>
  (read(input).faults ?? []).map(({ field, reason }) => `${field} ${reason}`).join("; ");

test("without a word it is the last 24 hours by hour, of all that the caller may see", () => {
  expect(read({}).query).toMatchObject({
    advertiserIds: [],
    fromMs: nowMs - 86_400_000,
    toMs: nowMs,
    timeZone: "UTC",
    granularity: "1h",
    verdicts: ["ACCEPTED", "INVALID_TRAFFIC", "DUPLICATE"],
    sort: { by: "time", descending: false },
    limit: 1_000,
  });
});

test("days before now are calendar days of the zone, hours are hours", () => {
  const inBerlin = (text: string) => new Date(parseTime(text, nowMs, "Europe/Berlin")!).toISOString();
  // Clocks went forward on 29 March: at the same time of day an hour later in UTC.
  expect(inBerlin("-2d")).toBe("2026-03-28T11:15:30.000Z");
  expect(inBerlin("-48h")).toBe("2026-03-28T10:15:30.000Z");
  expect(inBerlin("-1w")).toBe("2026-03-23T11:15:30.000Z");
  expect(inBerlin("now")).toBe("2026-03-30T10:15:30.000Z");
});

test.each<[ReportInput, string]>([
  [{ ad_id: "1,1" }, "ad_id names the same thing twice"],
  [{ ad_id: "01" }, "ad_id must be unsigned 64-bit"],
  [{ ad_id: "18446744073709551616" }, "ad_id must be unsigned 64-bit"],
  [{ from: "-7y" }, "from must be an RFC 3339 time"],
  [{ from: "-9999999d" }, "from must be an RFC 3339 time"],
  [{ from: "now" }, "from must lie before to"],
  [{ time_zone: "+02:00" }, "time_zone must be the name"],
  [{ time_zone: "Mars/Olympus" }, "time_zone must be the name"],
  [{ granularity: "1y" }, "granularity must be one of 1m, 5m, 1h, 1d, 1w, total"],
  [
    { granularity: "1m", from: "-8d" },
    "granularity 1m makes 11520 intervals of this time, 10080 are allowed",
  ],
  [{ group_by: "country" }, "group_by country is not known of clicks yet"],
  [{ group_by: "ad,device" }, "group_by device is not known of clicks yet"],
  [{ group_by: "shard" }, "group_by must be of advertiser, campaign, ad, verdict, reason"],
  [{ top: "3" }, "top needs group_by"],
  [{ top: "1001", group_by: "ad" }, "top must be a whole number from 1 to 1000"],
  [{ limit: "0" }, "limit must be a whole number from 1 to 10080"],
  [{ compare: "year" }, "compare must be previous"],
  [{ sort: "-late" }, "sort must be one of time, clicks, invalid, duplicates"],
  [{ sort: "clicks", group_by: "verdict" }, "sort must be one of time, count"],
  [{ cursor: "abc" }, "cursor is not of this question"],
])("a question that makes no sense is refused by its field: %j", (input, reason) => {
  expect(reasonOf(input)).toContain(reason);
});

test("a cursor is of one question: of another it is refused, a page's size aside", () => {
  const { query } = read({ from: "-7d", group_by: "ad" });
  const cursor = writeCursor(query!, [1, 2, "3"]);
  const later = readReportQuery(
    { from: "-7d", group_by: "ad", limit: "5", cursor },
    { nowMs: nowMs + 60_000, limits: DEFAULT_LIMITS },
  );
  expect(later.query).toMatchObject({ fromMs: query!.fromMs, toMs: query!.toMs, after: [1, 2, "3"] });
  expect(reasonOf({ from: "-7d", group_by: "campaign", cursor })).toContain("cursor is not of this question");
});

const INJECTIONS = [
  "1' OR '1'='1",
  "1; DROP TABLE adtally.click_counts",
  "1) UNION ALL SELECT * FROM system.users --",
  "1 /* */ OR 1=1",
  "{p0:UInt64}",
  "toString(1)",
  "0x10",
  "1e3",
  "１",
  "ad'",
  "`ad_id`",
  "UTC' OR sleep(3)='",
  "../../etc/passwd",
  "%27",
  "\\'",
  "now()",
  "-1d; SELECT 1",
  "ACCEPTED') OR (1=1",
  "clicks DESC, (SELECT 1)",
  "time,clicks",
  "parquet INTO OUTFILE 'x'",
  "__proto__",
  "constructor",
  "null",
  "",
];
test.each(REPORT_FIELDS)("SQL in %s is refused by its name", (field) => {
  for (const text of INJECTIONS) {
    const { faults } = read({ group_by: field === "top" ? "ad" : undefined, [field]: text } as ReportInput);
    expect(
      faults?.map((fault) => fault.field),
      `${field}=${text}`,
    ).toContain(field);
  }
});
