/**
 * What the chart does in a cluster around its install and uninstall: its hooks' programs with the
 * arguments and the rights that the chart gives them, on a real API server. No pod runs there, so helm
 * leaves the hooks out and the test runs them.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseKeyFile } from "../actors/token/keys.ts";
import { CHART, NAMESPACE, RELEASE } from "../scripts/charts-golden.ts";
import { apiServerLacks } from "../testing/kubernetes/api-server.ts";
import {
  objectsOf,
  listOf,
  startChartCluster,
  type ChartCluster,
  type RenderedObject,
} from "./cluster.fixture.ts";

const lacks = await apiServerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES: not available: ${lacks}\n`);

const SET = ["--set", "bundled.enabled=true"];
const IN_NAMESPACE = ["--namespace", NAMESPACE];
const CLUSTER = ["get", "clickcluster", RELEASE, ...IN_NAMESPACE];

describe.skipIf(lacks !== undefined)("the chart's hooks", () => {
  let cluster: ChartCluster;
  let hooks: readonly RenderedObject[];
  beforeAll(async () => {
    cluster = await startChartCluster();
    const { helm } = cluster;
    await helm(["install", RELEASE, CHART, ...IN_NAMESPACE, ...SET, "--no-hooks"]);
    hooks = objectsOf(await helm(["get", "hooks", RELEASE, ...IN_NAMESPACE]));
  }, 1_800_000);
  afterAll(() => cluster?.stop());
  beforeEach(async () => {
    await kubectl(["delete", "secret", "--ignore-not-found", ...IN_NAMESPACE, ...SECRETS]);
  });

  const SECRETS = ["adtally-token-keys", "adtally-admin-key", "adtally-clickhouse"];
  const kubectl = (args: readonly string[], input?: string) =>
    cluster.server.kubectl(args, input === undefined ? {} : { input });
  const secret = async (name: string, key: string): Promise<string> => {
    const { data } = JSON.parse(await kubectl(["get", "secret", name, ...IN_NAMESPACE, "-o", "json"]));
    return Buffer.from(data[key], "base64").toString();
  };

  /** As its Job would: the hook's own service account, role and arguments. */
  async function run(name: string, change: (args: readonly string[]) => readonly string[] = (args) => args) {
    const own = hooks.filter(({ metadata }) => metadata.name === name);
    const granted = own.filter(({ kind }) => kind !== "Job");
    await kubectl(["apply", ...IN_NAMESPACE, "-f", "-"], listOf(granted));
    const kubeconfig = await cluster.server.serviceAccountKubeconfig(NAMESPACE, name);
    const args = own.find(({ kind }) => kind === "Job")!.spec!.template!.spec.containers[0]!.args!;
    const child = spawn(process.execPath, [...change(args), "--kubeconfig", kubeconfig], {
      cwd: path.resolve(import.meta.dirname, ".."),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    return { said: () => said, ended };
  }

  async function ranTo(code: number, name: string): Promise<string> {
    const { said, ended } = await run(name);
    expect(await ended, said()).toBe(code);
    return said();
  }

  it("make keys that the programs take, once, and only check them from then on", async () => {
    expect(await ranTo(0, "adtally-make-keys")).toContain("Secret ads/adtally-token-keys: made");
    const keys = await secret("adtally-token-keys", "tokens.json");
    expect(parseKeyFile(keys).keys.size).toBe(1);
    expect(await secret("adtally-admin-key", "admin-key")).toMatch(/^adk_[-_A-Za-z0-9]{32}$/);
    expect(await secret("adtally-clickhouse", "password")).toMatch(/^[-_A-Za-z0-9]{32}$/);
    expect((await ranTo(0, "adtally-make-keys")).match(/is there, and good/g)).toHaveLength(3);
    expect(await secret("adtally-token-keys", "tokens.json")).toBe(keys);
  });

  it("refuse keys that were damaged, and say which", async () => {
    const damaged = { "tokens.json": Buffer.from('{"signing_key_id":1,"keys":{}}').toString("base64") };
    const object = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "adtally-token-keys" },
      data: damaged,
    };
    await kubectl(["apply", ...IN_NAMESPACE, "-f", "-"], JSON.stringify(object));
    expect(await ranTo(1, "adtally-make-keys")).toContain(
      'CONFIG_INVALID: token key file: "signing_key_id" is 1',
    );
  });

  it("delete the ClickCluster, wait while its finalizer holds it, and take their Secrets with them, no others", async () => {
    await ranTo(0, "adtally-make-keys");
    await kubectl(["label", "secret", "adtally-admin-key", ...IN_NAMESPACE, "adtally.dev/generated-for-"]);
    const hold = (finalizers: readonly string[] | null) =>
      kubectl([
        "patch",
        "clickcluster",
        RELEASE,
        ...IN_NAMESPACE,
        "--type=merge",
        "-p",
        JSON.stringify({ metadata: { finalizers } }),
      ]);
    await hold(["adtally.dev/drain"]);

    const short = await run("adtally-uninstall", (args) =>
      args.map((arg) => (arg.startsWith("--deadline-seconds") ? "--deadline-seconds=1" : arg)),
    );
    expect(await short.ended).toBe(1);
    expect(short.said()).toContain("still there after 1 s, held by adtally.dev/drain");
    expect(await secret("adtally-token-keys", "tokens.json")).not.toBe("");

    const uninstall = await run("adtally-uninstall");
    await expect.poll(() => uninstall.said(), { timeout: 30_000 }).toContain("held by adtally.dev/drain");
    expect(await kubectl([...CLUSTER, "-o", "jsonpath={.metadata.deletionTimestamp}"])).not.toBe("");
    await hold(null);
    expect(await uninstall.ended, uninstall.said()).toBe(0);
    expect(uninstall.said()).toContain("ClickCluster ads/adtally: gone");
    expect(uninstall.said()).toContain("Secret ads/adtally-admin-key: stays, it was not made for adtally");
    await expect(kubectl(CLUSTER)).rejects.toThrow("not found");
    const left = await kubectl([
      "get",
      "secrets",
      ...IN_NAMESPACE,
      "-o",
      "name",
      "-l",
      "app.kubernetes.io/part-of=adtally",
    ]);
    expect(left.trim()).toBe("secret/adtally-admin-key");
    // As it may be called for again after a failure.
    expect(await ranTo(0, "adtally-uninstall")).toContain("ClickCluster ads/adtally: gone");
  });

  /** As an operator leaves them: the state, and a gateway's volume. */
  async function leftBehind(drained: string): Promise<void> {
    const metadata = (name: string) => ({ name, labels: { "adtally.dev/cluster": RELEASE } });
    const resources = { requests: { storage: "1Mi" } };
    const claim = { accessModes: ["ReadWriteOnce"], resources, storageClassName: "none" };
    const items = [
      { apiVersion: "v1", kind: "ConfigMap", metadata: metadata("adtally-state"), data: { drained } },
      {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: metadata("data-adtally-gateways-0"),
        spec: claim,
      },
    ];
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
    await kubectl(["apply", ...IN_NAMESPACE, "-f", "-"], list);
  }

  it("keep gateways' volumes, and the state, of a ClickCluster that has not drained", async () => {
    await leftBehind("");
    const said = await ranTo(0, "adtally-uninstall");
    expect(said).toContain("PersistentVolumeClaim ads/data-adtally-gateways-0: stays");
    expect(said).toContain("ConfigMap ads/adtally-state: stays");
    await kubectl(["get", "pvc/data-adtally-gateways-0", "configmap/adtally-state", ...IN_NAMESPACE]);
  });

  it("leave nothing behind the release", async () => {
    await ranTo(0, "adtally-make-keys");
    await leftBehind("uid-of-the-last");
    const said = await ranTo(0, "adtally-uninstall");
    expect(said).toContain("PersistentVolumeClaim ads/data-adtally-gateways-0: deleted");
    expect(said).toContain("ConfigMap ads/adtally-state: deleted");
    expect(await ranTo(0, "adtally-forget-lease")).toContain("is not there");
    const rights = hooks.filter(({ kind }) => /^(ServiceAccount|Role|RoleBinding)$/.test(kind));
    // As helm does when a hook is done.
    await kubectl(["delete", ...IN_NAMESPACE, "-f", "-"], listOf(rights));
    await cluster.helm(["uninstall", RELEASE, ...IN_NAMESPACE, "--no-hooks", "--wait"]);
    const kinds = (await kubectl(["api-resources", "--namespaced", "--verbs=list", "-o", "name"]))
      .trim()
      .split("\n");
    const left = await kubectl(["get", kinds.join(","), ...IN_NAMESPACE, "-o", "name"]);
    const others = left
      .split("\n")
      .filter(
        (name) =>
          name !== "" &&
          !/^(event|events?\.|configmap\/kube-root-ca|serviceaccount\/default|endpoints)/.test(name),
      );
    expect(others).toEqual([]);
  });
});
