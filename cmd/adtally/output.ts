/**
 * Where a command's words go: its result to standard output, all else to standard error.
 *
 *  O1 With --json standard output has JSON alone: one value, or one a line where it goes on.
 *  O2 Colours stand only where a terminal reads, and never with NO_COLOR or --no-color.
 */
import { styleText } from "node:util";
import { table, type TableColumn } from "./text/table.ts";

export interface Output {
  readonly isJson: boolean;
  /** Whether a person watches standard output. */
  readonly isTerminal: boolean;
  readonly columns: number;
  say(...lines: readonly string[]): void;
  table(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): void;
  json(value: unknown, indent?: 0 | 2): void;
  raw(text: string): void;
  /** To standard error. */
  note(line: string): void;
  /** One line of standard error that is written over; nothing where no terminal reads it. */
  progress(line: string): void;
  readonly paint: Readonly<Record<Colour, (text: string) => string>>;
}

const COLOURS = ["red", "green", "yellow", "cyan", "dim", "bold"] as const;
export type Colour = (typeof COLOURS)[number];

const CLEAR_LINE = "\r\u001b[K";
const USUAL_COLUMNS = 100;

export function createOutput(isJson: boolean, allowsColour: boolean): Output {
  const { stderr, stdout } = process;
  const isTerminal = stdout.isTTY === true;
  const paintOf = (colour: Colour) => (text: string) =>
    allowsColour ? styleText(colour, text, { stream: stdout, validateStream: true }) : text;
  const paint = Object.fromEntries(COLOURS.map((colour) => [colour, paintOf(colour)])) as Output["paint"];
  let isProgressShown = false;
  const clear = () => {
    if (isProgressShown) stderr.write(CLEAR_LINE);
    isProgressShown = false;
  };
  const raw = (text: string) => {
    clear();
    stdout.write(text);
  };
  const say = (...lines: readonly string[]) => raw(lines.map((line) => `${line}\n`).join(""));
  return {
    isJson,
    isTerminal,
    columns: stdout.columns > 0 ? stdout.columns : USUAL_COLUMNS,
    paint,
    say,
    raw,
    table: (columns, rows) => say(...table(columns, rows, paint.dim)),
    json: (value, indent = 2) => raw(`${JSON.stringify(value, undefined, indent)}\n`),
    note(line) {
      clear();
      stderr.write(`${line}\n`);
    },
    progress(line) {
      if (stderr.isTTY !== true) return;
      stderr.write(`${CLEAR_LINE}${line}`);
      isProgressShown = true;
    },
  };
}
