import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { citationFaults, numbersOf, tableFaults, written } from "./invariants.ts";
import type { SourceFile } from "./tidy.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): SourceFile => ({ path, text: readFileSync(`${root}/${path}`, "utf8") });
const files = globSync("{actors,cmd,operator,scripts}/**/*.{ts,mjs}", { cwd: root }).sort().map(read);

describe("the invariants", () => {
  it("are all in ARCHITECTURE.md's table, and no others: it was incomplete", () => {
    expect(tableFaults(files, read("ARCHITECTURE.md").text)).toEqual([]);
  });

  it("are cited by their file, as several files have the same numbers", () => {
    expect(citationFaults(files)).toEqual([]);
  });
});

const fold = {
  path: "actors/shard/fold.ts",
  text: "/**\n * Folds.\n *  F1 One.\n *  F2 Two (see F1).\n */\n",
};

describe("their rules", () => {
  it("read numbers from a docstring, and write them as a row does", () => {
    expect(numbersOf(fold.text)).toEqual(["F1", "F2"]);
    expect([["A1"], ["A1", "A2"], ["A1", "A2", "A3"]].map(written)).toEqual(["A1", "A1, A2", "A1 to A3"]);
  });

  it("find a file that is not listed, one that is listed otherwise, and one that has none", () => {
    expect(tableFaults([fold], "")).toHaveLength(1);
    expect(tableFaults([fold], "| F1 to F3 | `actors/shard/fold.ts` | x |")).toHaveLength(1);
    expect(tableFaults([], "| F1 | `actors/shard/fold.ts` | x |")).toHaveLength(1);
    expect(tableFaults([fold], "| F1, F2 | `actors/shard/fold.ts` | x |")).toEqual([]);
  });

  it.each([
    ["// as F2 says", 1],
    ["// as F2 of fold.ts says", 0],
    ["// as F3 of fold.ts says", 1],
    ["const F2 = 1;", 0],
  ])("of a citation elsewhere: %s", (line, faults) => {
    expect(citationFaults([fold, { path: "actors/shard/other.ts", text: `${line}\n` }])).toHaveLength(faults);
  });
});
