/** What of the chart can be held without helm: what is generated is current, and what it names is there. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { chartFiles } from "../scripts/charts.ts";
import { describedValues } from "../scripts/chart-values.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const read = (file: string): string => readFileSync(path.join(ROOT, file), "utf8");
const values = read("charts/adtally/values.yaml");

/** Everything that programs export; Prometheus' library adds those of each process. */
function exportedMetrics(): ReadonlySet<string> {
  const sources = ["actors", "cmd", "operator"].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !/[.-](test|fixture)\.ts$/.test(file))
      .map((file) => read(path.join(folder, file))),
  );
  return new Set(sources.flatMap((text) => text.match(/(?<=")adtally_[a-z_]+(?=")/g) ?? []));
}

describe("the chart", () => {
  it("has its schema and its README as npm run charts makes them", async () => {
    for (const { file, text } of await chartFiles())
      expect(readFileSync(file, "utf8"), file.pathname).toBe(text);
  });

  it("is of the version that its programs are", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    for (const name of ["adtally", "adtally-crds"]) {
      const chart = parse(read(`charts/${name}/Chart.yaml`));
      expect([chart.version, chart.appVersion], name).toEqual([version, version]);
    }
  });

  it("bundles the servers that docker-compose.yaml runs, each by a pinned tag", () => {
    const { bundled } = parse(values);
    const { services } = parse(read("docker-compose.yaml"), { merge: true });
    for (const name of ["redpanda", "clickhouse", "redis"]) {
      expect(bundled[name].image, name).toBe(services[name].image);
      expect(bundled[name].image, name).toMatch(/:v?[0-9.]+$/);
    }
  });

  it("plots metrics that programs export", () => {
    const exported = exportedMetrics();
    const dashboard = JSON.parse(read("charts/adtally/dashboards/adtally.json"));
    const asked: string[] = dashboard.panels.flatMap((panel: { targets: { expr: string }[] }) =>
      panel.targets.flatMap(({ expr }) => expr.match(/adtally_[a-z_]+/g) ?? []),
    );
    expect(new Set(asked).size).toBeGreaterThan(10);
    for (const name of asked) expect(exported).toContain(name.replace(/_(bucket|count|sum)$/, ""));
  });
});

describe("the table of values", () => {
  it("takes a comment of several lines, and refuses a value without one", () => {
    const text = "# Of all.\n\na:\n  # -- One |\n  # two.\n  b: [1]\n  # -- Three.\n  c: {}\n";
    expect(describedValues(text)).toEqual([
      { path: "a.b", fallback: [1], about: "One | two." },
      { path: "a.c", fallback: {}, about: "Three." },
    ]);
    expect(() => describedValues("a:\n  b: 1\n")).toThrow("a.b has no description");
  });
});
