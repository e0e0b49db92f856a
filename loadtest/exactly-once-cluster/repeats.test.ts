import { expect, test } from "vitest";
import { createRepeatFinder } from "./repeats.ts";

test("a block is a repeat where its writer said it before, or where what it drains was drained", () => {
  const isRepeat = createRepeatFinder();
  const block = (writer: number, sequence: number, sourceOffset = -1) =>
    isRepeat({ writer, sequence, sourceOffset });
  expect(block(1, 1)).toBe(false);
  expect(block(1, 2, 5)).toBe(false);
  expect(block(1, 2, 5)).toBe(true);
  expect(block(2, 1, 5)).toBe(true);
  expect(block(2, 2, 3)).toBe(true);
  // It holds more than what was drained: that part is counted, the other part is found by its ids.
  expect(block(2, 3, 7)).toBe(false);
  expect(block(1, 3)).toBe(false);
});
