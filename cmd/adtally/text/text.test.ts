/** Formatting and reading of text: tables, bars, feeds. */
import { expect, test } from "vitest";
import { sparkline } from "./sparkline.ts";
import { readEvents, type ServerEvent } from "./sse.ts";
import { grouped, safe, table, widthOf } from "./table.ts";

test("columns are as wide as their widest cell, numbers to the right, no blanks at a line's end", () => {
  const columns = [{ name: "ad" }, { name: "clicks", align: "right" as const }, { name: "title" }];
  expect(
    table(columns, [
      ["1", "5", "Shoes"],
      ["184467", "1,234,567", ""],
    ]),
  ).toEqual(["ad         clicks  title", "1               5  Shoes", "184467  1,234,567"]);
});

test("a table without rows is its head", () => {
  expect(table([{ name: "ad" }], [])).toEqual(["ad"]);
});

test.each([
  ["Shoes", 5],
  ["\u001b[31mred\u001b[39m", 3],
  ["靴", 2],
  ["é", 1],
  ["e\u0301", 1],
  ["👟", 2],
])("%s takes %i columns", (text, width) => {
  expect(widthOf(text)).toBe(width);
});

test("what would steer the terminal does not reach it", () => {
  expect(safe("a\u001b[2Jb\nc\u202ed\u009be")).toBe("a\ufffd[2Jb\ufffdc\ufffdd\ufffde");
  expect(safe("Schuhe für 靴 👟")).toBe("Schuhe für 靴 👟");
});

test("numbers are grouped by threes, whatever the machine's language", () => {
  expect([0, 999, 1_000, 12_345_678, 0.25].map(grouped)).toEqual(["0", "999", "1,000", "12,345,678", "0.3"]);
});

test("bars: the largest is full, little is told from nothing", () => {
  expect(sparkline([0, 1, 500, 1_000], 10)).toBe(" ▁▄█");
  expect(sparkline([0, 0], 10)).toBe("  ");
  expect(sparkline([], 10)).toBe("");
  expect(sparkline([7, 7, 7], 10)).toBe("███");
});

test("more values than fit are summed with their neighbours, and none is lost", () => {
  expect(sparkline([1, 0, 0, 0, 0, 1], 3)).toBe("█ █");
  const spikes = Array.from({ length: 1_000 }, (_, i) => (i === 777 ? 9 : 0));
  expect(sparkline(spikes, 10)).toBe("       █  ");
});

async function eventsOf(...chunks: readonly string[]): Promise<ServerEvent[]> {
  const bytes = chunks.map((chunk) => Buffer.from(chunk, "latin1"));
  async function* stream() {
    yield* bytes;
  }
  return Array.fromAsync(readEvents(stream()));
}

test("events are read whatever the lines' ends and wherever the chunks are cut", async () => {
  const text =
    'retry: 1000\n\nid: 1\nevent: second\ndata: {"a":\ndata: 1}\n\n: a comment\r\ndata:x\r\n\r\nid: 2\rdata: y\r\r';
  const whole = await eventsOf(`${text}\n`);
  expect(whole).toEqual([
    { id: "1", event: "second", data: '{"a":\n1}' },
    { id: "1", event: "message", data: "x" },
    { id: "2", event: "message", data: "y" },
  ]);
  for (let at = 0; at <= text.length; at++)
    expect(await eventsOf(text.slice(0, at), text.slice(at), "\n")).toEqual(whole);
});

test("an event that was not ended is none", async () => {
  expect(await eventsOf("data: half\n")).toEqual([]);
});

test("a character that is cut in two is whole again", async () => {
  const bytes = Buffer.from("data: für\n\n");
  const at = bytes.indexOf(0xc3) + 1;
  async function* stream() {
    yield bytes.subarray(0, at);
    yield bytes.subarray(at);
  }
  expect((await Array.fromAsync(readEvents(stream())))[0]?.data).toBe("für");
});

test("an event without an end is refused before it fills the memory", async () => {
  const chunk = "x".repeat(1024 * 1024);
  await expect(eventsOf("data: ", chunk, chunk, chunk, chunk, chunk)).rejects.toThrow(RangeError);
});
