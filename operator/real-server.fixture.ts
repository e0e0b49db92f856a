/**
 * What the operator's suites run against: a real API server with the custom resources, the operator's
 * service account with its very rules (rbac.ts), and what no node is there for: pods that run.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { expect } from "vitest";
import { systemClock, systemRandom, type Clock } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";
import { createMetrics } from "../actors/runtime/metrics.ts";
import { apiServerLacks, startApiServer, type ApiServer } from "../testing/kubernetes/api-server.ts";
import { crdFiles } from "./api/crd.ts";
import { createKubeClient, type KubeClient, type Method } from "./kube/client.ts";
import type { KubeList, KubeObject } from "./kube/object.ts";
import { startReflector, type ReflectorDeps } from "./kube/reflector.ts";
import { pathOf, pods, type Kind } from "./kube/resources.ts";
import { createOperatorMetrics } from "./metrics.ts";
import type { PodObject } from "./observe/caches.ts";
import type { DataPlane } from "./observe/data-plane.ts";
import { startOperator, type Operator, type OperatorOptions } from "./operator.ts";
import { CLUSTER_RULES, LEASE_RULES } from "./rbac.ts";

export const OPERATOR_NAMESPACE = "adtally-system";
const ACCOUNT = "operator";
const DEADLINE_MS = 2_000;

export const lacks = await apiServerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(`KUBERNETES: ${lacks}`);
if (lacks !== undefined) process.stderr.write(`KUBERNETES: not available: ${lacks}\n`);

/** A test's own deadline is generous: it waits for a condition, on a machine that does other things too. */
export const SOON = { timeout: 45_000, interval: 100 };
/** The first one builds Kubernetes. */
export const INSTALL_MS = 1_800_000;

export interface TestCluster {
  readonly server: ApiServer;
  /** As one who may do everything. */
  readonly admin: KubeClient;
  /** Of the operator's service account. */
  readonly kubeconfig: string;
  apply(object: object): Promise<string>;
  list<T extends KubeObject>(kind: Kind, namespace: string): Promise<readonly T[]>;
  get<T extends KubeObject>(kind: Kind, namespace: string, name: string): Promise<T>;
  stop(): Promise<void>;
}

export async function startTestCluster(): Promise<TestCluster> {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-operator-"));
  const server = await startApiServer({ dir });
  const apply = (object: object) =>
    server.kubectl(["apply", "--server-side", "-f", "-"], { input: JSON.stringify(object) });
  await server.kubectl(["apply", "-f", "-"], {
    input: crdFiles()
      // Helm's one template in them says whether they stay.
      .map(({ text }) => text.replaceAll(/\{\{ if .*?\}\}(.*?)\{\{ else .*?\{\{ end \}\}/g, "$1"))
      .join("---\n"),
  });
  await server.kubectl(["wait", "--for=condition=Established", "crd", "--all"]);
  await apply({ apiVersion: "v1", kind: "List", items: account() });
  const kubeconfig = await server.serviceAccountKubeconfig(OPERATOR_NAMESPACE, ACCOUNT);
  const admin = clientOf(server.kubeconfig);
  return {
    server,
    admin,
    kubeconfig,
    apply,
    list: async <T extends KubeObject>(kind: Kind, namespace: string) =>
      (await admin.send<KubeList<T>>("GET", pathOf(kind, namespace))).items,
    get: (kind, namespace, name) => admin.send("GET", pathOf(kind, namespace, name)),
    async stop() {
      await admin.close();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** As the chart grants it. */
function account(): readonly object[] {
  const name = "adtally-operator";
  const subject = { kind: "ServiceAccount", name: ACCOUNT, namespace: OPERATOR_NAMESPACE };
  const inNamespace = { name, namespace: OPERATOR_NAMESPACE };
  const rbac = { apiVersion: "rbac.authorization.k8s.io/v1" };
  const ref = (kind: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name });
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: OPERATOR_NAMESPACE } },
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: ACCOUNT, namespace: OPERATOR_NAMESPACE },
    },
    { ...rbac, kind: "ClusterRole", metadata: { name }, rules: CLUSTER_RULES },
    {
      ...rbac,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: ref("ClusterRole"),
      subjects: [subject],
    },
    { ...rbac, kind: "Role", metadata: inNamespace, rules: LEASE_RULES },
    { ...rbac, kind: "RoleBinding", metadata: inNamespace, roleRef: ref("Role"), subjects: [subject] },
  ];
}

/** `port`: of a proxy in front of the API server. */
export function clientOf(
  kubeconfig: string,
  { port, onAnswer }: { port?: number; onAnswer?: (method: Method, status: number) => void } = {},
): KubeClient {
  const config = new KubeConfig();
  config.loadFromString(readFileSync(kubeconfig, "utf8"));
  if (port !== undefined)
    config.clusters = config.clusters.map((each) => ({ ...each, server: `https://127.0.0.1:${port}` }));
  return createKubeClient({
    config,
    deadlineMs: DEADLINE_MS,
    userAgent: "adtally-operator-test",
    clock: systemClock,
    ...(onAnswer !== undefined && { onAnswer }),
  });
}

export interface TestOperator extends Operator {
  /** By what the API server answered: "PATCH 409". */
  readonly answers: ReadonlyMap<string, number>;
  /** Prometheus' text. */
  metricsText(): Promise<string>;
}

