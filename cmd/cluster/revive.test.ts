import { expect, test } from "vitest";
import { createReviver } from "./revive.ts";

function fakeMember() {
  let starts = 0;
  let isRunning = false;
  return {
    startedAtMs: performance.now(),
    get isRunning() {
      return isRunning;
    },
    get starts() {
      return starts;
    },
    start: () => {
      starts += 1;
      isRunning = true;
      return Promise.resolve();
    },
  };
}

test("what ended is started again once, what runs is left alone, and nothing after the stop", async () => {
  const [ended, running, later] = [fakeMember(), fakeMember(), fakeMember()];
  await running.start();
  const reviver = createReviver([ended, running]);
  reviver.look();
  reviver.look();
  await expect.poll(() => ended.starts, { timeout: 5_000 }).toBe(1);
  expect(running.starts).toBe(1);

  const other = createReviver([later]);
  other.look();
  other.stop();
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(later.starts).toBe(0);
});
