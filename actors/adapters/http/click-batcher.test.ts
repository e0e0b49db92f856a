/** When gathered clicks are handed on (A1), and that each is answered once (A3). */
import { expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import type { Submission } from "../../ports/shard-port.ts";
import { virtualClock } from "../../sim/virtual-clock.ts";
import { ClickBatcher } from "./click-batcher.ts";

const ROW_BYTES = 64;
const GATHER_MS = 3;

function openBatcher(changed: Partial<Limits> = {}) {
  const limits = { ...DEFAULT_LIMITS, httpGatherMs: GATHER_MS, httpGatherEnoughClicks: 4, ...changed };
  const clock = virtualClock(1_700_000_000_000);
  const submitted: Submission[] = [];
  const answers: string[] = [];
  const port = {
    submit: (submission: Submission) => {
      submitted.push(submission);
      return Promise.resolve({ offset: 0, outcomes: new Uint8Array(submission.count * 2) });
    },
  };
  const batcher = new ClickBatcher(port, clock, limits);
  let clicks = 0;
  return {
    answers,
    counts: () => submitted.map(({ count }) => count),
    click(times = 1) {
      for (let i = 0; i < times; i++) {
        const name = `click ${++clicks}`;
        batcher.gather.reserve(0, ROW_BYTES, batcher.nextIndex);
        batcher.add({ decided: () => void answers.push(name), failed: () => void answers.push("failed") });
      }
    },
    passed: (ms: number) => clock.advance(ms),
  };
}

const turnEnds = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("a click that comes after a quiet while goes with its turn", async () => {
  const { click, counts, answers, passed } = openBatcher();
  click();
  await turnEnds();
  expect(counts()).toEqual([1]);
  await passed(GATHER_MS);
  click(2);
  await turnEnds();
  expect(counts()).toEqual([1, 2]);
  expect(answers).toEqual(["click 1", "click 2", "click 3"]);
});

test("clicks that follow within httpGatherMs go together once it has passed", async () => {
  const { click, counts, answers, passed } = openBatcher();
  click();
  await turnEnds();
  click();
  await passed(GATHER_MS - 1);
  click(2);
  await turnEnds();
  expect(counts()).toEqual([1]);
  await passed(1);
  expect(counts()).toEqual([1, 3]);
  expect(answers).toEqual(["click 1", "click 2", "click 3", "click 4"]);
});

test("enough of them wait no longer than their turn, and those behind them their own time", async () => {
  const { click, counts, answers, passed } = openBatcher();
  click();
  await turnEnds();
  click(3);
  await passed(GATHER_MS - 1);
  click();
  expect(counts()).toEqual([1]);
  await turnEnds();
  expect(counts()).toEqual([1, 4]);
  click();
  await passed(GATHER_MS - 1);
  expect(counts()).toEqual([1, 4]);
  await passed(1);
  expect(counts()).toEqual([1, 4, 1]);
  await passed(10 * GATHER_MS);
  expect(counts()).toEqual([1, 4, 1]);
  expect(answers).toHaveLength(6);
});

test("httpGatherMaxClicks go at once, and those behind them with the next", async () => {
  const { click, counts, passed } = openBatcher({ httpGatherMaxClicks: 6 });
  click(7);
  expect(counts()).toEqual([6]);
  await passed(GATHER_MS);
  await turnEnds();
  expect(counts()).toEqual([6, 1]);
});
