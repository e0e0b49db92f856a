/** Clicks that are not billed, by verdict and reason. */
import { messageOf, type Api } from "./api.ts";
import * as format from "./format.ts";
import { Empty, Failed, Loading } from "./parts.ts";
import { refused, type ReportRow, type Totals } from "./reports.ts";
import { html, useAnswer, type VNode } from "./ui.ts";
import type { View } from "./view.ts";

interface RefusedProps {
  readonly api: Api;
  readonly view: View;
  readonly total: Totals | undefined;
}

const EVERY_MS = 15_000;
const NAMES: Readonly<Record<string, string>> = {
  DUPLICATE: "Repeated: the impression had been clicked before",
  INVALID_TRAFFIC: "Invalid traffic",
  LATE: "Late",
  EXPIRED: "Expired",
  REFUSED: "Refused",
};

const nameOf = ({ verdict = "", reason = "NONE" }: ReportRow): string => {
  const name = NAMES[verdict] ?? format.words(verdict);
  return reason === "NONE" ? name : `${name}: ${format.words(reason).toLowerCase()}`;
};

export function RefusedPanel({ api, view, total }: RefusedProps): VNode {
  const question = JSON.stringify([view.kind, view.id, view.range, view.zone]);
  const { data, error } = useAnswer(question, (signal) => refused(api, view, signal), EVERY_MS);
  const rows = [...(data?.rows ?? [])]
    .filter(({ count = 0 }) => count > 0)
    .sort((a, b) => (b.count ?? 0) - (a.count ?? 0));
  const most = Math.max(1, ...rows.map(({ count = 0 }) => count));
  return html`<section class="card" aria-labelledby="refused-title">
    <h2 id="refused-title">Invalid traffic, by reason</h2>
    ${
      total !== undefined &&
      html`<p class="faint">
        Of the clicks of this time, ${format.count(total.invalid)} were invalid and${" "}
        ${format.count(total.duplicates)} were repeated. None of these is billed.
      </p>`
    }
    ${error !== undefined && html`<${Failed} what="The reasons" error=${messageOf(error)} />`}
    ${data === undefined && error === undefined && html`<${Loading} what="the reasons" />`}
    ${data !== undefined && rows.length === 0 && html`<${Empty}>No click of this time is known to have been turned down.<//>`}
    ${
      rows.length > 0 &&
      html`<ul class="bars">
        ${rows.map(
          (row) =>
            html`<li key=${`${row.verdict} ${row.reason}`}>
              <span>${nameOf(row)}</span><span class="number">${format.count(row.count ?? 0)}</span>
              <meter min="0" max=${most} value=${row.count} aria-hidden="true"></meter>
            </li>`,
        )}
      </ul>`
    }
    ${
      data?.sinceMs !== undefined &&
      html`<p class="faint">
        Reasons are known since ${format.day(data.sinceMs, view.zone)}: as long as single clicks are kept.
      </p>`
    }
  </section>`;
}
