/** A table of numbers: sorted by any column, each row leading to what it is made of. */
import { html, type VNode } from "./ui.ts";

export interface Column<Row> {
  readonly name: string;
  readonly title: string;
  readonly isNumber?: boolean;
  /** Left out on a phone. */
  readonly isExtra?: boolean;
  readonly value?: (row: Row) => number | string;
  readonly cell: (row: Row) => VNode | string;
}

interface TableProps<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** A column's name, with "-" before it for the greatest first. */
  readonly sort: string;
  readonly onSort: (sort: string) => void;
}

export function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  sort: string,
): readonly Row[] {
  const value = columns.find(({ name }) => name === sort.replace(/^-/, ""))?.value;
  if (value === undefined) return rows;
  const up = sort.startsWith("-") ? -1 : 1;
  const compare = (a: number | string, b: number | string) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
  return [...rows].sort((a, b) => up * compare(value(a), value(b)));
}

export function Table<Row>({ caption, columns, rows, keyOf, sort, onSort }: TableProps<Row>): VNode {
  const by = sort.replace(/^-/, "");
  const descends = sort.startsWith("-");
  const classOf = ({ isNumber, isExtra }: Column<Row>) =>
    `${isNumber ? "number" : ""} ${isExtra ? "extra" : ""}`;
  const head = (column: Column<Row>): VNode => {
    const isBy = column.name === by;
    const first = column.isNumber ? `-${column.name}` : column.name;
    const other = descends ? column.name : `-${column.name}`;
    return html`<th
      scope="col"
      class=${classOf(column)}
      aria-sort=${isBy ? (descends ? "descending" : "ascending") : undefined}
    >
      ${
        column.value === undefined
          ? column.title
          : html`<button type="button" class="sort" onClick=${() => onSort(isBy ? other : first)}>
              ${column.title}<span aria-hidden="true">${isBy ? (descends ? " ↓" : " ↑") : ""}</span>
            </button>`
      }
    </th>`;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class="unseen">
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map(head)}
        </tr>
      </thead>
      <tbody>
        ${sorted(rows, columns, sort).map(
          (row) =>
            html`<tr key=${keyOf(row)}>
              ${columns.map((column, index) =>
                index === 0
                  ? html`<th scope="row" class=${classOf(column)}>${column.cell(row)}</th>`
                  : html`<td class=${classOf(column)}>${column.cell(row)}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
