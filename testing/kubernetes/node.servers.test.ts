/** The node for tests: that it runs our image as a cluster does, and that nothing of it is left. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../servers/command.ts";
import { installNode, nodeLacks } from "./node-install.ts";
import { startNode, type ClusterNode } from "./node.ts";

const SERVE = `
  const hello = (request, answer) => answer.end("hello from " + require("node:os").hostname());
  require("node:http").createServer(hello).listen(8080);
  process.on("SIGTERM", () => process.exit(0));
`;
/** Pod Security 'restricted', as the chart's pods are. */
const container = {
  name: "main",
  image: "adtally:local",
  imagePullPolicy: "Never",
  securityContext: {
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  },
};
const HELLO = [
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "hello" },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: "hello" } },
      template: {
        metadata: { labels: { app: "hello" } },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              ...container,
              args: ["-e", SERVE],
              readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
              resources: { limits: { memory: "128Mi" } },
            },
          ],
        },
      },
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "hello" },
    spec: { type: "NodePort", selector: { app: "hello" }, ports: [{ port: 80, targetPort: 8080 }] },
  },
];

/** Keeps on its volume how often it was started. */
const COUNT_STARTS = `
  const fs = require("node:fs");
  fs.appendFileSync("/data/starts", "x");
  process.on("SIGTERM", () => process.exit(0));
  setInterval(() => undefined, 1000);
`;
const KEEPER = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "keeper" },
  spec: {
    serviceName: "keeper",
    selector: { matchLabels: { app: "keeper" } },
    template: {
      metadata: { labels: { app: "keeper" } },
      spec: {
        terminationGracePeriodSeconds: 2,
        securityContext: { fsGroup: 10_001 },
        containers: [
          {
            ...container,
            args: ["-e", COUNT_STARTS],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
      },
    },
    volumeClaimTemplates: [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      },
    ],
  },
};
/** As a program in a pod asks the API server: by its service account's token. */
const ASK_API_SERVER = `
  const { readFileSync } = require("node:fs");
  const of = (file) => readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/" + file);
  const headers = { authorization: "Bearer " + of("token") };
  const url = "https://kubernetes.default.svc/api/v1/namespaces/default/pods";
  require("node:https").get(url, { ca: of("ca.crt"), headers }, (answer) => answer.pipe(process.stdout));
`;

/** Lines of ps. */
async function processesOf(dir: string): Promise<string> {
  const lines = (await runCommand("ps", ["-e", "-o", "pid,args"])).split("\n");
  return lines.filter((line) => line.includes(dir)).join("\n");
}

