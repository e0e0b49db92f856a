/**
 * Clicks that are not billed. How many were repeated and invalid is known for as long as counts are;
 * why, and which were late, for as long as single clicks are kept.
 */
import { messageOf, type Api } from "./api.ts";
import * as format from "./format.ts";
import { Empty, Failed, Loading } from "./parts.ts";
import { refusedParams, report, type Report, type ReportRow } from "./reports.ts";
import { html, useAnswer, type VNode } from "./ui.ts";
import type { Bounds, Range, View } from "./view.ts";

interface RefusedProps {
  readonly api: Api;
  readonly view: View;
  readonly bounds: Bounds;
  /** Of the same time. */
  readonly series: Report | undefined;
}

interface Bar {
  readonly name: string;
  readonly count: number;
}

const EVERY_MS = 15_000;
const NAMES: Readonly<Record<string, string>> = {
  INVALID_TRAFFIC: "Invalid traffic",
  LATE: "Late",
  EXPIRED: "Expired",
  REFUSED: "Refused",
};

const nameOf = ({ verdict = "", reason = "NONE" }: ReportRow): string => {
  const name = NAMES[verdict] ?? format.words(verdict);
  return reason === "NONE" ? name : `${name}: ${format.words(reason).toLowerCase()}`;
};

/** What of the invalid no reason is known of is said so: the sum is the counts'. */
export function barsOf({ duplicates, invalid }: Report["total"], rows: readonly ReportRow[]): readonly Bar[] {
  const explained = rows
    .filter(({ verdict, reason }) => verdict !== "INVALID_TRAFFIC" || reason !== "NONE")
    .map((row) => ({ name: nameOf(row), count: row.count ?? 0, verdict: row.verdict }));
  const known = explained
    .filter(({ verdict }) => verdict === "INVALID_TRAFFIC")
    .reduce((sum, { count }) => sum + count, 0);
  const bars = [
    { name: "Repeated: the impression had been clicked before", count: duplicates },
    { name: known === 0 ? "Invalid traffic" : "Invalid traffic, reason not kept", count: invalid - known },
    ...explained.map(({ name, count }) => ({ name, count })),
  ];
  return bars.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count);
}

export function RefusedPanel({ api, view, bounds, series }: RefusedProps): VNode {
  const sinceMs = series === undefined ? undefined : Date.parse(series.raw_since);
  const isCut = sinceMs !== undefined && bounds.fromMs < sinceMs;
  const range: Range = isCut ? { fromMs: sinceMs, toMs: bounds.toMs } : view.range;
  const question =
    sinceMs === undefined || sinceMs >= bounds.toMs
      ? undefined
      : JSON.stringify([view.kind, view.id, view.range, isCut, view.zone]);
  const { data, error } = useAnswer(
    question,
    (signal) => report(api, refusedParams(view, range), signal),
    EVERY_MS,
  );
  const bars = series === undefined ? [] : barsOf(series.total, data?.rows ?? []);
  const most = Math.max(1, ...bars.map(({ count }) => count));
  return html`<section class="card" aria-labelledby="refused-title">
    <h2 id="refused-title">Not billed, by reason</h2>
    ${error !== undefined && html`<${Failed} what="The reasons" error=${messageOf(error)} />`}
    ${series === undefined && html`<${Loading} what="the reasons" />`}
    ${
      series !== undefined &&
      bars.length === 0 &&
      html`<${Empty}>Nothing: each click of this time was counted.<//>`
    }
    ${
      bars.length > 0 &&
      html`<ul class="bars">
        ${bars.map(
          ({ name, count }) =>
            html`<li key=${name}>
              <span>${name}</span><span class="number">${format.count(count)}</span>
              <meter min="0" max=${most} value=${count} aria-hidden="true"></meter>
            </li>`,
        )}
      </ul>`
    }
    ${
      isCut &&
      html`<p class="faint">
        Reasons are known since ${format.day(sinceMs, view.zone)}, for as long as single clicks are kept.
      </p>`
    }
  </section>`;
}
