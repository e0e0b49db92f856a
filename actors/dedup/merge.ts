/**
 * Which small runs of a slice a save takes into its new one, so that their number stays bounded:
 * clicks come minutes after their impressions, so each save adds a run to many slices.
 *
 *  G1 Tiered by powers of four: three runs no larger than the new one's tier go into it, and what
 *     comes of that is judged again. So at most about three a tier stay, and an id is written once
 *     more a tier that it rises.
 *  G2 Never more ids than the save has left to spend: larger runs stay as they are.
 */
export interface Mergeable {
  readonly ids: number;
}

const FAN_IN = 4;

const tierOf = (ids: number): number => Math.floor(Math.log2(ids) / Math.log2(FAN_IN));

/** @param added ids of the new run @param mostIds of the runs taken, together */
export function runsToMerge<T extends Mergeable>(runs: readonly T[], added: number, mostIds: number): T[] {
  const smallestFirst = runs.toSorted((a, b) => a.ids - b.ids);
  let taken = 0;
  let ids = 0;
  for (;;) {
    const tier = tierOf(added + ids);
    let next = taken;
    let sum = ids;
    while (next < smallestFirst.length) {
      const run = smallestFirst[next]!;
      if (tierOf(run.ids) > tier || sum + run.ids > mostIds) break;
      sum += run.ids;
      next += 1;
    }
    if (next - taken < FAN_IN - 1) return smallestFirst.slice(0, taken);
    [taken, ids] = [next, sum];
  }
}
