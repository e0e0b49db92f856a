/** One page for all that has clicks: everything, an advertiser, a campaign, an ad. */
import { messageOf, type Api } from "./api.ts";
import { Chart, type Point } from "./chart.ts";
import * as format from "./format.ts";
import { perSecond, useLive, type Live } from "./live.ts";
import { Change, Failed, Loading, Tile } from "./parts.ts";
import { PartsTable } from "./parts-table.ts";
import { RefusedPanel } from "./refused-panel.ts";
import {
  partOf,
  report,
  seriesParams,
  sinceMidnight,
  subjectOf,
  type Report,
  type ReportRow,
} from "./reports.ts";
import { Pulse } from "./sparkline.ts";
import { TimesTable } from "./times-table.ts";
import { html, useAnswer, useEffect, useNow, useState, type Answer, type VNode } from "./ui.ts";
import {
  boundsOf,
  granularityOf,
  startOfDay,
  zoomedOut,
  PRESETS,
  STEP_NAMES,
  type Range,
  type View,
} from "./view.ts";

export interface PageProps {
  readonly api: Api;
  readonly view: View;
  readonly theme: string;
  readonly onView: (view: View) => void;
  readonly linkTo: (view: View, text: string | VNode) => VNode;
}

const MINUTE_MS = 60_000;
const SERIES_MS = 10_000;
/** While clicks come the day's total is asked for so often, else so seldom. */
const TOTAL_MS = 1_000;
const QUIET_TOTAL_MS = 15_000;

const pointOf = (row: ReportRow, nowMs: number): Point => ({
  fromMs: Date.parse(row.start),
  toMs: Date.parse(row.end),
  clicks: row.clicks,
  notBilled: row.invalid + row.duplicates,
  before: row.previous_clicks ?? undefined,
  isOver: Date.parse(row.end) <= nowMs,
});

export function ReportPage(props: PageProps): VNode {
  const { api, view, theme, onView } = props;
  const now = useNow(MINUTE_MS / 2);
  const bounds = boundsOf(view.range, now);
  const step = granularityOf(bounds);
  const live = useLive(api, `?${new URLSearchParams({ ...subjectOf(view), recent: "60" })}`);
  const params = seriesParams(view, step);
  const series = useAnswer(JSON.stringify(params), (signal) => report(api, params, signal), SERIES_MS);
  const today = useToday(api, view, live);
  const part = partOf(view);
  const narrow = (range: Range): void => onView({ ...view, range });

  return html`
    <${Tiles} live=${live} series=${series} today=${today} lasts=${nameOf(view.range)} />
    <section class="card" aria-labelledby="chart-title">
      <div class="row">
        <h2 id="chart-title">Clicks by ${STEP_NAMES[step]}</h2>
        <p class="faint grow">${format.span(bounds.fromMs, bounds.toMs, view.zone)}</p>
        <button type="button" onClick=${() => narrow(zoomedOut(bounds, now))}>Zoom out</button>
      </div>
      ${series.error !== undefined && html`<${Failed} what="The chart" error=${messageOf(series.error)} />`}
      ${
        series.data === undefined
          ? series.error === undefined && html`<div class="plot-room"><${Loading} what="the chart" /></div>`
          : html`<div class=${series.isStale ? "stale" : ""}>
              <${Chart}
                points=${series.data.rows.map((row) => pointOf(row, now))}
                step=${step}
                zone=${view.zone}
                theme=${theme}
                onBrush=${(fromMs: number, toMs: number) => narrow({ fromMs, toMs: Math.max(toMs, fromMs + 5 * MINUTE_MS) })}
              />
            </div>`
      }
    </section>
    ${part !== undefined && html`<${PartsTable} ...${props} part=${part} bounds=${bounds} step=${step} live=${live} />`}
    <${RefusedPanel}
      api=${api}
      view=${view}
      bounds=${bounds}
      series=${series.isStale ? undefined : series.data}
    />
    <${TimesTable} ...${props} step=${step} series=${series} />
  `;
}

/** The total since midnight: always a report's, asked for anew whenever the stream says that clicks came. */
function useToday(api: Api, view: View, live: Live): Answer<Report> {
  const midnight = startOfDay(Date.now(), view.zone);
  const params = {
    ...subjectOf(view),
    ...sinceMidnight(midnight, view.zone),
    granularity: "total",
  };
  const [newest, setNewest] = useState(0);
  const lastClick = live.seconds.findLast(({ clicks }) => clicks > 0);
  const seen = lastClick === undefined ? 0 : lastClick.atMs + lastClick.clicks / 1e6;
  const isBusy = live.state !== "live" || Date.now() - newest < 5 * TOTAL_MS;
  useEffect(() => setNewest(Date.now()), [seen]);
  const question = JSON.stringify({ ...subjectOf(view), midnight, zone: view.zone });
  return useAnswer(question, (signal) => report(api, params, signal), isBusy ? TOTAL_MS : QUIET_TOTAL_MS);
}

interface TilesProps {
  readonly live: Live;
  readonly series: Answer<Report>;
  readonly today: Answer<Report>;
  /** What the chosen time is called. */
  readonly lasts: string;
}

const nameOf = (range: Range): string =>
  ("last" in range && PRESETS.find(([last]) => last === range.last)?.[1]) || "In the chosen time";

const changeNote = (now: number, before: number | undefined): VNode | string =>
  before === undefined || before === 0
    ? "nothing before to compare with"
    : html`<${Change} now=${now} before=${before} /> vs. the time before`;

function Tiles({ lasts, live, series, today }: TilesProps): VNode {
  const total = series.data?.total;
  const before = series.data?.previous_total ?? undefined;
  const seconds = perSecond(live);
  const minute = seconds.reduce((sum, clicks) => sum + clicks, 0);
  const notBilled = total === undefined ? 0 : total.invalid + total.duplicates;
  const states = {
    live: "live",
    connecting: "connecting…",
    away: "not live: the total is asked for each second",
  };
  const dots = html`<span class="faint">…</span>`;
  return html`<dl class="tiles">
    <${Tile}
      name="Today"
      testId="today"
      value=${today.data === undefined || today.isStale ? dots : format.count(today.data.total.clicks)}
      note=${html`<span class="dot ${live.state}"></span>${states[live.state]}`}
    />
    <${Tile}
      name="Now"
      testId="rate"
      value=${live.state === "connecting" && minute === 0 ? dots : format.count(minute)}
      note="in the last minute"
    >
      <${Pulse} values=${seconds} />
    <//>
    <${Tile}
      name=${lasts}
      value=${total === undefined ? dots : format.count(total.clicks)}
      note=${total && changeNote(total.clicks, before?.clicks)}
    />
    <${Tile}
      name="Not billed"
      value=${total === undefined ? dots : format.percent(notBilled, total.clicks + notBilled)}
      note=${total && `${format.count(notBilled)} invalid or repeated`}
    />
  </dl>`;
}
