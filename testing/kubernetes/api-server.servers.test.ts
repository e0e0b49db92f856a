/** The API server for tests: that it judges as a cluster does, and what outlives its end. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { apiServerLacks, startApiServer, type ApiServer } from "./api-server.ts";
import { installControlPlane } from "./kubernetes-install.ts";

const CRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: jars.test.adtally.dev }
spec:
  group: test.adtally.dev
  names: { kind: Jar, plural: jars, singular: jar }
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [least, most]
              properties:
                least: { type: integer }
                most: { type: integer }
              x-kubernetes-validations:
                - rule: self.least <= self.most
                  message: a jar holds no fewer than its least
`;

const jar = (name: string, least: number, most: number): string =>
  JSON.stringify({
    apiVersion: "test.adtally.dev/v1",
    kind: "Jar",
    metadata: { name },
    spec: { least, most },
  });

const lacks = await apiServerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES: not available: ${lacks}\n`);

describe.skipIf(lacks !== undefined)("the API server for tests", () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-api-server-"));
  let server: ApiServer;

  beforeAll(async () => {
    server = await startApiServer({ dir });
    await server.kubectl(["apply", "-f", "-"], { input: CRD });
    await server.kubectl(["wait", "--for=condition=Established", "crd/jars.test.adtally.dev"]);
    await apply(jar("good", 1, 2));
  }, 1_800_000);
  afterAll(async () => {
    await server?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const apply = (input: string) => server.kubectl(["apply", "-f", "-"], { input });

  it("takes an object that keeps the CEL rule, and refuses one that breaks it by the rule's words", async () => {
    await apply(jar("good", 1, 3));
    await expect(apply(jar("bad", 2, 1))).rejects.toThrow("a jar holds no fewer than its least");
    expect(await server.kubectl(["get", "jars", "-o", "name"])).toBe("jar.test.adtally.dev/good\n");
  });

  it("lets a service account do what RBAC grants it, and nothing more", async () => {
    await server.kubectl(["create", "serviceaccount", "reader"]);
    const as = server.kubectlAs(await server.serviceAccountKubeconfig("default", "reader"));
    await expect(as(["get", "jars"])).rejects.toThrow(/system:serviceaccount:default:reader.*cannot list/);
    await server.kubectl(["create", "role", "reader", "--verb=get,list", "--resource=jars.test.adtally.dev"]);
    const to = ["--role=reader", "--serviceaccount=default:reader"];
    await server.kubectl(["create", "rolebinding", "reader", ...to]);
    await expect.poll(() => as(["get", "jars"]).catch(String), { timeout: 10_000 }).toContain("good");
    await expect(as(["delete", "jar", "good"])).rejects.toThrow("cannot delete");
  });

  it("collects what belongs to an owner that is gone", async () => {
    await server.kubectl(["create", "configmap", "owner"]);
    const uid = await server.kubectl(["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]);
    const owner = { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid };
    const metadata = { name: "owned", ownerReferences: [owner] };
    await apply(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata }));
    await server.kubectl(["delete", "configmap", "owner"]);
    const names = () => server.kubectl(["get", "configmaps", "-o", "name"]);
    await expect.poll(names, { timeout: 30_000, interval: 500 }).not.toContain("owned");
  });

  it("A1 A2 ends watches when it is killed, and has all that it had when it is back", async () => {
    const { kubectl } = await installControlPlane();
    const args = ["--kubeconfig", server.kubeconfig, "get", "jars", "--watch", "-o", "name"];
    const watch = spawn(kubectl, args, { stdio: ["ignore", "pipe", "ignore"] });
    onTestFinished(() => void watch.kill("SIGKILL"));
    let seen = "";
    watch.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    const ended = new Promise((resolve) => watch.once("exit", resolve));
    await expect.poll(() => seen, { timeout: 10_000 }).toContain("good");
    await apply(jar("second", 0, 1));
    await expect.poll(() => seen, { timeout: 10_000 }).toContain("second");

    await server.kill();
    await ended;
    expect(server.isRunning).toBe(false);
    await expect(server.kubectl(["get", "jars"])).rejects.toThrow(/refused/);

    await server.restart();
    expect(await server.kubectl(["get", "jars", "-o", "name"])).toContain("jar.test.adtally.dev/second");
    await expect(apply(jar("bad", 2, 1))).rejects.toThrow("a jar holds no fewer than its least");
  });
});
