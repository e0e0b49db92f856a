/** The end of a run on Kubernetes, for people. */
import { columns, invariantLines, numberText } from "../exactly-once-cluster/report.ts";
import type { Load } from "./hot-ad.ts";
import type { RunResult } from "./run.ts";
import { seenDuring } from "./steps.ts";

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function loadText(load: ReadonlyMap<number, number>): string {
  return [...load].map(([shard, rate]) => `${shard}: ${rate.toFixed(0)}/s`).join(", ");
}

function hotAdLines({ played: { split, before, after, mergedMs } }: RunResult): readonly string[] {
  if (split === undefined) return [];
  const loads = (when: string, load: Load | undefined): readonly (readonly string[])[] =>
    load === undefined
      ? []
      : [
          [`clicks by shard ${when}, of the ad`, loadText(load.ofAd)],
          [`clicks by shard ${when}, of all ads`, loadText(load.ofAll)],
        ];
  return [
    "the hot ad",
    ...columns([
      ["HotAdSplit made after", seconds(split.madeMs)],
      ["Active after", seconds(split.activeMs)],
      ["first click on a sub-shard after", seconds(split.clicksMs)],
      ["ways", String(split.ways)],
      ...loads("before", before),
      ...loads("after", after),
      ...(mergedMs === undefined ? [] : [["merged, from when it cooled", seconds(mergedMs)]]),
    ]),
  ];
}

export function reportLines(seed: number, result: RunResult): readonly string[] {
  const { played, all, figures } = result;
  const rows = played.steps.map((step) => {
    const { clicks, failed, redirects, straddling } = seenDuring(step, played.steps, all);
    const took = seconds(step.untilMs - step.fromMs);
    return [step.what, took, ...[clicks, straddling].map(String), `${failed} of ${redirects}`, step.proof];
  });
  return [
    `exactly once on Kubernetes, seed ${seed}`,
    ...columns([["step", "took", "clicks", "straddling", "redirects failed", "proof"], ...rows]),
    ...hotAdLines(result),
    "figures",
    ...columns(Object.entries(figures).map(([name, value]) => [name, numberText(value)])),
    "invariants",
    ...invariantLines(result.invariants),
  ];
}
