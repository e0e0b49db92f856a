/** Tables of a terminal: columns as wide as their widest cell, numbers to the right. Pure. */
import { stripVTControlCharacters } from "node:util";

export interface TableColumn {
  readonly name: string;
  readonly align?: "left" | "right";
}

export type Paint = (text: string) => string;

const plain: Paint = (text) => text;
const segmenter = new Intl.Segmenter();
const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** A text of somebody else's: what would steer the terminal is shown as a replacement mark. */
export const safe = (text: string): string => text.replace(CONTROLS, "\ufffd");

/** Columns that it takes in a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of segmenter.segment(stripVTControlCharacters(text)))
    width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Lines, the head first; none has blanks at its end. */
export function table(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  head: Paint = plain,
): readonly string[] {
  const widths = columns.map(({ name }, at) =>
    rows.reduce((widest, row) => Math.max(widest, widthOf(row[at] ?? "")), widthOf(name)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, at) => {
        const cell = cells[at] ?? "";
        const blanks = " ".repeat(widths[at]! - widthOf(cell));
        return align === "right" ? blanks + cell : cell + blanks;
      })
      .join("  ")
      .trimEnd();
  return [head(line(columns.map(({ name }) => name))), ...rows.map(line)];
}

/** `12345678` as `12,345,678`. */
export const grouped = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 1 });
