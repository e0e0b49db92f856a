import { expect, test } from "vitest";
import { paceOf } from "./pace.ts";
import type { Answer, SentClick } from "./send.ts";

const attempt = (sentMs: number, endedMs: number, answer: Answer | undefined, send = 0) =>
  ({ send, way: "http", sentMs, endedMs, clickedAtMs: undefined, answer }) as const;
const sent = (...attempts: ReturnType<typeof attempt>[]): SentClick => ({
  click: {} as SentClick["click"],
  attempts,
});

test("a click's answer counts, and all its wait for it; repeats and clicks without one do not", () => {
  const all = [
    sent(attempt(1_000, 1_010, "redirected"), attempt(9_000, 9_010, "redirected", 1)),
    sent(attempt(1_500, 1_600, undefined), attempt(2_000, 3_000, "redirected")),
    sent(attempt(2_500, 8_000, undefined), attempt(9_000, 9_001, "redirected", 1)),
  ];
  expect(paceOf(all)).toEqual({ answered: 2, tookMs: 2_000, perSecond: 1 });
});

test("nothing answered is no pace", () => {
  expect(paceOf([sent(attempt(1, 2, undefined))])).toEqual({ answered: 0, tookMs: 0, perSecond: 0 });
});
