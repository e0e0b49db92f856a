/** ClickClusters of which goldens are kept, and which a real API server is shown. */
import { stringify } from "yaml";
import { parseClickClusterSpec, type ClickCluster } from "../api/click-cluster.ts";
import { COMPONENTS } from "../api/release.ts";
import type { Manifest } from "./manifest.ts";
import { render } from "./render.ts";

const least = {
  image: "registry.example/adtally:1.0.0",
  tokenKeys: { name: "token-keys" },
  redpanda: { brokers: ["redpanda:9092"] },
  clickhouse: { url: "http://clickhouse:8123" },
  redis: { url: "redis://redis:6379" },
};

/** As inputs: what a person writes. */
export const CASES: Readonly<Record<string, { readonly name: string; readonly spec: object }>> = {
  least: { name: "clicks", spec: least },
  // For a trial on one node: one of each, one broker.
  trial: {
    name: "trial",
    spec: {
      ...least,
      imagePullPolicy: "Never",
      shards: { min: 4, max: 8 },
      actors: { max: 3, storage: { size: "1Gi" } },
      gateways: { min: 1, max: 1, spool: { size: "200Mi" } },
      query: { replicas: 0 },
      redpanda: { brokers: ["redpanda:9092"], replication: 1, minInsync: 1 },
      adminKey: { name: "admin" },
    },
  },
  // Every Secret that there can be, TLS with everybody, nothing on its usual port.
  secured: {
    name: "secured",
    spec: {
      ...least,
      imagePullSecrets: [{ name: "registry" }, { name: "mirror" }],
      tokenKeys: { name: "keys", key: "current.json" },
      adminKey: { name: "keys", key: "admin" },
      tls: { secretName: "programs-tls" },
      redpanda: {
        brokers: ["a.kafka.example:19093", "b.kafka.example:29093"],
        topicPrefix: "ads.",
        user: "adtally",
        passwordSecret: { name: "kafka" },
        mechanism: "scram-sha-256",
        tls: { caSecret: { name: "kafka" }, clientSecretName: "kafka-tls" },
      },
      clickhouse: {
        url: "https://clickhouse.example",
        user: "writer",
        passwordSecret: { name: "clickhouse" },
        cluster: "main",
        tls: { caSecret: { name: "clickhouse" }, clientSecretName: "clickhouse-tls" },
      },
      redis: {
        url: "rediss://redis.example",
        user: "adtally",
        passwordSecret: { name: "redis", key: "pass" },
        prefix: "ads:",
        tls: { caSecret: { name: "redis", key: "ca" }, clientSecretName: "redis-tls" },
      },
    },
  },
  // Scaled by load, with resources, storage classes, other times, and a URL that looks like a reference.
  large: {
    name: "l".repeat(40),
    spec: {
      ...least,
      shards: { min: 64, max: 512 },
      actors: {
        replicas: 8,
        min: 4,
        max: 64,
        resources: { requests: { cpu: 2, memory: "4Gi" }, limits: { memory: "6Gi" } },
        storage: { size: "100Gi", storageClassName: "fast" },
      },
      gateways: {
        min: 3,
        max: 30,
        targetCpuPercent: 60,
        resources: { requests: { cpu: "1500m", memory: "1Gi" }, limits: { cpu: "2", memory: "2Gi" } },
        spool: { size: "50Gi", storageClassName: "fast" },
        publicUrl: "https://ads.example/$(POD_NAME)$$",
      },
      query: { replicas: 3, resources: { limits: { memory: "1Gi" } } },
      ingest: { resources: { limits: { memory: "2Gi" } } },
      autoscaling: { mode: "Auto" },
      retention: { tokenLifeSeconds: 3_600, dedupRetentionSeconds: 4_000, logRetentionSeconds: 86_400 },
    },
  },
};

export const clusterOf = (name: string, spec: object): ClickCluster => ({
  metadata: {
    name,
    namespace: "ads",
    uid: "7b0e5a2c-3b8e-4a0e-9a38-2f6f4bb1c1de",
    generation: 1,
    creationTimestamp: "2026-01-01T00:00:00Z",
  },
  spec: parseClickClusterSpec(spec),
});

/** With another spec in part: `clusterOf` the least case. */
export const leastWith = (change: object): ClickCluster => clusterOf("clicks", { ...least, ...change });

export const manifestsOf = (cluster: ClickCluster): readonly Manifest[] => {
  const { objects, workloads } = render(cluster);
  return [...COMPONENTS.map((component) => workloads[component]), ...objects.values()];
};

export const yamlOf = (manifests: readonly Manifest[]): string =>
  manifests.map((each) => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false })).join("---\n");
