/**
 * Metrics with closed label sets: each module declares, beside its code, every value that a
 * label can take, so that no input can ever grow the number of series.
 *
 * Invariants
 *  E1 All series of a family exist from the start, at zero: a missing series means that the
 *     program is not there, never that nothing happened.
 *  E2 Counting is one addition on a plain number; Prometheus' library sees it at the scrape.
 *  E3 A label value that was not declared is a fault of ours and throws.
 */
import client from "prom-client";
import { invariant } from "../core/errors.ts";

/** Each label with all its values. */
export type LabelSets = Readonly<Record<string, readonly string[]>>;
export type LabelsOf<L extends LabelSets> = { readonly [K in keyof L]: L[K][number] };

export interface FamilySpec<L extends LabelSets> {
  /** `adtally_…`, with the unit last: `_seconds`, `_bytes`, `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels: L;
}

/** Keep the series of a hot path in a variable: `of` is a look-up. */
export interface Family<L extends LabelSets, Series> {
  of(labels: LabelsOf<L>): Series;
}

export interface Counter {
  add(count?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  observe(value: number): void;
}

export interface Metrics {
  counter<const L extends LabelSets>(spec: FamilySpec<L>): Family<L, Counter>;
  gauge<const L extends LabelSets>(spec: FamilySpec<L>): Family<L, Gauge>;
  histogram<const L extends LabelSets>(
    spec: FamilySpec<L> & { readonly buckets: readonly number[] },
  ): Family<L, Histogram>;
  /** Runs before each scrape: the place to set gauges from state that is kept elsewhere. */
  beforeScrape(run: () => void): void;
  /** Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export interface MetricsOptions {
  /** Also CPU, memory, event loop and garbage collection of this process. */
  readonly process: boolean;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new client.Registry();
  if (options.process) client.collectDefaultMetrics({ register: registry });
  const beforeScrape: (() => void)[] = [];

  return {
    counter: (spec) => {
      const family = new client.Counter(familyConfig(spec, registry));
      return closedFamily(spec, (labels) => {
        const series = family.labels(labels);
        series.inc(0);
        let pending = 0;
        beforeScrape.push(() => {
          series.inc(pending);
          pending = 0;
        });
        return { add: (count = 1) => void (pending += count) };
      });
    },

    gauge: (spec) => {
      const family = new client.Gauge(familyConfig(spec, registry));
      return closedFamily(spec, (labels) => {
        const series = family.labels(labels);
        series.set(0);
        return { set: (value) => series.set(value) };
      });
    },

    histogram: (spec) => {
      const family = new client.Histogram({ ...familyConfig(spec, registry), buckets: [...spec.buckets] });
      return closedFamily(spec, (labels) => {
        family.zero(labels);
        const series = family.labels(labels);
        return { observe: (value) => series.observe(value) };
      });
    },

    beforeScrape: (run) => void beforeScrape.push(run),

    text: () => {
      for (const run of beforeScrape) run();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

function familyConfig<L extends LabelSets>(spec: FamilySpec<L>, registry: client.Registry) {
  return {
    name: spec.name,
    help: spec.help,
    labelNames: Object.keys(spec.labels),
    registers: [registry],
  };
}

/** Makes every series of the family at once (E1). */
function closedFamily<L extends LabelSets, Series>(
  spec: FamilySpec<L>,
  make: (labels: Record<string, string>) => Series,
): Family<L, Series> {
  const names = Object.keys(spec.labels);
  const keyOf = (labels: Readonly<Record<string, string>>) => names.map((name) => labels[name]).join("\0");
  const series = new Map<string, Series>();
  for (const labels of combinations(spec.labels)) series.set(keyOf(labels), make(labels));
  return {
    of: (labels) => {
      const found = series.get(keyOf(labels));
      invariant(found !== undefined, `${spec.name} has no series ${JSON.stringify(labels)}`);
      return found;
    },
  };
}

function combinations(sets: LabelSets): Record<string, string>[] {
  return Object.entries(sets).reduce<Record<string, string>[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  );
}
