/** What a subject is made of: its campaigns, or a campaign's ads. */
import { messageOf, type Api } from "./api.ts";
import { CsvButton } from "./csv-button.ts";
import * as format from "./format.ts";
import { ofLastMinute, type Live } from "./live.ts";
import { Change, Empty, Failed, Loading } from "./parts.ts";
import {
  adNames,
  partsParams,
  report,
  sinceMidnight,
  subjectOf,
  timesOf,
  MOST_ROWS,
  type AdName,
  type ReportRow,
} from "./reports.ts";
import { Sparkline } from "./sparkline.ts";
import { Table, type Column } from "./table.ts";
import { html, useAnswer, useMemo, type VNode } from "./ui.ts";
import { startOfDay, STEP_MS, type Bounds, type Granularity, type View } from "./view.ts";

interface PartsProps {
  readonly api: Api;
  readonly view: View;
  readonly part: "campaign" | "ad";
  readonly bounds: Bounds;
  readonly live: Live;
  readonly onView: (view: View) => void;
  readonly linkTo: (view: View, text: string | VNode) => VNode;
}

const EVERY_MS = 10_000;
const SELDOM_MS = 60_000;
const DAY_MS = 86_400_000;
/** Sparklines are drawn for so many of the largest, of about so many points. */
const MOST_SPARKS = 50;
const SPARK_POINTS = 60;
const NAMES = { campaign: "Campaigns", ad: "Ads" } as const;

interface Part {
  readonly id: string;
  readonly name: string;
  readonly row: ReportRow;
  readonly today: number;
  readonly lastMinute: number;
  readonly spark: readonly number[];
}

