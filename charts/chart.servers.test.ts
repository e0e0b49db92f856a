/** The chart on a real API server: that it takes what every case renders, and what the operator may do. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  CHART,
  chartCases,
  goldenOf,
  NAMESPACE,
  RELEASE,
  rendered,
  valuesOf,
} from "../scripts/charts-golden.ts";
import { CLUSTER_RULES } from "../operator/rbac.ts";
import { apiServerLacks } from "../testing/kubernetes/api-server.ts";
import { ofKubernetes } from "../testing/kubernetes/helm.ts";
import {
  CRDS_CHART,
  listOf,
  objectsOf,
  startChartCluster,
  type ChartCluster,
  type RenderedObject,
} from "./cluster.fixture.ts";

const lacks = await apiServerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES: not available: ${lacks}\n`);

const TRIAL = "bundled.enabled=true";
const golden = (name: string): readonly RenderedObject[] => objectsOf(readFileSync(goldenOf(name), "utf8"));

describe.skipIf(lacks !== undefined)("the chart", () => {
  let cluster: ChartCluster;
  beforeAll(async () => {
    cluster = await startChartCluster();
  }, 1_800_000);
  afterAll(() => cluster?.stop());

  it.each(chartCases())("lints strictly: %s", async (name) => {
    await cluster.helm(["lint", "--strict", CHART, "--values", valuesOf(name), ...ofKubernetes]);
  });

  it.each(chartCases())("renders as its golden file has it, else npm run charts:golden: %s", async (name) => {
    expect(await rendered(cluster.helm, name)).toBe(readFileSync(goldenOf(name), "utf8"));
  });

  it.each([
    ["operator.replica=3", /operator.*replica/s],
    ["clickCluster.shards.minn=4", /clickCluster.*shards.*minn/s],
    ["clickCluster.actors.replicas=0", /clickCluster.*actors.*replicas/s],
    ["clickCluster.autoscaling.mode=Sometimes", /clickCluster.*autoscaling.*mode/s],
    ["image.digest=latest", /image.*digest/s],
    ["bundled.redpanda.image=", /bundled.*redpanda.*image/s],
    [
      "networkPolicy.apiServerPorts=null,networkPolicy.apiServerPorts[0]=70000",
      /networkPolicy.*apiServerPorts/s,
    ],
    ["ingress.gatewayPaths[0]=click", /ingress.*gatewayPaths/s],
    ["fullnameOverride=Clicks", /fullnameOverride/],
  ])("refuses %s by name", async (setting, message) => {
    const args = ["template", RELEASE, CHART, "--set", `${TRIAL},${setting}`, ...ofKubernetes];
    await expect(cluster.helm(args)).rejects.toThrow(message);
  });

  it("says what is missing where neither servers nor bundled ones are named", async () => {
    await expect(cluster.helm(["template", RELEASE, CHART, ...ofKubernetes])).rejects.toThrow(
      /clickCluster\.clickhouse\.url, clickCluster\.redis\.url, clickCluster\.redpanda\.brokers: not set\. Say where/,
    );
  });

  it.each(chartCases())("renders what the API server takes, object by object: %s", async (name) => {
    const input = listOf(golden(name));
    const applied = await cluster.server.kubectl(
      ["apply", "--server-side", "--dry-run=server", "--namespace", NAMESPACE, "-f", "-", "-o", "name"],
      { input },
    );
    expect(applied.trim().split("\n")).toHaveLength(golden(name).length);
  });

  it.each(chartCases())("runs pods that Pod Security 'restricted' lets in: %s", async (name) => {
    const pods = podsOf(golden(name));
    const accounts = [...new Set(pods.map(({ spec }) => spec.serviceAccountName ?? "default"))];
    const serviceAccounts = accounts
      .filter((account) => account !== "default")
      .map((account) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: account } }));
    const { kubectl } = cluster.server;
    const inNamespace = ["--namespace", NAMESPACE, "-f", "-"];
    if (serviceAccounts.length > 0)
      await kubectl(["apply", ...inNamespace], { input: listOf(serviceAccounts) });
    await kubectl(["create", "--dry-run=server", ...inNamespace], { input: listOf(pods) });
    if (serviceAccounts.length > 0)
      await kubectl(["delete", ...inNamespace], { input: listOf(serviceAccounts) });
  });

  it("grants the operator what operator/rbac.ts says, in its own namespace or, when it is told to, in all", async () => {
    const rulesOf = (name: string, kind: string, of: string) =>
      golden(name).find(({ kind: each, metadata }) => each === kind && metadata.name === of)?.rules;
    expect(rulesOf("01-trial.yaml", "Role", "adtally-operator")).toEqual(CLUSTER_RULES);
    expect(rulesOf("03-operator-alone.yaml", "ClusterRole", "ads-adtally-operator")).toEqual(CLUSTER_RULES);
    for (const name of chartCases()) {
      const ofLeases = golden(name)
        .flatMap(({ rules }) => rules ?? [])
        .filter(({ resources }) => resources.includes("leases"));
      // The other one is the hook's that takes the Lease away after the uninstall: of that Lease alone.
      expect(ofLeases.filter(({ verbs }) => verbs.includes("update"))).toHaveLength(1);
      expect(ofLeases.filter(({ resourceNames }) => resourceNames === undefined)).toHaveLength(1);
    }
    expect(chartCases().filter((name) => golden(name).some(({ kind }) => /^Cluster/.test(kind)))).toEqual([
      "03-operator-alone.yaml",
    ]);
  });

  it("lets the operator's service account do what can-i.txt lists, and nothing else", async () => {
    const { kubectl } = cluster.server;
    const kinds = ["ServiceAccount", "Role", "RoleBinding"];
    const granted = golden("01-trial.yaml").filter(
      ({ kind, metadata }) => kinds.includes(kind) && metadata.annotations?.["helm.sh/hook"] === undefined,
    );
    const inNamespace = ["--namespace", NAMESPACE];
    await kubectl(["apply", ...inNamespace, "-f", "-"], { input: listOf(granted) });
    const as = `--as=system:serviceaccount:${NAMESPACE}:adtally-operator`;
    const listed = await kubectl(["auth", "can-i", "--list", as, ...inNamespace]);
    const elsewhere = await kubectl(["auth", "can-i", "--list", as, "--namespace", "default"]);
    await kubectl(["delete", ...inNamespace, "-f", "-"], { input: listOf(granted) });
    const lines = (text: string) =>
      text
        .split("\n")
        .map((line) => line.trimEnd().replaceAll(/ {2,}/g, "  "))
        .sort();
    const everybodys = new Set(lines(elsewhere));
    const own = lines(listed).filter((line) => !everybodys.has(line));
    expect(own.join("\n")).not.toContain("*");
    await expect(`${own.join("\n")}\n`).toMatchFileSnapshot(goldenOf("can-i.txt"));
  });

  it("asks for no right by a wildcard", () => {
    const rules = chartCases().flatMap((name) => golden(name).flatMap((object) => object.rules ?? []));
    expect(rules.length).toBeGreaterThan(0);
    for (const rule of rules) {
      const named = [...rule.apiGroups, ...rule.resources, ...rule.verbs];
      expect(named, JSON.stringify(rule)).not.toContain("*");
    }
  });

  it("tells the three next commands when it is installed", async () => {
    const args = ["install", RELEASE, CHART, "--namespace", NAMESPACE, "--set", TRIAL, "--dry-run=server"];
    const notes = (await cluster.helm(args)).split("NOTES:")[1];
    expect(notes).toContain("kubectl -n ads wait clickcluster/adtally --for=condition=Ready");
    expect(notes).toContain("helm test adtally -n ads");
    expect(notes).toContain('{{index .data "admin-key" | base64decode}}');
  });

  it("keeps the custom resources when their chart goes, unless it is told otherwise; upgrades change them", async () => {
    const { helm, server } = cluster;
    const policy = (crd: string) =>
      server.kubectl(["get", "crd", crd, "-o", "jsonpath={.metadata.annotations.helm\\.sh/resource-policy}"]);
    expect(await policy("clickclusters.adtally.dev")).toBe("keep");
    await helm(["upgrade", "adtally-crds", CRDS_CHART, "--set", "keep=false"]);
    // Helm would leave what has this annotation, even where it says something else.
    expect(await policy("hotadsplits.adtally.dev")).toBe("");
    await helm(["upgrade", "adtally-crds", CRDS_CHART, "--set", "keep=true"]);
    await helm(["uninstall", "adtally-crds"]);
    expect(await policy("clickclusters.adtally.dev")).toBe("keep");
    await helm(["install", "adtally-crds", CRDS_CHART, "--take-ownership"]);
  });
});

interface Pod {
  readonly spec: { readonly serviceAccountName?: string };
}

/** Of all that run pods, one of each, as it would be made. */
function podsOf(objects: readonly RenderedObject[]): readonly Pod[] {
  return objects.flatMap((object): Pod[] => {
    if (object.kind === "Pod") return [object as unknown as Pod];
    const template = object.spec?.template;
    if (template === undefined) return [];
    const { spec, metadata } = template;
    const claims = (object.spec as { volumeClaimTemplates?: readonly { metadata: { name: string } }[] })
      .volumeClaimTemplates;
    const volumes = [
      ...((spec as { volumes?: readonly object[] }).volumes ?? []),
      ...(claims ?? []).map(({ metadata: { name } }) => ({
        name,
        persistentVolumeClaim: { claimName: name },
      })),
    ];
    const name = `${object.kind.toLowerCase()}-${path.basename(object.metadata.name)}`;
    return [
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { ...metadata, name },
        spec: { restartPolicy: "Never", ...spec, volumes },
      } as Pod,
    ];
  });
}
