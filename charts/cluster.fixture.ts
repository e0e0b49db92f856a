/** An API server that has adtally's custom resources, from their chart, and helm and kubectl for it. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseAllDocuments } from "yaml";
import { NAMESPACE } from "../scripts/charts-golden.ts";
import { startApiServer, type ApiServer } from "../testing/kubernetes/api-server.ts";
import { helmOf, type Helm } from "../testing/kubernetes/helm.ts";
import { installHelm } from "../testing/kubernetes/kubernetes-install.ts";

export const CRDS_CHART = path.resolve(import.meta.dirname, "adtally-crds");

/** Others' resources that the chart can make objects of: whatever stands in those is taken. */
const OTHERS = [
  ["monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"],
  ["monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"],
  ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"],
] as const;

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
export interface PodTemplate {
  readonly metadata?: Partial<Metadata>;
  readonly spec: {
    readonly serviceAccountName?: string;
    readonly containers: readonly { readonly name: string; readonly args?: readonly string[] }[];
  };
}
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}
export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly rules?: readonly Rule[];
  readonly spec?: { readonly template?: PodTemplate };
}

export const objectsOf = (manifests: string): readonly RenderedObject[] =>
  parseAllDocuments(manifests)
    .map((document) => document.toJS() as RenderedObject | null)
    .filter((object) => object !== null);

export const listOf = (items: readonly object[]): string =>
  JSON.stringify({ apiVersion: "v1", kind: "List", items });

export interface ChartCluster {
  readonly server: ApiServer;
  readonly helm: Helm;
  stop(): Promise<void>;
}

export async function startChartCluster(): Promise<ChartCluster> {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-chart-"));
  const helmCommand = await installHelm();
  const server = await startApiServer({ dir });
  const stop = async () => {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const helm = helmOf(helmCommand, dir, server.kubeconfig);
    await helm(["install", "adtally-crds", CRDS_CHART]);
    process.stderr.write(
      `stubs stand for ${OTHERS.map(([, , kind]) => kind).join(", ")}: their schemas are not held\n`,
    );
    const namespace = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: NAMESPACE, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    };
    const input = listOf([namespace, ...OTHERS.map(stub)]);
    await server.kubectl(["apply", "-f", "-"], { input });
    const names = OTHERS.map(([group, , , plural]) => `crd/${plural}.${group}`);
    const all = [...names, "crd/clickclusters.adtally.dev", "crd/hotadsplits.adtally.dev"];
    await server.kubectl(["wait", "--for=condition=Established", ...all]);
    return { server, helm, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function stub([group, version, kind, plural]: (typeof OTHERS)[number]): object {
  const schema = {
    openAPIV3Schema: {
      type: "object",
      properties: { spec: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
    },
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      // Groups of *.k8s.io are guarded.
      annotations: { "api-approved.kubernetes.io": "unapproved, a test's stub" },
    },
    spec: {
      group,
      names: { kind, plural, singular: kind.toLowerCase() },
      scope: "Namespaced",
      versions: [{ name: version, served: true, storage: true, schema }],
    },
  };
}
