import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { importFaults, packageFaults, textFaults } from "./tidy.ts";
import type { PackageFile, SourceFile } from "./tidy.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): SourceFile => ({ path, text: readFileSync(`${root}/${path}`, "utf8") });
const files = globSync(
  ["{actors,cmd,loadtest,operator,scripts,proto}/**/*.{ts,mjs,js,proto}", "*.{ts,js,md}"],
  {
    cwd: root,
  },
)
  .sort()
  .map(read);
const listed = JSON.parse(read("package.json").text) as PackageFile;

describe("this repository", () => {
  it("is seen whole", () => {
    expect(files.length).toBeGreaterThan(50);
  });
  it("imports downward only, drivers in adapters alone", () => {
    expect(importFaults(files)).toEqual([]);
  });
  it("lists in package.json what it imports, and nothing else", () => {
    expect(packageFaults(files, listed)).toEqual([]);
  });
  it("keeps files short, opened by a docstring, with nothing left to be done", () => {
    expect(textFaults(files)).toEqual([]);
  });
});

const file = (path: string, text: string): SourceFile => ({ path, text });

describe("the import rules", () => {
  it.each([
    ["a pure folder that reads files", "actors/token/keys.ts", "node:fs/promises"],
    ["a part that opens sockets", "actors/intake/intake.ts", "node:net"],
    ["a driver outside the adapters", "actors/shard/actor.ts", "@nxtedition/rocksdb"],
    ["a driver in a port", "actors/ports/catalogue.ts", "ioredis"],
    ["core that looks up", "actors/core/ids.ts", "../routing/table.ts"],
    ["a pure folder that knows a port", "actors/routing/table.ts", "../ports/catalogue.ts"],
    ["a port that knows its adapter", "actors/ports/click-log.ts", "../adapters/embedded/file-log.ts"],
    ["a part that knows an adapter", "actors/shard/actor.ts", "../adapters/embedded/file-log.ts"],
    ["an adapter that knows a program", "actors/adapters/http/api.ts", "../../../cmd/gateway/gateway.ts"],
    ["the operator that knows the data plane", "operator/plan/plan.ts", "../../actors/shard/state.ts"],
    ["the planner that does I/O", "operator/plan/plan.ts", "node:fs"],
    ["the planner that knows what acts", "operator/plan/plan.ts", "../act/act.ts"],
    ["the custom resources that know the planner", "operator/api/crd.ts", "../plan/plan.ts"],
    ["a folder without a rule", "actors/novelty/a.ts", "../core/ids.ts"],
  ])("refuse %s", (_, path, target) => {
    expect(importFaults([file(path, `import type { A } from "${target}";`)])).toHaveLength(1);
  });

  it("see imports for effect, re-exports and dynamic ones", () => {
    for (const text of ['import "node:fs";', 'export * from "node:fs";', 'await import("node:fs");']) {
      expect(importFaults([file("actors/core/ids.ts", text)])).toHaveLength(1);
    }
  });

  it("let tests, adapters and programs use what they need", () => {
    const fine = [
      file("actors/token/token.test.ts", 'import "node:fs"; import "../adapters/memory/memory-log.ts";'),
      file(
        "actors/adapters/rocksdb/rocks.ts",
        'import "@nxtedition/rocksdb"; import "../../ports/click-log.ts";',
      ),
      file("cmd/local/main.ts", 'import "commander"; import "../gateway/gateway.ts";'),
      file("loadtest/bench.ts", 'import "../cmd/local/main.ts";'),
      file(
        "operator/plan/plan.ts",
        'import "../../actors/routing/table.ts"; import "../../actors/assignment/assignment.ts"; import "../api/crd.ts";',
      ),
      file("operator/controller.ts", 'import "pino"; import "./plan/plan.ts"; import "./api/crd.ts";'),
      file("actors/shard/actor.ts", 'import "node:crypto"; import "../ports/click-log.ts";'),
    ];
    expect(importFaults(fine)).toEqual([]);
  });
});

describe("the package rules", () => {
  const listing: PackageFile = { dependencies: { pino: "1", node: "26" }, devDependencies: { vitest: "5" } };

  it("name what is listed and not imported, and the other way round", () => {
    const faults = packageFaults(
      [file("cmd/a.ts", 'import "left-pad"; import "@scope/name/deep";')],
      listing,
    );
    expect(faults).toEqual([
      "package.json lists pino, which nothing imports",
      "package.json lists vitest, which nothing imports",
      "cmd/a.ts imports left-pad, which package.json does not list",
      "cmd/a.ts imports @scope/name, which package.json does not list",
    ]);
  });

  it("refuse a program that needs a devDependency", () => {
    const used = 'import "pino"; import "vitest";';
    expect(packageFaults([file("cmd/a.ts", used)], listing)).toEqual([
      "cmd/a.ts imports vitest, which is a devDependency only",
    ]);
    expect(packageFaults([file("cmd/a.test.ts", used)], listing)).toEqual([]);
  });
});

describe("the text rules", () => {
  it("refuse 401 lines, a missing docstring and work left over", () => {
    const note = `${"TO"}DO`;
    expect(textFaults([file("cmd/a.ts", "\n".repeat(400))])).toEqual([]);
    expect(textFaults([file("cmd/a.ts", "\n".repeat(401))])).toHaveLength(1);
    expect(textFaults([file("actors/core/a.ts", "export const a = 1;\n")])).toHaveLength(1);
    expect(textFaults([file("README.md", `one\n<!-- ${note} -->\n`)])).toEqual([
      "README.md:2 leaves something to be done",
    ]);
  });
});
