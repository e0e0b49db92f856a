import { describe, expect, it } from "vitest";
import { FAULTS, faultTests, indexFaults, readPage, renderIndex, staleLines, testFiles } from "./faults.ts";

const found = faultTests(testFiles());

describe("the faults that adtally survives", () => {
  it("have a test each, by number", () => {
    expect(indexFaults(found)).toEqual([]);
  });

  it("stand in docs/faults.md by tests that there are (node scripts/faults.ts --write)", async () => {
    expect(staleLines(readPage(), await renderIndex(found))).toEqual([]);
  });
});

describe("the index", () => {
  const of = (text: string) =>
    faultTests([{ path: "a.test.ts", text }]).map(({ fault, title }) => [fault, title]);

  it("sees tests and groups, in whatever way they are written", () => {
    expect(of('test("fault 3: plain", () => {});')).toEqual([[3, "plain"]]);
    expect(of('describe.skipIf(no)("fault 14: group", () => { it("inner") });')).toEqual([[14, "group"]]);
    expect(of("it.each([1])(\n  'fault 19: %s',\n  f);")).toEqual([[19, "…"]]);
    const group = 'describe("fault 9: group", () => { it("one", f); test.each([2])("t%so", f); });';
    expect(faultTests([{ path: "a.test.ts", text: group }])[0]!.parts).toEqual(["one", "t…o"]);
    expect(of("test(`fault 1: ${n} histories`, f);")).toEqual([[1, "… histories"]]);
  });

  it("does not take comments, other strings, numbers in mid-title, or skipped tests for tests", () => {
    for (const text of [
      '// test("fault 3: x")',
      'const a = "fault 3: x";',
      'test("a fault 3: x", f);',
      'test.skip("fault 3: x", f);',
      'say("fault 3: x");',
    ])
      expect(of(text), text).toEqual([]);
  });

  it("lets a page lack a test that is new, but neither a fault nor a test that is gone or has another name", async () => {
    const all = [...FAULTS.keys()].map((fault) => ({
      fault,
      title: `t${fault}`,
      parts: ["p"],
      path: "a.test.ts",
    }));
    const page = await renderIndex(all);
    const another = { fault: 3, title: "new", parts: [], path: "a.test.ts" };
    expect(staleLines(page, await renderIndex([...all, another]))).toEqual([]);
    expect(staleLines(page.replace("t24", "renamed"), page)).toEqual([expect.stringContaining("renamed")]);
    expect(staleLines(await renderIndex(all.slice(1)), page)).toEqual([
      "the section of fault 1 names no test",
    ]);
  });

  it("names the fault without a test, and the test of no fault", () => {
    const all = [...FAULTS.keys()].map((fault) => ({ fault, title: "t", parts: [], path: "a.test.ts" }));
    expect(indexFaults(all)).toEqual([]);
    expect(indexFaults(all.slice(1))).toEqual(['no test\'s title begins "fault 1: "']);
    expect(indexFaults([...all, { fault: 99, title: "t", parts: [], path: "a.test.ts" }])).toEqual([
      "a.test.ts: no fault 99 is listed in scripts/faults.ts",
    ]);
  });
});
