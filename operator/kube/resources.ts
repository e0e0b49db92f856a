/** The kinds of objects that the operator looks at or makes, and where the API server has them. */
import { GROUP, VERSION } from "../api/meta.ts";

export interface Kind {
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

const kind = (name: string, group: string, version: string, plural: string): Kind => ({
  kind: name,
  group,
  version,
  plural,
});

export const clickClusters = kind("ClickCluster", GROUP, VERSION, "clickclusters");
export const hotAdSplits = kind("HotAdSplit", GROUP, VERSION, "hotadsplits");
export const statefulSets = kind("StatefulSet", "apps", "v1", "statefulsets");
export const deployments = kind("Deployment", "apps", "v1", "deployments");
export const pods = kind("Pod", "", "v1", "pods");
export const configMaps = kind("ConfigMap", "", "v1", "configmaps");
export const services = kind("Service", "", "v1", "services");
export const secrets = kind("Secret", "", "v1", "secrets");
export const volumeClaims = kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims");
export const leases = kind("Lease", "coordination.k8s.io", "v1", "leases");
export const events = kind("Event", "events.k8s.io", "v1", "events");
export const disruptionBudgets = kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets");
export const autoscalers = kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers");
export const networkPolicies = kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies");
export const serviceAccounts = kind("ServiceAccount", "", "v1", "serviceaccounts");

/** What is rendered besides the workloads is of these. */
export const RENDERED_KINDS: readonly Kind[] = [
  configMaps,
  serviceAccounts,
  services,
  disruptionBudgets,
  autoscalers,
  networkPolicies,
];

/** Of all namespaces where none is named. */
export function pathOf(of: Kind, namespace?: string, name?: string, subresource?: string): string {
  const root = of.group === "" ? `/api/${of.version}` : `/apis/${of.group}/${of.version}`;
  const parts = [
    root,
    ...(namespace === undefined ? [] : ["namespaces", encodeURIComponent(namespace)]),
    of.plural,
    ...(name === undefined ? [] : [encodeURIComponent(name)]),
    ...(subresource === undefined ? [] : [subresource]),
  ];
  return parts.join("/");
}

export const apiVersionOf = ({ group, version }: Kind): string =>
  group === "" ? version : `${group}/${version}`;
