/** What a load test prints: a small table for people, one line of JSON with --json. */
export type Figures = Readonly<Record<string, string | number | undefined>>;

export function print(title: string, figures: Figures, asJson: boolean): void {
  if (asJson) {
    console.log(JSON.stringify({ test: title, ...figures }));
    return;
  }
  console.log(title);
  const width = Math.max(...Object.keys(figures).map((name) => name.length));
  for (const [name, value] of Object.entries(figures)) {
    if (value === undefined) continue;
    const text = typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : value;
    console.log(`  ${name.padEnd(width)}  ${text}`);
  }
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
