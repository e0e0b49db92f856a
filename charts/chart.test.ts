/** What of the chart can be held without helm: what is generated is current, and what it names is there. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseCommandLine } from "../cmd/config/command-line.ts";
import { operatorSpec } from "../cmd/operator/config.ts";
import { parseClickClusterSpec } from "../operator/api/click-cluster.ts";

import {
  CLUSTER_LABEL,
  COMPONENT_LABEL,
  PART_OF,
  PART_OF_LABEL,
  stateName,
} from "../operator/render/manifest.ts";
import { render } from "../operator/render/render.ts";
import { chartFiles } from "../scripts/charts.ts";
import { describedValues } from "../scripts/chart-values.ts";
import { objectsOf, type RenderedObject } from "./cluster.fixture.ts";

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

describe("the chart and the operator", () => {
  const objects = (name: string) => objectsOf(read(`charts/adtally/golden/${name}`));
  const ofTrial = objects("01-trial.yaml");
  const { metadata, spec } = ofTrial.find(({ kind }) => kind === "ClickCluster")!;
  const made = render({
    metadata: { name: metadata.name, namespace: "ads", uid: "1", generation: 1, creationTimestamp: "" },
    spec: parseClickClusterSpec(spec),
  });
  const nameOf = (object: RenderedObject) => `${object.kind}/${object.metadata.name}`;
  const find = (name: string) => ofTrial.find((object) => nameOf(object) === name)!;

  it("make no two objects of one name", () => {
    const workloads = Object.values(made.workloads).map((each) => `${each.kind}/${each.metadata.name}`);
    const ours = new Set([...made.objects.keys(), ...workloads, `ConfigMap/${stateName(metadata.name)}`]);
    expect(ours.size).toBeGreaterThan(10);
    expect(ofTrial.map(nameOf).filter((name) => ours.has(name))).toEqual([]);
  });

  it("know each other by the label that the policies of a ClickCluster name", () => {
    const { labels } = find("Deployment/adtally-operator").spec!.template!.metadata!;
    expect(labels).toMatchObject({ [COMPONENT_LABEL]: "operator", [PART_OF_LABEL]: PART_OF });
    expect(labels).not.toHaveProperty([CLUSTER_LABEL]);
  });

  it("agree on the flags that the operator is started with", () => {
    for (const name of ["01-trial.yaml", "02-production.yaml", "03-operator-alone.yaml"]) {
      const deployment = objects(name).find((object) => nameOf(object) === "Deployment/adtally-operator")!;
      const [main, ...args] = deployment.spec!.template!.spec.containers[0]!.args!;
      expect(main).toBe("cmd/operator/main.ts");
      expect(parseCommandLine(operatorSpec, args).faults).toEqual([]);
    }
  });

  it("agree on the Services that the smoke test asks", () => {
    const pod = find("Pod/adtally-smoke") as unknown as { spec: { containers: { args: string[] }[] } };
    const urls = pod.spec.containers[0]!.args.flatMap(
      (arg) => /^--(?:gateway|query)-url=http:\/\/(.*)$/.exec(arg)?.[1] ?? [],
    );
    expect(urls).toHaveLength(2);
    for (const url of urls) {
      const service = made.objects.get(`Service/${url}`) as unknown as {
        spec: { ports: { port: number }[] };
      };
      expect(service.spec.ports).toContainEqual(expect.objectContaining({ name: "http", port: 80 }));
    }
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
