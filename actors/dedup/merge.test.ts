import fc from "fast-check";
import { expect, test } from "vitest";
import { runsToMerge, type Mergeable } from "./merge.ts";

const seed = process.env["ADTALLY_SEED"];
const params = seed === undefined ? {} : { seed: Number(seed) };
const MOST = 16_384;

function afterSaves(saves: readonly number[]): { runs: Mergeable[]; rewritten: number } {
  let runs: Mergeable[] = [];
  let rewritten = 0;
  for (const added of saves) {
    const chosen = runsToMerge(runs, added, MOST);
    const merged = chosen.reduce((sum, { ids }) => sum + ids, 0);
    expect(merged, "G2").toBeLessThanOrEqual(MOST);
    rewritten += merged;
    runs = [...runs.filter((run) => !chosen.includes(run)), { ids: added + merged }];
  }
  return { runs, rewritten };
}

test("G1 whatever the sizes of saves, small runs stay few and are rewritten a few times", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 100, maxLength: 600 }), (saves) => {
      const { runs, rewritten } = afterSaves(saves);
      const ids = saves.reduce((sum, added) => sum + added, 0);
      // What is too large to merge is at least a quarter of what a save may merge.
      const large = runs.filter((run) => run.ids >= MOST / 16).length;
      expect(large).toBeLessThanOrEqual(ids / (MOST / 16));
      expect(runs.length - large).toBeLessThanOrEqual(3 * Math.log2(MOST));
      expect(rewritten / ids).toBeLessThan(7);
    }),
    params,
  );
});

test("equal saves: three a tier, like digits to the base of four", () => {
  expect(afterSaves(Array.from({ length: 64 }, () => 4)).runs).toEqual([{ ids: 256 }]);
  expect(afterSaves(Array.from({ length: 63 }, () => 4)).runs).toHaveLength(9);
});

test("no run is chosen that costs more than is left, and none where two alone would do", () => {
  expect(runsToMerge([{ ids: 8 }, { ids: 8 }, { ids: 8 }], 8, 23)).toEqual([]);
  expect(runsToMerge([{ ids: 8 }, { ids: 8 }], 8, 100)).toEqual([]);
  expect(runsToMerge([{ ids: 8 }, { ids: 8 }, { ids: 8 }, { ids: 900 }], 8, 24)).toHaveLength(3);
});
