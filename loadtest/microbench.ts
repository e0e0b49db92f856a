/** Times small synchronous functions: warm-up, then the best of a few rounds, as a table. */
export interface Measured {
  readonly name: string;
  readonly nsPerCall: number;
}

const ROUNDS = 5;

/** `run(n)` calls the function under test n times and returns something that depends on each call. */
export function measure(name: string, calls: number, run: (calls: number) => number): Measured {
  let sink = run(Math.ceil(calls / 10));
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    sink ^= run(calls);
    best = Math.min(best, Number(process.hrtime.bigint() - start));
  }
  if (Number.isNaN(sink)) throw new Error(`${name}: nothing was computed`);
  return { name, nsPerCall: best / calls };
}

export function printTable(title: string, rows: readonly Measured[]): void {
  const width = Math.max(...rows.map((row) => row.name.length));
  process.stdout.write(`${title} (node ${process.version}, best of ${ROUNDS} rounds)\n`);
  for (const { name, nsPerCall } of rows) {
    const perSecond = Math.round(1e9 / nsPerCall).toLocaleString("en");
    process.stdout.write(
      `  ${name.padEnd(width)}  ${nsPerCall.toFixed(1).padStart(8)} ns  ${perSecond.padStart(13)} /s\n`,
    );
  }
}
