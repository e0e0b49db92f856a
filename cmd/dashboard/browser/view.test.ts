import { expect, test } from "vitest";
import { boundsOf, granularityOf, readView, startOfDay, urlOf, zoomedOut } from "./view.ts";

const HOUR = 3_600_000;
const at = (text: string) => Date.parse(text);

test.each([
  "/?zone=UTC",
  "/?campaign=901&last=24h&sort=name&zone=Asia/Kolkata",
  "/?ad=18446744073709551615&from=2026-11-19T01:00:00.000Z&to=2026-11-19T05:00:00.000Z&zone=UTC",
  "/?click=0199c0de-0000-7000-8000-000000000000&zone=UTC",
])("%s is read and written as it was", (url) => {
  expect(urlOf(readView(new URL(url, "http://x").search, "Europe/Berlin"))).toBe(url);
});

test("what a URL gets wrong is as it is by default", () => {
  expect(readView("?last=9y&zone=Mars/Base&from=x&to=y", "UTC")).toEqual({
    kind: "all",
    id: "",
    range: { last: "7d" },
    zone: "UTC",
    sort: "-clicks",
  });
  const backwards = readView("?from=2026-11-19T05:00:00Z&to=2026-11-19T01:00:00Z", "UTC");
  expect(backwards.range).toEqual({ last: "7d" });
});

test.each([
  [1, "1m"],
  [7, "1m"],
  [24, "5m"],
  [36, "5m"],
  [168, "1h"],
  [720, "1d"],
  [2_160, "1d"],
] as const)("%d hours are shown by %s", (hours, step) => {
  expect(granularityOf({ fromMs: 0, toMs: hours * HOUR })).toBe(step);
});

test("zooming out doubles the time and ends at now", () => {
  expect(zoomedOut({ fromMs: 10 * HOUR, toMs: 12 * HOUR }, 100 * HOUR)).toEqual({
    fromMs: 9 * HOUR,
    toMs: 13 * HOUR,
  });
  expect(zoomedOut({ fromMs: 10 * HOUR, toMs: 12 * HOUR }, 12 * HOUR)).toEqual({
    fromMs: 8 * HOUR,
    toMs: 12 * HOUR,
  });
});

test("a moving range ends with the minute under way", () => {
  expect(boundsOf({ last: "1h" }, 10 * HOUR + 5_000)).toEqual({
    fromMs: 9 * HOUR + 60_000,
    toMs: 10 * HOUR + 60_000,
  });
});

test.each([
  ["2026-11-22T01:30:00Z", "UTC", "2026-11-22T00:00:00Z"],
  ["2026-11-22T01:30:00Z", "Asia/Kolkata", "2026-11-21T18:30:00Z"],
  ["2026-11-22T01:30:00Z", "America/New_York", "2026-11-21T05:00:00Z"],
  // The clock was put back at three, and put forward at two.
  ["2026-10-25T12:00:00Z", "Europe/Berlin", "2026-10-24T22:00:00Z"],
  ["2026-03-29T12:00:00Z", "Europe/Berlin", "2026-03-28T23:00:00Z"],
])("at %s in %s the day began at %s", (now, zone, began) => {
  expect(startOfDay(at(now), zone)).toBe(at(began));
});
