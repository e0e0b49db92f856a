/** `adtally report`: clicks by time, as a table with a line of bars, as CSV or as JSON. */
import { Option, type Command } from "commander";
import { countOf, runs, textOf, type Context, type Options, type Run } from "../command.ts";
import { queryString, refusalOf } from "../http.ts";
import { usage } from "../failure.ts";
import { sparkline } from "../text/sparkline.ts";
import { grouped, safe } from "../text/table.ts";

type Cell = string | number | boolean | null | undefined;
type Row = Readonly<Record<string, Cell>>;

interface Report {
  readonly columns?: readonly string[];
  readonly rows: readonly Row[];
  readonly total: Row;
  readonly previous_total?: Row | null;
  readonly next?: string | null;
  readonly [more: string]: unknown;
}

const GRANULARITIES = ["1m", "5m", "1h", "1d", "1w", "total"];
const GROUPS = ["advertiser", "campaign", "ad", "verdict", "reason"];
const PAGE_MAX = 1_000_000;
/** A terminal takes so many lines; CSV and JSON what there is. */
const USUAL_ROWS = 200;
const COUNTS = /^(previous_)?(clicks|invalid|duplicates|late|count)$/;

export function addReport(program: Command): void {
  runs(
    program
      .command("report")
      .description("clicks of an advertiser, a campaign, an ad, or of all that the key may see")
      .option("--advertiser <id,…>", "of these advertisers")
      .option("--campaign <id,…>", "of these campaigns")
      .option("--ad <id,…>", "of these ads")
      .option("--from <time>", "RFC 3339, or before now: -24h, -7d (default: -24h)")
      .option("--to <time>", "exclusive; RFC 3339, now, or before now (default: now)")
      .option("--time-zone <name>", "days begin at its midnight: Europe/Berlin (default: UTC)")
      .addOption(new Option("--granularity <step>", "(default: 1h)").choices(GRANULARITIES))
      .option("--group-by <what,…>", `of ${GROUPS.join(", ")}`)
      .option(
        "--verdict <verdict,…>",
        "only these: ACCEPTED, INVALID_TRAFFIC, DUPLICATE, LATE, EXPIRED, REFUSED",
      )
      .option("--late", "late clicks, too")
      .option("--top <count>", "so many groups with the most clicks, all others as one")
      .option("--compare", "with the period before")
      .option("--sort <column>", "time, clicks, …; the largest first: -clicks")
      .option("--limit <count>", `rows at the most (default: ${USUAL_ROWS}; with --csv and --json: all)`)
      .option("--csv", "CSV (RFC 4180), as the API's"),
    report,
  );
}

function fieldsOf(options: Options): Readonly<Record<string, string | undefined>> {
  return {
    advertiser_id: textOf(options, "advertiser"),
    campaign_id: textOf(options, "campaign"),
    ad_id: textOf(options, "ad"),
    from: textOf(options, "from"),
    to: textOf(options, "to"),
    time_zone: textOf(options, "timeZone"),
    granularity: textOf(options, "granularity"),
    group_by: textOf(options, "groupBy"),
    verdict: textOf(options, "verdict"),
    include: options["late"] === true ? "late" : undefined,
    top: textOf(options, "top"),
    compare: options["compare"] === true ? "previous" : undefined,
    sort: textOf(options, "sort"),
  };
}

const report: Run = async (context, options) => {
  const { output } = context;
  const fields = fieldsOf(options);
  if (options["csv"] === true) {
    if (output.isJson) throw usage("--csv and --json exclude each other", "leave one out");
    await copyCsv(context, { ...fields, limit: textOf(options, "limit"), format: "csv" });
    return;
  }
  const limit = countOf(options, "limit", output.isJson ? PAGE_MAX : USUAL_ROWS, PAGE_MAX);
  const found = await read(context, fields, limit);
  if (output.isJson) output.json(found);
  else tell(context, found, options);
};

/** As the API writes it: its rows are the same everywhere. */
async function copyCsv(
  { output, query }: Context,
  fields: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const path = `/v1/reports${queryString(fields)}`;
  const where = `GET ${query.url}${path}`;
  const answer = await query.open(path);
  if (answer.status !== 200) throw await refusalOf(answer, where, query.name);
  output.raw(await answer.text());
}

/** Page by page, as one. */
async function read(
  { output, query }: Context,
  fields: Readonly<Record<string, string | undefined>>,
  limit: number,
): Promise<Report> {
  let whole: Report | undefined;
  let cursor: string | undefined;
  do {
    const page: Report = await query.ask<Report>("GET", `/v1/reports${queryString({ ...fields, cursor })}`);
    whole = { ...page, rows: [...(whole?.rows ?? []), ...page.rows] };
    cursor = page.next ?? undefined;
    if (cursor !== undefined) output.progress(`${grouped(whole.rows.length)} rows`);
  } while (cursor !== undefined && whole.rows.length < limit);
  const isCut = whole.rows.length > limit;
  return {
    ...whole,
    rows: whole.rows.slice(0, limit),
    next: isCut ? (whole.next ?? "") : (whole.next ?? null),
  };
}

const columnsOf = ({ columns, rows, total }: Report): readonly string[] =>
  columns ?? Object.keys(rows[0] ?? total);

/** Without what is the same in all of a report's times: seconds, and the end. */
const shownTime = (text: string): string => text.replace(/:00(\.000)?Z$/, "Z").replace("T", " ");

function shown(name: string, cell: Cell): string {
  if (cell === null || cell === undefined) return "";
  if (name === "start") return shownTime(String(cell));
  if (name === "share") return `${(Number(cell) * 100).toFixed(1)} %`;
  return COUNTS.test(name) ? grouped(Number(cell)) : safe(String(cell));
}

function tell({ output }: Context, found: Report, options: Options): void {
  const { paint } = output;
  const { next, previous_total: before, rows, total } = found;
  // One row of `rest` has no id: it is that of all others.
  const columns = columnsOf(found).filter((name) => name !== "end" && name !== "rest");
  const measure = columns.find((name) => COUNTS.test(name)) ?? "clicks";
  const isSeries =
    options["groupBy"] === undefined && rows.length > 1 && textOf(options, "sort") === undefined;
  if (isSeries) {
    const bars = sparkline(
      rows.map((row) => Number(row[measure] ?? 0)),
      Math.max(10, output.columns - 2),
    );
    output.say(paint.cyan(bars), "");
  }
  output.table(
    columns.map((name) => ({
      name: name.replaceAll("_", " "),
      align: COUNTS.test(name) || name === "share" ? "right" : "left",
    })),
    rows.map((row) =>
      columns.map((name) => (row["rest"] === true && row[name] === null ? "others" : shown(name, row[name]))),
    ),
  );
  const sums = (of: Row) =>
    Object.entries(of)
      .map(([name, value]) => `${name} ${shown(name, value) || "?"}`)
      .join(", ");
  output.say("", `${paint.bold("total")}   ${sums(total)}`);
  if (before !== null && before !== undefined) output.say(`before  ${sums(before)}`);
  if (typeof next === "string") output.note("there are more rows: --limit, or --csv for all");
}
