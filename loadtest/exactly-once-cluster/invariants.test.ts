import { expect, test } from "vitest";
import type { SentClick } from "../exactly-once/send.ts";
import type { Fault } from "./faults.ts";
import { drained, fired, paceKept, redirects } from "./invariants.ts";
import { reportJson, reportLines } from "./report.ts";

const kill = (what: string, afterClicks: number, duringClicks: number): Fault => ({
  kind: "kill",
  what: `SIGKILL ${what}`,
  atMs: 1_000,
  afterClicks,
  duringClicks,
  recoveryMs: 500,
  proof: "pid 1 → 2",
});

test("the pace is broken below what was asked, and holds at it", () => {
  expect(paceKept({ answered: 500, tookMs: 1_000, perSecond: 500 }, 500).faults).toEqual([]);
  expect(paceKept({ answered: 499, tookMs: 1_000, perSecond: 499 }, 500).faults).toEqual([
    "499.0 clicks a second on average, below 500",
  ]);
});

test("a kind that was killed too seldom, or with no click coming, is named; one kill after the last click is meant", () => {
  const faults = [kill("actor-0", 10, 5), kill("broker", 20, 0), kill("clickhouse", 100, 0)];
  expect(fired(faults, ["actor", "broker", "clickhouse"], 1, 100).faults).toEqual([
    "SIGKILL broker at 1.0 s: no click came meanwhile",
  ]);
  expect(fired(faults.slice(0, 1), ["actor"], 3, 100).faults).toEqual(["actor: killed 1 times of 3"]);
  const late = [kill("redis", 100, 0), kill("clickhouse", 100, 0)];
  expect(fired(late, [], 0, 100).faults).toEqual(["SIGKILL redis: only after the last click"]);
});

test("while nothing is behind the gateways, a valid click over HTTP that is not redirected is named", () => {
  const sent = (answer: "redirected" | undefined, sentMs: number): SentClick => ({
    click: { kind: "valid" } as SentClick["click"],
    attempts: [{ send: 0, way: "http", sentMs, endedMs: sentMs + 1, clickedAtMs: undefined, answer }],
  });
  const absence = { fromMs: 100, untilMs: 200 };
  expect(redirects([sent("redirected", 100), sent(undefined, 200)], absence).faults).toEqual([]);
  expect(redirects([sent("redirected", 100), sent(undefined, 199)], absence).faults).toEqual([
    "1 of 2 were not redirected",
  ]);
  expect(redirects([], absence).faults).toEqual(["no browser clicked meanwhile"]);
});

test("memory that a process keeps is named", () => {
  const before = new Map([["actor-0", 200]]);
  expect(drained(1, before, new Map([["actor-0", 400]])).faults).toEqual([]);
  expect(drained(1, before, new Map([["actor-0", 900]])).faults).toHaveLength(1);
});

test("the report has each fault with its time, and each invariant by name, in words and in JSON", () => {
  const result = {
    pace: { answered: 10, tookMs: 1_000, perSecond: 10 },
    faults: [kill("broker", 3, 2)],
    figures: { counted: 9 },
    invariants: [
      { name: "I1", checked: "all", faults: ["click 1: lost"] },
      { name: "I2", checked: "replay", faults: [] },
    ] as const,
  };
  const asked = { mode: "kills", seed: 7, rate: 9, offered: 10 };
  const text = reportLines(asked, result).join("\n");
  expect(text).toMatch(/seed 7[^]*1\.0 s +3 +SIGKILL broker +0\.5 s +pid 1 → 2/);
  expect(text).toMatch(/I1 +BROKEN +all\n +DIFFERENT: click 1: lost\n +I2 +holds +replay/);
  expect(JSON.parse(reportJson(asked, result))).toMatchObject({
    seed: 7,
    achieved_per_second: 10,
    faults: [{ what: "SIGKILL broker", at_ms: 1_000, after_clicks: 3 }],
    invariants: { I1: 1, I2: 0 },
    differences: 1,
  });
});
