import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { describeImage, leavesOut } from "./dockerfile.ts";

const read = (file: string): string => readFileSync(path.join(import.meta.dirname, "..", file), "utf8");

describe("what a Dockerfile says of its image", () => {
  it("is read from its last stage, lines that go on joined", () => {
    const image = describeImage(
      [
        "FROM node AS modules",
        "USER root",
        "RUN npm ci \\",
        "  && rm -rf a b \\",
        "    c && find x -name '*.map' -delete && find x -type f -name '*.d.ts' -delete",
        "FROM node",
        "ENV A=1 \\",
        "  B=2",
        "WORKDIR /app",
        "COPY --from=modules /x ./x",
        "COPY one two ./",
        "COPY three ./four",
        "USER 1:1",
        'CMD ["x", "y"]',
      ].join("\n"),
    );
    expect(image).toMatchObject({ env: ["A=1", "B=2"], workingDir: "/app", user: "1:1", cmd: ["x", "y"] });
    expect(image.copies).toEqual([
      { from: "one", to: "one" },
      { from: "two", to: "two" },
      { from: "three", to: "four" },
    ]);
    expect(image.removed).toEqual(["a", "b", "c"]);
    expect(image.removedEndings).toEqual([".map", ".d.ts"]);
    expect(() => describeImage("FROM x\nSHELL y")).toThrow("the Dockerfile says SHELL");
  });

  it("is of ours: nobody in particular, programs and contracts, no embedded engine", () => {
    const image = describeImage(read("Dockerfile"));
    expect(image.user).toBe("10001:10001");
    expect(image.entrypoint).toEqual(["node"]);
    expect(image.copies.map(({ to }) => to)).toEqual(expect.arrayContaining(["proto", "actors", "cmd"]));
    expect(image.removed).toEqual(expect.arrayContaining(["node_modules/chdb", "node_modules/node"]));
    expect(image.removedEndings).toEqual([".map", ".d.ts"]);
  });
});

describe(".dockerignore", () => {
  it("leaves out all that it does not name, and of what it names what a later line takes back", () => {
    const isLeftOut = leavesOut("# why\n*\n!a\na/b\n**/*.test.ts");
    expect(["x", "a", "a/c", "a/b", "a/b/c", "a/c/d.test.ts", "a/bc"].filter(isLeftOut)).toEqual([
      "x",
      "a/b",
      "a/b/c",
      "a/c/d.test.ts",
    ]);
  });

  it("of ours keeps the programs, and leaves out tests and what embeds", () => {
    const isLeftOut = leavesOut(read(".dockerignore"));
    expect(isLeftOut("cmd/gateway/main.ts")).toBe(false);
    const out = ["actors/sim/a.ts", "actors/core/limits.test.ts", "testing/tcp-proxy.ts"];
    expect(out.filter(isLeftOut)).toEqual(out);
  });
});
