/** Numbers as a line of bars, one character each: ▁▂▃▄▅▆▇█. Pure. */
const BARS = "▁▂▃▄▅▆▇█";

/**
 * Bars from nothing to the largest; a blank for what is nothing, so that little is told from
 * nothing. More values than `width` are summed, neighbours together.
 */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.length <= width ? values : summed(values, width);
  const largest = Math.max(0, ...shown);
  return shown
    .map((value) =>
      value <= 0 ? " " : BARS[Math.min(BARS.length - 1, Math.ceil((value / largest) * BARS.length) - 1)]!,
    )
    .join("");
}

function summed(values: readonly number[], width: number): readonly number[] {
  return Array.from({ length: width }, (_, at) => {
    const from = Math.floor((at * values.length) / width);
    const to = Math.floor(((at + 1) * values.length) / width);
    return values.slice(from, to).reduce((sum, value) => sum + value, 0);
  });
}
