/** An answer's rows as objects (JSON) and as CSV (RFC 4180): the same columns, the same texts. */
import type { Answer, Cell } from "./answer.ts";
import type { Column } from "./query.ts";

export type JsonRow = Readonly<Record<string, Cell>>;

const shown = ({ type }: Column, cell: Cell): Cell =>
  type === "time" ? new Date(cell as number).toISOString() : cell;

/** Times are RFC 3339 in UTC, ids decimal strings. */
export function toObjects({ columns, rows }: Pick<Answer, "columns" | "rows">): readonly JsonRow[] {
  return rows.map((row) =>
    Object.fromEntries(columns.map((column, at) => [column.name, shown(column, row[at]!)])),
  );
}

/** Null is an empty field. No cell has a comma, a quote or a line's end: ids, times, names of closed lists. */
export function toCsv({ columns, rows }: Pick<Answer, "columns" | "rows">): string {
  const lines = rows.map((row) =>
    columns.map((column, at) => String(shown(column, row[at]!) ?? "")).join(","),
  );
  return [columns.map(({ name }) => name).join(","), ...lines, ""].join("\r\n");
}
