/**
 * A real API server takes all that is rendered: every field is one that it knows, nothing is said that it
 * warns of, and the pods run where Pod Security 'restricted' is enforced.
 */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiServerLacks, startApiServer, type ApiServer } from "../../testing/kubernetes/api-server.ts";
import { crdFiles } from "../api/crd.ts";
import { COMPONENTS } from "../api/release.ts";
import { CASES, clusterOf, manifestsOf } from "./cases.fixture.ts";
import { render } from "./render.ts";

const lacks = await apiServerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES: not available: ${lacks}\n`);

const NAMESPACE = "ads";
const RESTRICTED = ["enforce", "warn"].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`);
const STRICT = ["--validate=strict", "--warnings-as-errors"];
const cases = Object.entries(CASES).map(([of, { name, spec }]) => [of, name, spec] as const);

describe.skipIf(lacks !== undefined)("a real API server", () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-render-"));
  let server: ApiServer;

  beforeAll(async () => {
    server = await startApiServer({ dir });
    // As helm would where they are kept: whether they are is all that it is asked for.
    const crds = crdFiles().map(({ text }) =>
      text.replaceAll(/\{\{ if .*?\}\}(.*?)\{\{ else .*?\{\{ end \}\}/g, "$1"),
    );
    const input = crds.join("---\n");
    await server.kubectl(["apply", "--dry-run=server", ...STRICT, "-f", "-"], { input });
    await server.kubectl(["apply", "-f", "-"], { input });
    await server.kubectl(["wait", "--for=condition=Established", "crd", "--all"]);
    await server.kubectl(["create", "namespace", NAMESPACE]);
    await server.kubectl(["label", "namespace", NAMESPACE, ...RESTRICTED]);
  }, 1_800_000);
  afterAll(async () => {
    await server?.stop();
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  const apply = (objects: readonly object[]) => {
    const input = objects.map((each) => JSON.stringify(each)).join("\n---\n");
    const how = [
      "--server-side",
      "--field-manager=test",
      "--dry-run=server",
      ...STRICT,
      "-o",
      "name",
      "-f",
      "-",
    ];
    return server.kubectl(["apply", ...how], { input });
  };
  const custom = (name: string, spec: object) => ({
    apiVersion: "adtally.dev/v1alpha1",
    kind: "ClickCluster",
    metadata: { name, namespace: NAMESPACE },
    spec,
  });

  it.each(cases)("takes the ClickCluster %s as it was written", async (_, name, spec) => {
    expect(await apply([custom(name, spec)])).toContain(name);
  });

  it("refuses one whose name its pods could not bear", async () => {
    await expect(apply([custom("c".repeat(41), CASES["least"]!.spec)])).rejects.toThrow("Services and pods");
  });

  it.each(cases)("takes every object of %s, without a warning", async (_, name, spec) => {
    const manifests = manifestsOf(clusterOf(name, spec));
    const taken = (await apply(manifests)).trim().split("\n");
    expect(taken).toHaveLength(manifests.length);
  });

  it.each(cases)(
    "takes the pods of %s where Pod Security 'restricted' is enforced",
    async (_, name, spec) => {
      const cluster = clusterOf(name, spec);
      const { objects, workloads } = render(cluster);
      const account = objects.get(`ServiceAccount/${name}-data-plane`)!;
      const input = JSON.stringify(account);
      // For real: no pod is taken whose account is not there.
      await server.kubectl(["apply", "--server-side", "-f", "-"], { input });
      const pods = COMPONENTS.map((component) => {
        const { metadata, spec: template } = workloads[component].spec.template;
        const claims = workloads[component].kind === "StatefulSet" ? [{ name: "data", emptyDir: {} }] : [];
        return {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { ...metadata, name: `pod-${component}`, namespace: NAMESPACE },
          spec: { ...template, volumes: [...template!.volumes!, ...claims] },
        };
      });
      expect((await apply(pods)).trim().split("\n")).toHaveLength(COMPONENTS.length);
    },
  );

  it("refuses such a pod with a right more: what it takes is what it checked", async () => {
    const { name, spec } = CASES["least"]!;
    const { template } = render(clusterOf(name, spec)).workloads.query.spec;
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "pod-more", namespace: NAMESPACE },
      spec: { ...template.spec, hostNetwork: true },
    };
    await expect(apply([pod])).rejects.toThrow(/violates PodSecurity|forbidden/);
  });
});