const lacks = await nodeLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES NODE: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES NODE: not available: ${lacks}\n`);

describe.skipIf(lacks !== undefined)("the node for tests", () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-node-"));
  let node: ClusterNode;

  beforeAll(async () => {
    const image = path.join(dir, "adtally.tar");
    await runCommand(process.execPath, ["scripts/build-image.ts", "--out", image]);
    node = await startNode({ dir, images: [image] });
  }, 2_400_000);
  afterAll(async () => {
    await node?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const kubectl = (...args: readonly string[]) => node.apiServer.kubectl(args);
  // Each by a connection of its own: kube-proxy chooses a pod for a connection.
  const textOf = async (url: string) => {
    const signal = AbortSignal.timeout(2_000);
    return (await fetch(url, { signal, headers: { connection: "close" } })).text();
  };
  const starts = () => {
    const print = "process.stdout.write(require('node:fs').readFileSync('/data/starts'))";
    return kubectl("exec", "keeper-0", "--", "node", "-e", print).catch(String);
  };
  const isReady = () => kubectl("rollout", "status", "deployment/hello", "--timeout=60s");

  it("runs pods of our image, restricted, until they are Ready", async () => {
    const input = HELLO.map((each) => JSON.stringify(each)).join("\n---\n");
    await node.apiServer.kubectl(["apply", "-f", "-"], { input });
    await isReady();
  });

  it("answers for a Service: at its address, at the node's port, and by its name from a pod", async () => {
    const of = async (field: string) => kubectl("get", "service", "hello", "-o", `jsonpath={${field}}`);
    const address = await of(".spec.clusterIP");
    const atIts = () => textOf(`http://${address}/`).catch(String);
    await expect.poll(atIts, { timeout: 10_000 }).toContain("hello from hello-");
    const port = await of(".spec.ports[0].nodePort");
    const answers = new Set<string>();
    // A pod that is Ready is soon, not at once, among those that the Service chooses from.
    const seen = async () => answers.add(await textOf(`http://${node.address}:${port}/`)).size;
    await expect.poll(seen, { timeout: 10_000 }).toBe(2);
    const ask = "fetch('http://hello.default.svc/').then((it) => it.text()).then(console.log)";
    expect(await kubectl("exec", "deploy/hello", "--", "node", "-e", ask)).toContain("hello from hello-");
  });

  it("lets a pod ask the API server as its service account, which RBAC then judges", async () => {
    const ask = () => kubectl("exec", "deploy/hello", "--", "node", "-e", ASK_API_SERVER);
    expect(await ask()).toMatch(/system:serviceaccount:default:default.*cannot list resource/);
    const to = ["--clusterrole=view", "--serviceaccount=default:default"];
    await kubectl("create", "rolebinding", "viewer", ...to);
    await expect.poll(ask, { timeout: 10_000 }).toContain('"kind":"PodList"');
  });

  it("gives a StatefulSet its volume", async () => {
    await node.addVolumes(1);
    await node.apiServer.kubectl(["apply", "-f", "-"], { input: JSON.stringify(KEEPER) });
    await kubectl("rollout", "status", "statefulset/keeper", "--timeout=60s");
    await expect.poll(starts, { timeout: 10_000 }).toBe("x");
  });

  it("loads what the programs load, in the image", async () => {
    const load = "require('@nxtedition/rocksdb'); console.log(process.version, process.getuid())";
    expect(await kubectl("exec", "deploy/hello", "--", "node", "-e", load)).toContain("10001");
    for (const program of ["actor", "gateway", "ingest", "query", "assign"]) {
      const said = await kubectl("exec", "deploy/hello", "--", "node", `cmd/${program}/main.ts`, "--help");
      expect(said).toContain(program);
    }
  });

  it("N2 has its pods again after a power cut", async () => {
    await node.kill();
    expect(node.isRunning).toBe(false);
    expect(await kubectl("get", "deployment", "hello", "-o", "name")).toContain("hello");
    await node.restart();
    await isReady();
    const address = await kubectl("get", "service", "hello", "-o", "jsonpath={.spec.clusterIP}");
    await expect
      .poll(() => textOf(`http://${address}/`).catch(String), { timeout: 20_000 })
      .toContain("hello");
    await expect.poll(starts, { timeout: 20_000 }).toBe("xx");
  });

  it("M1 ends with its parent, however that ends", async () => {
    const { packages } = await installNode();
    const fixture = path.join(import.meta.dirname, "machine-parent.fixture.ts");
    const machineDir = path.join(dir, "machine");
    const parent = spawn(process.execPath, [fixture, machineDir, packages], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => parent.stdout.once("data", resolve));
    const device = `adtally${parent.pid}`;
    expect(await runCommand("ip", ["link", "show", device])).toContain(device);
    expect(await processesOf(machineDir)).not.toBe("");
    parent.kill("SIGKILL");
    const link = () => runCommand("ip", ["link", "show", device]).catch(String);
    await expect.poll(link, { timeout: 20_000 }).toContain("does not exist");
    await expect.poll(() => processesOf(machineDir)).toBe("");
  });

  it("N1 leaves no process, device or cgroup behind", async () => {
    const device = `adtally${process.pid}`;
    const cgroups = () =>
      readdirSync("/sys/fs/cgroup").filter((each) =>
        existsSync(path.join("/sys/fs/cgroup", each, `adtally-node-${process.pid}`)),
      );
    expect(await runCommand("ip", ["link", "show", device])).toContain(device);
    expect(cgroups()).not.toEqual([]);
    await node.stop();
    await expect(runCommand("ip", ["link", "show", device])).rejects.toThrow("does not exist");
    expect(cgroups()).toEqual([]);
    expect(await runCommand("sh", ["-c", `ps ax -o args | grep -F "${dir}" | grep -v grep || true`])).toBe(
      "",
    );
  });
});
