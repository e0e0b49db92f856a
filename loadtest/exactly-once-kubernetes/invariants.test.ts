import { expect, test } from "vitest";
import type { Answer, Attempt, SentClick } from "../exactly-once/send.ts";
import { leftNothing, redirectsKept, stepsStraddled } from "./invariants.ts";
import { seenDuring, type Step } from "./steps.ts";

const step = (fromMs: number, untilMs: number, keepsRedirects = true): Step => ({
  what: `a step from ${fromMs}`,
  keepsRedirects,
  fromMs,
  untilMs,
  proof: "it was done",
});

const attempt = (sentMs: number, answer: Answer | undefined = "redirected"): Attempt => ({
  send: 0,
  way: "http",
  sentMs,
  endedMs: sentMs + 100,
  clickedAtMs: undefined,
  answer,
});

const click = (...attempts: Attempt[]): SentClick => ({
  click: {
    kind: "valid",
    adId: 1n,
    impressionId: "an impression",
    token: undefined,
    clickId: undefined,
    sends: [],
    walksAway: false,
  },
  attempts,
});
const unanswered = (sentMs: number): Attempt => ({ ...attempt(sentMs), answer: undefined });

test("a click that was not redirected is a fault, named with the step that it fell into", () => {
  const all = [click(attempt(1_000)), click(unanswered(6_000), attempt(6_300)), click(unanswered(20_000))];
  const { checked, faults } = redirectsKept([step(5_000, 7_000)], all);
  expect(checked).toContain("2 of 4 valid clicks");
  expect(faults).toEqual([
    "a click of 1970-01-01T00:00:06.000Z was not redirected: a step from 5000",
    "a click of 1970-01-01T00:00:20.000Z was not redirected: between two steps",
  ]);
});

test("while there is no node no redirect is asked for, nor of clicks that are no browser's", () => {
  const byGrpc = { ...unanswered(9_000), way: "stream" as const };
  const all = [click(unanswered(4_950)), click(unanswered(6_000)), click(byGrpc)];
  expect(redirectsKept([step(5_000, 7_000, false)], all).faults).toEqual([]);
});

test("a step straddles a click that was sent before it began and again after", () => {
  const straddling = click(attempt(4_000), attempt(6_000));
  const all = [straddling, click(attempt(4_000)), click(unanswered(6_500))];
  const [during, cut] = [step(5_000, 7_000), step(6_550, 9_000, false)];
  expect(seenDuring(during, [during], all)).toEqual({ clicks: 2, redirects: 2, failed: 1, straddling: 1 });
  expect(seenDuring(during, [during, cut], all)).toMatchObject({ clicks: 2, redirects: 1, failed: 0 });
});

test("I5: a step without clicks, or without a repeat across it, proves nothing", () => {
  const steps = [step(5_000, 7_000), step(50_000, 60_000)];
  const all = [click(attempt(4_000), attempt(6_000)), click(attempt(6_000))];
  expect(stepsStraddled(steps, all).faults).toEqual(["a step from 50000: no click came meanwhile"]);
  expect(stepsStraddled(steps.slice(0, 1), all.slice(1)).faults).toEqual([
    "a step from 5000: no click was repeated across it",
  ]);
});

test("what an uninstall leaves is named", () => {
  expect(leftNothing([]).faults).toEqual([]);
  expect(leftNothing(["Secret/adtally/keys"]).faults).toEqual(["Secret/adtally/keys"]);
});
