/** The chart's points as rows: what a reader hears of it, and the way to look closer without a mouse. */
import * as format from "./format.ts";
import { CsvButton } from "./csv-button.ts";
import { seriesParams, type Report, type ReportRow } from "./reports.ts";
import { Table, type Column } from "./table.ts";
import { html, useState, type Answer, type VNode } from "./ui.ts";
import { STEP_NAMES, type Granularity, type View } from "./view.ts";
import type { Api } from "./api.ts";

interface TimesProps {
  readonly api: Api;
  readonly view: View;
  readonly step: Granularity;
  readonly series: Answer<Report>;
  readonly linkTo: (view: View, text: string | VNode) => VNode;
}

export function TimesTable({ api, view, step, series, linkTo }: TimesProps): VNode {
  const [sort, setSort] = useState("-start");
  const number = (name: "clicks" | "invalid" | "duplicates", title: string): Column<ReportRow> => ({
    name,
    title,
    isNumber: true,
    value: (row) => row[name],
    cell: (row) => format.count(row[name]),
  });
  const timeOf = ({ start, end }: ReportRow): VNode | string => {
    const range = { fromMs: Date.parse(start), toMs: Date.parse(end) };
    const text = step === "1d" ? format.day(range.fromMs, view.zone) : format.moment(range.fromMs, view.zone);
    return step === "1m" ? text : linkTo({ ...view, range }, text);
  };
  const columns: readonly Column<ReportRow>[] = [
    { name: "start", title: `By ${STEP_NAMES[step]}`, value: ({ start }) => start, cell: timeOf },
    number("clicks", "Clicks"),
    {
      name: "before",
      title: "Before",
      isNumber: true,
      isExtra: true,
      value: (row) => row.previous_clicks ?? -1,
      cell: (row) => (typeof row.previous_clicks === "number" ? format.count(row.previous_clicks) : "–"),
    },
    number("invalid", "Invalid"),
    number("duplicates", "Repeated"),
    {
      name: "status",
      title: "Status",
      isExtra: true,
      value: ({ status }) => status,
      cell: ({ status }) => html`<span class="status ${status}">${status}</span>`,
    },
  ];
  return html`<details class="card">
    <summary><h2>By ${STEP_NAMES[step]}, as a table</h2></summary>
    <div class="row">
      <p class="faint grow">“Final” rows change no more; “live” ones may.</p>
      <${CsvButton} api=${api} params=${seriesParams(view, step)} name="clicks-by-time" />
    </div>
    <${Table}
      caption="Clicks by time"
      columns=${columns}
      rows=${series.data?.rows ?? []}
      keyOf=${(row: ReportRow) => row.start}
      sort=${sort}
      onSort=${setSort}
    />
  </details>`;
}
