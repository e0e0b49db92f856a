/**
 * What load tests and benchmarks print: for people a table, with --json a line of JSON for each
 * thing that was measured. Names of figures hold their unit.
 */
export type Figures = Readonly<Record<string, string | number | undefined>>;

/** One thing that was measured. */
export interface Line {
  /** What was done. */
  readonly test: string;
  readonly figures: Figures;
}

const textOf = (value: string | number): string =>
  typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : value;

/** A line with many figures: one below the other. */
export function print(test: string, figures: Figures, asJson: boolean): void {
  if (asJson) {
    printLines([{ test, figures }], asJson);
    return;
  }
  console.log(test);
  const width = Math.max(...Object.keys(figures).map((name) => name.length));
  for (const [name, value] of Object.entries(figures)) {
    if (value !== undefined) console.log(`  ${name.padEnd(width)}  ${textOf(value)}`);
  }
}

/** Lines with few figures: one table. */
export function printLines(lines: readonly Line[], asJson: boolean): void {
  if (asJson) for (const { test, figures } of lines) console.log(JSON.stringify({ test, ...figures }));
  else for (const line of table(lines)) console.log(line);
}

/** A table of lines; where the figures of one do not fit into `width`, it goes on below. */
export function table(lines: readonly Line[], width = 150): string[] {
  const first = Math.max(0, ...lines.map(({ test }) => test.length));
  return lines.flatMap(({ test, figures }) => {
    const rows = [""];
    for (const [name, value] of Object.entries(figures)) {
      if (value === undefined) continue;
      const figure = `${name} ${textOf(value)}`;
      const row = rows.at(-1)!;
      if (row === "") rows[rows.length - 1] = figure;
      else if (first + row.length + figure.length + 5 <= width) rows[rows.length - 1] = `${row} · ${figure}`;
      else rows.push(figure);
    }
    return rows.map((row, i) => `${(i === 0 ? test : "").padEnd(first)}  ${row}`);
  });
}

/** The value below which `share` of the sorted ones lie, nearest rank. */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** p50, p95, p99 and the largest, under names with their unit. */
export function latencies(what: string, millis: readonly number[]): Figures {
  const sorted = Float64Array.from(millis).sort();
  const at = (share: number) => Math.round(percentile(sorted, share) * 10) / 10;
  return {
    [`${what} p50 ms`]: at(0.5),
    [`${what} p95 ms`]: at(0.95),
    [`${what} p99 ms`]: at(0.99),
    [`${what} max ms`]: at(1),
  };
}
