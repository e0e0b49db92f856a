/**
 * Who may speak with whom: nobody with anybody, but for what is said here.
 *
 * Ports of backends are those of their addresses. A NetworkPolicy is held against the pod that a Service
 * leads to: a Service of a backend must have the port of its pods.
 */
import type { V1NetworkPolicyPeer, V1NetworkPolicyPort } from "@kubernetes/client-node";
import type { ClickCluster, ClickClusterSpec } from "../api/click-cluster.ts";
import type { Component } from "../api/release.ts";
import {
  COMPONENT_LABEL,
  manifestOf,
  PART_OF,
  PART_OF_LABEL,
  selectorOf,
  workloadName,
  type Labels,
  type Manifest,
} from "./manifest.ts";
import { PORTS } from "./settings.ts";

/** As the API server takes it: @kubernetes/client-node's own type has another name for `from`. */
interface Rule {
  readonly ports: readonly V1NetworkPolicyPort[];
  /** Undefined: anybody. */
  readonly from?: readonly V1NetworkPolicyPeer[];
  readonly to?: readonly V1NetworkPolicyPeer[];
}

interface PolicySpec {
  readonly podSelector: { readonly matchLabels: Labels };
  readonly policyTypes: readonly string[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

const tcp = (...ports: readonly number[]): V1NetworkPolicyPort[] =>
  [...new Set(ports)].map((port) => ({ port, protocol: "TCP" }));
const DNS: Rule = { ports: [...tcp(53), { port: 53, protocol: "UDP" }] };

/** In whatever namespace it runs. */
const OPERATOR: V1NetworkPolicyPeer = {
  namespaceSelector: {},
  podSelector: { matchLabels: { [PART_OF_LABEL]: PART_OF, [COMPONENT_LABEL]: "operator" } },
};
/** Pods, for metrics are theirs to scrape; nobody from outside. */
const ANY_POD: V1NetworkPolicyPeer = { namespaceSelector: {} };

const URL_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "redis:": 6379,
  "rediss:": 6379,
};

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return port === "" ? (URL_PORTS[protocol] ?? 443) : Number(port);
}

export function renderNetworkPolicies(cluster: ClickCluster): readonly Manifest[] {
  const { spec } = cluster;
  const { name } = cluster.metadata;
  const pods = (component: Component): V1NetworkPolicyPeer => ({
    podSelector: { matchLabels: selectorOf(name, component) },
  });
  const toShards: Rule = { ports: tcp(PORTS.shards), to: [pods("actors")] };
  const { clickhouse, kafka, redis } = backends(spec);
  const scraped: Rule = { ports: tcp(PORTS.admin), from: [ANY_POD] };
  const ofPublic = (...ports: readonly number[]): Rule => ({ ports: tcp(...ports) });
  const rules: Readonly<
    Record<Component, { readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] }>
  > = {
    actors: {
      ingress: [{ ports: tcp(PORTS.shards), from: [pods("gateways"), pods("query"), OPERATOR] }, scraped],
      egress: [DNS, kafka, clickhouse, redis],
    },
    gateways: {
      ingress: [ofPublic(PORTS.http, PORTS.grpc), { ports: tcp(PORTS.internal), from: [OPERATOR] }],
      egress: [DNS, kafka, redis, toShards],
    },
    query: {
      ingress: [ofPublic(PORTS.http, PORTS.grpc)],
      egress: [DNS, kafka, clickhouse, redis, toShards],
    },
    ingest: {
      ingress: [scraped],
      egress: [DNS, kafka, clickhouse, redis],
    },
  };
  const policy = (
    of: string,
    matchLabels: Labels,
    rest: Partial<PolicySpec>,
    component?: Component,
  ): Manifest =>
    manifestOf(
      cluster,
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        name: of,
        ...(component !== undefined && { component }),
      },
      { spec: { podSelector: { matchLabels }, policyTypes: ["Ingress", "Egress"], ...rest } },
    );
  return [
    // Of all pods, those too of which the rest says nothing.
    policy(`${name}-data-plane`, selectorOf(name), {}),
    ...(Object.keys(rules) as Component[]).map((component) =>
      policy(workloadName(name, component), selectorOf(name, component), rules[component], component),
    ),
  ];
}

function backends({
  clickhouse,
  redis,
  redpanda,
}: ClickClusterSpec): Readonly<Record<"clickhouse" | "kafka" | "redis", Rule>> {
  return {
    kafka: { ports: tcp(...redpanda.brokers.map((broker) => Number(broker.split(":").at(-1)))) },
    clickhouse: { ports: tcp(portOf(clickhouse.url)) },
    redis: { ports: tcp(portOf(redis.url)) },
  };
}
