/** What a cluster has besides its workloads: Services, budgets, the gateways' autoscaler, an account. */
import type {
  V1PodDisruptionBudgetSpec,
  V1ServicePort,
  V1ServiceSpec,
  V2HorizontalPodAutoscalerSpec,
  V2MetricTarget,
} from "@kubernetes/client-node";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { Component } from "../api/release.ts";
import { accountName, manifestOf, selectorOf, workloadName, type Manifest } from "./manifest.ts";
import { renderNetworkPolicies } from "./network.ts";
import { PORTS } from "./settings.ts";

export function renderObjects(cluster: ClickCluster): readonly Manifest[] {
  const { max, min } = cluster.spec.gateways;
  const open = [port("http", 80, "http"), port("grpc", PORTS.grpc, "kubernetes.io/h2c")];
  return [
    serviceAccount(cluster),
    service(cluster, "actors", {
      clusterIP: "None",
      // A host is not ready before it has all its shards, and must be reached for that.
      publishNotReadyAddresses: true,
      ports: [port("shards", PORTS.shards, "kubernetes.io/h2c"), port("admin", PORTS.admin, "http")],
    }),
    service(cluster, "gateways", { type: "ClusterIP", ports: open }),
    service(cluster, "query", { type: "ClusterIP", ports: open }),
    ...(["actors", "gateways", "query"] as const).map((component) => budget(cluster, component)),
    // Where there is nothing to choose, the planner says how many.
    ...(min < max ? [autoscaler(cluster)] : []),
    ...renderNetworkPolicies(cluster),
  ];
}

/** `name` is also the container's. */
const port = (name: string, number: number, appProtocol: string): V1ServicePort => ({
  name,
  port: number,
  targetPort: name,
  appProtocol,
});

/** Of all its pods, none of which speaks with the API server. */
function serviceAccount(cluster: ClickCluster): Manifest {
  const { imagePullSecrets } = cluster.spec;
  return manifestOf(
    cluster,
    { apiVersion: "v1", kind: "ServiceAccount", name: accountName(cluster.metadata.name) },
    {
      automountServiceAccountToken: false,
      // Not in the pods, which then need no restart for another one.
      ...(imagePullSecrets !== undefined && imagePullSecrets.length > 0 && { imagePullSecrets }),
    },
  );
}

function service(cluster: ClickCluster, component: Component, rest: V1ServiceSpec): Manifest {
  const { name } = cluster.metadata;
  const spec: V1ServiceSpec = { selector: selectorOf(name, component), ...rest };
  const head = { apiVersion: "v1", kind: "Service", name: workloadName(name, component), component };
  return manifestOf(cluster, head, { spec });
}

/** Nodes are drained one pod at a time; one that is not ready is in nobody's way. */
function budget(cluster: ClickCluster, component: Component): Manifest {
  const { name } = cluster.metadata;
  const spec: V1PodDisruptionBudgetSpec = {
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: "AlwaysAllow",
    selector: { matchLabels: selectorOf(name, component) },
  };
  const head = { apiVersion: "policy/v1", kind: "PodDisruptionBudget", name: workloadName(name, component) };
  return manifestOf(cluster, { ...head, component }, { spec });
}

function autoscaler(cluster: ClickCluster): Manifest {
  const { max, min, resources, targetCpuPercent } = cluster.spec.gateways;
  // A share of what is requested; where nothing is, of the one core that a gateway can use.
  const target: V2MetricTarget =
    resources?.requests?.["cpu"] === undefined && resources?.limits?.["cpu"] === undefined
      ? { type: "AverageValue", averageValue: `${targetCpuPercent * 10}m` }
      : { type: "Utilization", averageUtilization: targetCpuPercent };
  const name = workloadName(cluster.metadata.name, "gateways");
  const spec: V2HorizontalPodAutoscalerSpec = {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "StatefulSet", name },
    minReplicas: min,
    maxReplicas: max,
    metrics: [{ type: "Resource", resource: { name: "cpu", target } }],
    // One after the other: each hands on first what it has spooled.
    behavior: { scaleDown: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] } },
  };
  const head = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", name };
  return manifestOf(cluster, { ...head, component: "gateways" }, { spec });
}