export interface TestOperatorOptions extends Partial<OperatorOptions> {
  readonly kubeconfig: string;
  readonly dataPlane: DataPlane;
  readonly clock?: Clock;
  /** Of a proxy in front of the API server. */
  readonly port?: number;
}

let operators = 0;

export function startTestOperator(options: TestOperatorOptions): TestOperator {
  const { kubeconfig, dataPlane, port, clock = systemClock, ...rest } = options;
  operators += 1;
  const answers = new Map<string, number>();
  const metrics = createMetrics({ process: false });
  const counted = createOperatorMetrics(metrics);
  const client = clientOf(kubeconfig, {
    ...(port !== undefined && { port }),
    onAnswer(method, status) {
      counted.answer(method, status);
      answers.set(`${method} ${status}`, (answers.get(`${method} ${status}`) ?? 0) + 1);
    },
  });
  const operator = startOperator({
    client,
    dataPlane,
    clock,
    random: systemRandom,
    logger: process.env["ADTALLY_TEST_LOG"] === undefined ? silentLogger : stderrLogger,
    metrics: { ...counted, beforeScrape: metrics.beforeScrape },
    options: {
      watchNamespace: undefined,
      leaseNamespace: OPERATOR_NAMESPACE,
      leaseName: "adtally-operator",
      leaseMs: 6_000,
      roundMs: 300,
      relistMs: 600_000,
      watchSeconds: 5,
      identity: `operator-${operators}`,
      ...rest,
    },
  });
  return {
    caches: operator.caches,
    get epoch() {
      return operator.epoch;
    },
    stale: () => operator.stale(),
    answers,
    metricsText: () => metrics.text(),
    async stop() {
      await operator.stop();
      await client.close();
    },
  };
}

const say = (level: string) => (fields: object, message: string) =>
  void process.stderr.write(
    `${level} ${Math.round(systemClock.monotonic())} ${message} ${JSON.stringify(fields)}\n`,
  );
const stderrLogger = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };

export const reflectorDeps = (client: KubeClient): ReflectorDeps => ({
  client,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  watchSeconds: 5,
  relistMs: 600_000,
});

export interface Kubelet {
  /** A pod of this namespace and name stays as it is when it is made, until it is let go. */
  hold(key: string): void;
  letGo(key: string): void;
  close(): Promise<void>;
}

/** There is no node: whoever is a pod runs as soon as it is made, and is gone when it is deleted. */
export function playKubelet(admin: KubeClient): Kubelet {
  const reflector = startReflector<PodObject>(reflectorDeps(admin), { kind: pods });
  const held = new Set<string>();
  let address = 1;
  const run = (pod: PodObject): void => {
    const { metadata, status } = pod;
    const key = `${metadata.namespace}/${metadata.name}`;
    if (metadata.deletionTimestamp !== undefined || status?.phase === "Running") return;
    if (!reflector.objects.has(key) || held.has(key)) return;
    address += 1;
    const startedAt = new Date(systemClock.now()).toISOString();
    const condition = (type: string) => ({ type, status: "True", lastTransitionTime: startedAt });
    const running = {
      phase: "Running",
      podIP: `127.1.0.${address}`,
      podIPs: [{ ip: `127.1.0.${address}` }],
      startTime: startedAt,
      conditions: ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition),
      containerStatuses: [
        {
          name: "program",
          image: "adtally:1",
          imageID: "",
          ready: true,
          started: true,
          restartCount: 0,
          state: { running: { startedAt } },
        },
      ],
    };
    admin
      .send("PATCH", pathOf(pods, metadata.namespace, metadata.name, "status"), {
        body: { status: running },
        contentType: "application/merge-patch+json",
      })
      .catch(() => undefined);
  };
  reflector.onChange(run);
  return {
    hold: (key) => void held.add(key),
    letGo(key) {
      held.delete(key);
      const pod = reflector.objects.get(key);
      if (pod !== undefined) run(pod);
    },
    close: () => reflector.close(),
  };
}

/** A clock that is ahead of the machine's: what takes minutes is over in a test's seconds. */
export function hastyClock(): Clock & { skip(ms: number): void } {
  let aheadMs = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + aheadMs,
    skip: (ms) => void (aheadMs += ms),
  };
}

/** Merges at once, and drains for longer than a hasty clock goes ahead. */
export const clickClusterOf = (namespace: string, name: string, spec: object = {}): object => ({
  apiVersion: "adtally.dev/v1alpha1",
  kind: "ClickCluster",
  metadata: { name, namespace },
  spec: {
    image: "adtally:1",
    tokenKeys: { name: "keys" },
    redpanda: { brokers: ["redpanda:9092"] },
    clickhouse: { url: "http://clickhouse:8123" },
    redis: { url: "redis://redis:6379" },
    shards: { min: 8, max: 16 },
    actors: { replicas: 2, min: 1, max: 4 },
    gateways: { min: 1, max: 1 },
    hotAds: { mergeAfterSeconds: 0 },
    drainSeconds: 86_400,
    ...spec,
  },
});

export async function untilReady(cluster: TestCluster, namespace: string, name: string): Promise<void> {
  const status = () => cluster.server.kubectl(["get", "clickcluster", name, "-n", namespace, "-o", READY]);
  await expect.poll(status, SOON).toBe("True Serving");
}
const READY =
  'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}';
