import { expect, test } from "vitest";
import { barsOf } from "./refused-panel.ts";
import type { ReportRow } from "./reports.ts";

const row = (verdict: string, reason: string, count: number): ReportRow => ({
  start: "",
  end: "",
  status: "live",
  verdict,
  reason,
  count,
  clicks: 0,
  invalid: 0,
  duplicates: 0,
});
const total = { clicks: 100, invalid: 7, duplicates: 3 };

test("what is known of reasons and what is not comes to what was counted", () => {
  const rows = [row("INVALID_TRAFFIC", "IP_MALFORMED", 5), row("LATE", "CLICK_TIME_TOO_OLD", 4)];
  expect(barsOf(total, rows)).toEqual([
    { name: "Invalid traffic: ip malformed", count: 5 },
    { name: "Late: click time too old", count: 4 },
    { name: "Repeated: the impression had been clicked before", count: 3 },
    { name: "Invalid traffic, reason not kept", count: 2 },
  ]);
});

test("without reasons there are the counts, and nothing where nothing is", () => {
  expect(barsOf(total, []).map(({ name, count }) => [name, count])).toEqual([
    ["Invalid traffic", 7],
    ["Repeated: the impression had been clicked before", 3],
  ]);
  expect(barsOf({ ...total, invalid: 0, duplicates: 0 }, [])).toEqual([]);
});
