import { expect, test } from "vitest";
import { spanBefore, spanOf } from "./intervals.ts";
import type { Granularity } from "./query.ts";

const cut = (granularity: Granularity, timeZone: string, from: string, to: string) =>
  spanOf({ granularity, timeZone, fromMs: Date.parse(from), toMs: Date.parse(to) });
const startsOf = (...asked: Parameters<typeof cut>) =>
  cut(...asked).intervals.map(({ startMs }) => new Date(startMs).toISOString().replace(":00.000Z", ""));
const hoursOf = (...asked: Parameters<typeof cut>) =>
  cut(...asked).intervals.map(({ startMs, endMs }) => (endMs - startMs) / 3_600_000);

test("days are those of the zone: 23 hours when clocks go forward, 25 when back", () => {
  expect(startsOf("1d", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T18:15:00Z")).toEqual([
    "2025-12-31T18:15",
  ]);
  expect(hoursOf("1d", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z")).toEqual([
    24, 23, 24,
  ]);
  expect(hoursOf("1d", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z")).toEqual([
    24, 25, 24,
  ]);
});

test("a day whose midnight is skipped begins at the first moment after it", () => {
  expect(startsOf("1d", "Asia/Beirut", "2024-03-30T12:00:00Z", "2024-03-31T12:00:00Z")).toEqual([
    "2024-03-29T22:00",
    "2024-03-30T22:00",
  ]);
  expect(hoursOf("1d", "Asia/Beirut", "2024-03-31T12:00:00Z", "2024-03-31T12:00:01Z")).toEqual([23]);
});

test("a day that a zone never had has no interval", () => {
  expect(startsOf("1d", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z")).toEqual([
    "2011-12-29T10:00",
    "2011-12-30T10:00",
    "2011-12-31T10:00",
  ]);
});

test("weeks begin on the zone's Monday", () => {
  expect(startsOf("1w", "America/New_York", "2026-03-05T00:00:00Z", "2026-03-16T04:00:00Z")).toEqual([
    "2026-03-02T05:00",
    "2026-03-09T04:00",
  ]);
});

test("hours are whole ones of the zone's clock, and half where it is changed by half of one", () => {
  expect(startsOf("1h", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")).toEqual([
    "2025-12-31T23:30",
    "2026-01-01T00:30",
  ]);
  expect(hoursOf("1h", "Australia/Lord_Howe", "2024-04-06T13:30:00Z", "2024-04-06T16:30:00Z")).toEqual([
    1, 1, 0.5, 1,
  ]);
});

test("minutes are UTC's where a zone was off by odd seconds", () => {
  const { intervals } = cut("1h", "Africa/Monrovia", "1971-12-31T00:00:00Z", "1972-01-08T00:00:00Z");
  for (const [index, { startMs, endMs }] of intervals.entries()) {
    expect(startMs % 60_000).toBe(0);
    expect(endMs).toBeGreaterThan(startMs);
    if (index > 0) expect(startMs).toBe(intervals[index - 1]!.endMs);
  }
});

test("a year of days is few runs: as many as the clock was changed, and the days on which it was", () => {
  expect(cut("1d", "UTC", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z").runs).toHaveLength(1);
  expect(cut("1d", "Europe/Berlin", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z").runs).toHaveLength(5);
});

test("a total is one interval, rounded outwards to minutes", () => {
  expect(cut("total", "UTC", "2026-01-01T00:00:30Z", "2026-01-01T00:05:01Z").intervals).toEqual([
    { startMs: Date.UTC(2026, 0, 1), endMs: Date.UTC(2026, 0, 1, 0, 6) },
  ]);
});

test("the period before has as many days, also across a change of the clock", () => {
  const asked = {
    granularity: "1d",
    timeZone: "Europe/Berlin",
    fromMs: Date.parse("2026-03-30T00:00:00+02:00"),
    toMs: Date.parse("2026-04-01T00:00:00+02:00"),
  } as const;
  const before = spanBefore(asked, spanOf(asked));
  expect(before.intervals.map(({ startMs, endMs }) => (endMs - startMs) / 3_600_000)).toEqual([24, 23]);
  expect(before.toMs).toBe(asked.fromMs);
});