export function PartsTable({ api, view, part, bounds, live, onView, linkTo }: PartsProps): VNode {
  const idOf = (row: ReportRow): string => (part === "ad" ? row.ad_id : row.campaign_id) ?? "";
  const params = partsParams(view, part);
  const { data, error, isStale } = useAnswer(
    JSON.stringify(params),
    (signal) => report(api, params, signal),
    EVERY_MS,
  );
  const today = useToday(api, view, part);
  const sparks = useSparks(api, view, part, bounds);
  const names = useNames(api, data?.rows.map(idOf) ?? [], part);
  const lastMinute = ofLastMinute(live, part === "ad" ? "ad_id" : "campaign_id");
  const parts = (data?.rows ?? []).map((row): Part => {
    const id = idOf(row);
    return {
      id,
      row,
      name: names.get(id) ?? "",
      today: today.get(id) ?? 0,
      lastMinute: lastMinute.get(id) ?? 0,
      spark: sparks.get(id) ?? [],
    };
  });
  const columns: readonly Column<Part>[] = [
    {
      name: "name",
      title: part === "ad" ? "Ad" : "Campaign",
      value: ({ name, id }) => `${name} ${id}`,
      cell: ({ id, name }) =>
        html`${linkTo({ ...view, kind: part, id }, name === "" ? `${part === "ad" ? "Ad" : "Campaign"} ${id}` : name)}
        ${name !== "" && html`<span class="faint id">${id}</span>`}`,
    },
    {
      name: "trend",
      title: "Trend",
      isExtra: true,
      cell: ({ spark }) => html`<${Sparkline} values=${spark} />`,
    },
    number("clicks", "Clicks", ({ row }) => row.clicks),
    {
      name: "change",
      title: "Change",
      isNumber: true,
      value: ({ row }) => row.clicks / Math.max(0.5, row.previous_clicks ?? 0.5),
      cell: ({ row }) => html`<${Change} now=${row.clicks} before=${row.previous_clicks ?? undefined} />`,
    },
    { ...number("today", "Today", (each) => each.today), isExtra: true },
    { ...number("now", "Last minute", (each) => each.lastMinute), isExtra: true },
    {
      name: "invalid",
      title: "Not billed",
      isNumber: true,
      isExtra: true,
      value: ({ row }) =>
        (row.invalid + row.duplicates) / Math.max(1, row.clicks + row.invalid + row.duplicates),
      cell: ({ row }) =>
        format.percent(row.invalid + row.duplicates, row.clicks + row.invalid + row.duplicates),
    },
  ];
  return html`<section class="card" aria-labelledby="parts-title">
    <div class="row">
      <h2 id="parts-title" class="grow">${NAMES[part]}</h2>
      ${parts.length > 0 && html`<${CsvButton} api=${api} params=${params} name=${NAMES[part].toLowerCase()} />`}
    </div>
    ${
      parts.some(({ name }) => /demo data/i.test(name)) &&
      html`<p class="notice">
        What is marked <strong>demo data</strong> was made up for this demonstration: its past by a generator,
        its present by clicks that this program sends to itself.
      </p>`
    }
    ${error !== undefined && html`<${Failed} what=${`The ${NAMES[part].toLowerCase()}`} error=${messageOf(error)} />`}
    ${data === undefined && error === undefined && html`<${Loading} what=${NAMES[part].toLowerCase()} />`}
    ${
      data !== undefined &&
      parts.length === 0 &&
      html`<${Empty}>
        <strong>No clicks in this time.</strong> Choose a longer one, or show an ad (<code
          >POST /v1/impressions</code
        >) and click it.
      <//>`
    }
    ${
      parts.length > 0 &&
      html`<div class=${isStale ? "stale" : ""}>
        <${Table}
          caption=${`${NAMES[part]} with their clicks`}
          columns=${columns}
          rows=${parts}
          keyOf=${({ id }: Part) => id}
          sort=${view.sort}
          onSort=${(sort: string) => onView({ ...view, sort })}
        />
      </div>`
    }
    ${parts.length === MOST_ROWS && html`<p class="faint">These are the ${MOST_ROWS} with most clicks. The API pages through all.</p>`}
  </section>`;
}

const number = (name: string, title: string, value: (part: Part) => number): Column<Part> => ({
  name,
  title,
  isNumber: true,
  value,
  cell: (each) => format.count(value(each)),
});

function useToday(api: Api, view: View, part: "campaign" | "ad"): ReadonlyMap<string, number> {
  const midnight = startOfDay(Date.now(), view.zone);
  const { data } = useAnswer(
    JSON.stringify([view.kind, view.id, view.zone, part, midnight]),
    (signal) =>
      report(
        api,
        {
          ...subjectOf(view),
          ...sinceMidnight(midnight, view.zone),
          granularity: "total",
          group_by: part,
          limit: String(MOST_ROWS),
        },
        signal,
      ),
    EVERY_MS / 2,
  );
  return useMemo(
    () => new Map(data?.rows.map((row) => [(part === "ad" ? row.ad_id : row.campaign_id) ?? "", row.clicks])),
    [data],
  );
}

function sparkStep({ fromMs, toMs }: Bounds): Granularity {
  const steps = Object.entries(STEP_MS) as [Granularity, number][];
  // A week is drawn by the hour all the same: seven points are no line.
  const most = toMs - fromMs <= 8 * DAY_MS ? 3 * SPARK_POINTS : SPARK_POINTS;
  return steps.find(([, ms]) => (toMs - fromMs) / ms <= most)?.[0] ?? "1d";
}

function useSparks(
  api: Api,
  view: View,
  part: "campaign" | "ad",
  bounds: Bounds,
): ReadonlyMap<string, readonly number[]> {
  const step = sparkStep(bounds);
  const params = {
    ...subjectOf(view),
    ...timesOf(view.range, view.zone),
    granularity: step,
    group_by: part,
    top: String(MOST_SPARKS),
    limit: "10000",
  };
  const { data } = useAnswer(JSON.stringify(params), (signal) => report(api, params, signal), SELDOM_MS);
  return useMemo(() => {
    const points = Math.max(1, Math.ceil((bounds.toMs - bounds.fromMs) / STEP_MS[step]));
    const found = new Map<string, number[]>();
    for (const row of data?.rows ?? []) {
      const id = (part === "ad" ? row.ad_id : row.campaign_id) ?? "";
      const at = Math.floor((Date.parse(row.start) - bounds.fromMs) / STEP_MS[step]);
      const values = found.get(id) ?? new Array<number>(points).fill(0);
      values[Math.max(0, Math.min(points - 1, at))]! += row.clicks;
      found.set(id, values);
    }
    return found;
  }, [data]);
}

/** A campaign is known by the titles of its ads. */
function useNames(api: Api, ids: readonly string[], part: "campaign" | "ad"): ReadonlyMap<string, string> {
  const asked = ids.slice(0, 100).toSorted().join(",");
  const { data } = useAnswer<readonly AdName[]>(
    asked === "" ? undefined : `${part} ${asked}`,
    (signal) => adNames(api, { [`${part}_id`]: asked }, signal),
    10 * SELDOM_MS,
  );
  return useMemo(() => {
    const names = new Map<string, string>();
    for (const ad of data ?? []) {
      const id = part === "ad" ? ad.ad_id : ad.campaign_id;
      if (!names.has(id)) names.set(id, ad.title);
    }
    return names;
  }, [data]);
}
