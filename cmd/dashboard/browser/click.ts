/** What became of one click: the verdict, and every row of the log that speaks of it. */
import { ApiError, messageOf, type Api } from "./api.ts";
import * as format from "./format.ts";
import { Failed, Loading } from "./parts.ts";
import { explain, type ClickRow, type Explanation } from "./reports.ts";
import { html, useAnswer, useState, type VNode } from "./ui.ts";
import type { View } from "./view.ts";

const VERDICTS: Readonly<Record<string, string>> = {
  ACCEPTED: "It counts, and is billed.",
  DUPLICATE: "The same impression had been clicked before: that click counts, this one does not.",
  INVALID_TRAFFIC: "It was kept and reported as invalid traffic; it is not billed.",
  LATE: "It was sent too long after the click: kept among the dead letters, not billed.",
  EXPIRED: "Its impression was shown too long ago: kept among the dead letters, not billed.",
  REFUSED: "Its shard could not take it: kept among the dead letters, not billed.",
};
const SOURCES: Readonly<Record<string, string>> = {
  HTTP: "a browser, over HTTP",
  GRPC_TOKEN: "an SDK, over gRPC, with the impression's token",
  GRPC_CLICK_ID: "an SDK, over gRPC, with an id of its own",
};
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const NEW_ROWS_MS = 5_000;

interface ClickProps {
  readonly api: Api;
  readonly view: View;
  readonly onView: (view: View) => void;
  readonly linkTo: (view: View, text: string) => VNode;
}

export function Click({ api, view, onView, linkTo }: ClickProps): VNode {
  const [typed, setTyped] = useState(view.id);
  const [wrong, setWrong] = useState<string>();
  const isAsked = UUID.test(view.id);
  const answer = useAnswer(
    isAsked ? view.id : undefined,
    (signal) =>
      explain(api, view.id, signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return undefined;
        throw error;
      }),
    NEW_ROWS_MS,
  );
  const submit = (event: Event): void => {
    event.preventDefault();
    const id = typed.trim().toLowerCase();
    const isId = UUID.test(id);
    setWrong(
      isId
        ? undefined
        : "An impression id looks like 0199c0de-0000-7000-8000-000000000000: the answer of POST /v1/impressions has it.",
    );
    if (isId) onView({ ...view, id });
  };
  return html`<section class="card" aria-labelledby="click-title">
      <h1 id="click-title">Explain a click</h1>
      <form class="explain" onSubmit=${submit} novalidate>
        <label for="impression">Impression id</label>
        <input
          id="impression"
          class="mono"
          spellcheck="false"
          value=${typed}
          aria-describedby="impression-said"
          onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)}
        />
        <button type="submit" class="primary">Explain</button>
      </form>
      <p
        id="impression-said"
        class=${wrong === undefined ? "faint" : "wrong"}
        role=${wrong === undefined ? undefined : "alert"}
      >
        ${wrong ?? "Any click of the last seven days, by the impression that it was made on."}
      </p>
    </section>
    ${isAsked && shown(answer, view, linkTo)}`;
}

function shown(
  { data, error, isStale }: { data: Explanation | undefined; error: Error | undefined; isStale: boolean },
  view: View,
  linkTo: ClickProps["linkTo"],
): VNode {
  if (error !== undefined) return html`<${Failed} what="The click" error=${messageOf(error)} />`;
  if (isStale) return html`<${Loading} what="the click" />`;
  if (data === undefined)
    return html`<section class="card" role="status">
      <h2>No such click</h2>
      <p>
        No click on this impression is known to you. A click is here about a second after it was made, for
        seven days; one that was refused at the gate (a forged token, say) never is.
      </p>
    </section>`;
  return html`<section class="card" role="status">
    <h2 class=${data.counted ? "good" : "bad"}>
      ${data.counted ? "Counted" : "Not counted"}: ${format.words(data.verdict).toLowerCase()}
    </h2>
    <p>
      ${VERDICTS[data.verdict] ?? ""}
      ${data.reason !== "NONE" && html`Reason: <strong>${format.words(data.reason).toLowerCase()}</strong>.`}
    </p>
    <p class="faint mono">${data.impression_id}</p>
    <ol class="rows">
      ${data.rows.map((row) => html`<li key=${`${row.shard} ${row.log_offset} ${row.row_number}`}>${rowOf(row, view, linkTo)}</li>`)}
    </ol>
    ${data.has_more && html`<p class="faint">There are more rows than these.</p>`}
  </section>`;
}

function rowOf(row: ClickRow, view: View, linkTo: ClickProps["linkTo"]): VNode {
  const at = (text: string) => format.exact(Date.parse(text), view.zone);
  const facts: readonly (readonly [string, VNode | string])[] = [
    ["Clicked", at(row.click_time)],
    ["Received", at(row.received_time)],
    ["Counts in the minute", format.moment(Date.parse(row.window), view.zone)],
    ["From", SOURCES[row.source] ?? row.source],
    ["Ad", linkTo({ ...view, kind: "ad", id: row.ad_id }, row.ad_id)],
    ["Campaign", linkTo({ ...view, kind: "campaign", id: row.campaign_id }, row.campaign_id)],
    ["Advertiser", row.advertiser_id],
    [
      "In the log",
      `shard ${row.shard}, offset ${row.log_offset}, row ${row.row_number}, generation ${row.generation}`,
    ],
    ["User agent", row.user_agent === "" ? "none was sent" : row.user_agent],
  ];
  return html`<h3>
      ${format.words(row.verdict)}${row.reason === "NONE" ? "" : `: ${format.words(row.reason).toLowerCase()}`}
    </h3>
    <dl>
      ${facts.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>`;
}
