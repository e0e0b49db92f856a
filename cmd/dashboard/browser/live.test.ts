import { expect, test } from "vitest";
import { perSecond, splitEvents, withSecond, KEPT_SECONDS, type Second } from "./live.ts";

const second = (s: number, clicks: number): Second => ({ atMs: s * 1_000, clicks, ads: [] });

test("events are taken whole, wherever the stream is cut", () => {
  const stream = 'retry: 1000\n\nid: 7\nevent: second\ndata: {"a":1}\n\nevent: end\ndata: {}\n\n';
  for (let cut = 0; cut <= stream.length; cut++) {
    const first = splitEvents(stream.slice(0, cut));
    const second = splitEvents(first.rest + stream.slice(cut));
    expect([...first.events, ...second.events]).toEqual([
      { id: "7", name: "second", data: '{"a":1}' },
      { id: "", name: "end", data: "{}" },
    ]);
    expect(second.rest).toBe("");
  }
});

test("a second that is told again takes its own place, in whatever order", () => {
  const told = [second(5, 1), second(7, 2), second(6, 9), second(5, 4)];
  const kept = told.reduce<readonly Second[]>(withSecond, []);
  expect(kept.map(({ clicks }) => clicks)).toEqual([4, 9, 2]);
  const counts = perSecond({ state: "live", seconds: kept });
  expect(counts).toHaveLength(KEPT_SECONDS);
  expect(counts.slice(-4)).toEqual([0, 4, 9, 2]);
});
