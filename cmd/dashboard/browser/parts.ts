/** Small pieces that all pages have: what is waited for, what went wrong, numbers with their change. */
import * as format from "./format.ts";
import { html, type ComponentChildren, type VNode } from "./ui.ts";

export const Loading = ({ what }: { readonly what: string }): VNode =>
  html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>Loading ${what}…</p>`;

export const Failed = ({ what, error }: { readonly what: string; readonly error: string }): VNode =>
  html`<div class="failed" role="alert"><strong>${what} could not be loaded.</strong> ${error}</div>`;

export const Empty = ({ children }: { readonly children?: ComponentChildren }): VNode =>
  html`<div class="empty">${children}</div>`;

interface ChangeProps {
  readonly now: number;
  readonly before: number | undefined;
}

/** More clicks are neither good nor bad by themselves: an arrow, no red and green. */
export function Change({ now, before }: ChangeProps): VNode | string {
  const text = format.change(now, before);
  if (text === undefined) return html`<span class="faint" title="Nothing to compare with">–</span>`;
  const way = now > (before ?? 0) ? "up" : now < (before ?? 0) ? "down" : "same";
  return html`<span class="change ${way}">${text}</span>`;
}

interface TileProps {
  readonly name: string;
  readonly value: VNode | string;
  readonly note?: VNode | string | undefined;
  readonly testId?: string;
  readonly children?: ComponentChildren;
}

export const Tile = ({ name, value, note, testId, children }: TileProps): VNode =>
  html`<div class="tile">
    <dt>${name}</dt>
    <dd>
      <span class="figure" data-test=${testId}>${value}</span>
      ${note !== undefined && html`<span class="note">${note}</span>`} ${children}
    </dd>
  </div>`;
