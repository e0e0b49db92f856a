/** The operator under faults, on a real API server: fault 23 of the list, conflicts, and two who lead. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { runToEnd, startProgram } from "../cmd/lib/program.fixture.ts";
import { startTcpProxy } from "../testing/tcp-proxy.ts";
import { act } from "./act/act.ts";
import type { ClickCluster } from "./api/click-cluster.ts";
import type { KubeObject } from "./kube/object.ts";
import { clickClusters, configMaps, pods, statefulSets } from "./kube/resources.ts";
import { obedientHosts } from "./obedient-hosts.fixture.ts";
import { openCaches, type Caches, type PodObject, type WorkloadObject } from "./observe/caches.ts";
import type { Action } from "./plan/actions.ts";
import { RELEASE_LABEL } from "./render/manifest.ts";
import { render } from "./render/render.ts";
import {
  clickClusterOf,
  clientOf,
  INSTALL_MS,
  lacks,
  OPERATOR_NAMESPACE,
  playKubelet,
  reflectorDeps,
  SOON,
  startTestCluster,
  startTestOperator,
  untilReady,
  type Kubelet,
  type TestCluster,
  type TestOperatorOptions,
} from "./real-server.fixture.ts";
import { epochOf } from "./state/config-map.ts";

const NAME = "clicks";

describe.skipIf(lacks !== undefined)("the operator under faults", () => {
  let cluster: TestCluster;
  let kubelet: Kubelet;
  beforeAll(async () => {
    cluster = await startTestCluster();
    kubelet = playKubelet(cluster.admin);
  }, INSTALL_MS);
  afterAll(async () => {
    await kubelet?.close();
    await cluster?.stop();
  });

  /** A namespace with a ClickCluster in it, and an operator for it alone. */
  async function scene(namespace: string, options: Partial<TestOperatorOptions> = {}) {
    await cluster.server.kubectl(["create", "namespace", namespace]);
    await cluster.apply(clickClusterOf(namespace, NAME));
    const hosts = obedientHosts();
    const startOperator = (more: Partial<TestOperatorOptions> = {}) => {
      const operator = startTestOperator({
        kubeconfig: cluster.kubeconfig,
        dataPlane: hosts,
        watchNamespace: namespace,
        leaseName: namespace,
        ...options,
        ...more,
      });
      onTestFinished(() => operator.stop());
      return operator;
    };
    const replicas = async () =>
      (await cluster.get<WorkloadObject>(statefulSets, namespace, `${NAME}-actors`)).spec?.replicas;
    const scale = (count: number) =>
      cluster.server.kubectl(["scale", "clickcluster", NAME, `--replicas=${count}`, "-n", namespace]);
    const state = () => cluster.get(configMaps, namespace, `${NAME}-state`);
    return { hosts, startOperator, replicas, scale, state, key: `${namespace}/${NAME}` };
  }

  it("fault 23: watches that went silent are found out, and what they missed is done", async () => {
    const proxy = await startTcpProxy({ targetPort: Number(new URL(cluster.server.url).port) });
    onTestFinished(() => proxy.close());
    const { startOperator, replicas, scale } = await scene("silence");
    const operator = startOperator({ port: proxy.port });
    await untilReady(cluster, "silence", NAME);
    proxy.forget();
    await scale(3);
    await expect.poll(replicas, SOON).toBe(3);
    await untilReady(cluster, "silence", NAME);
    const silent = async () =>
      Number(/restarts_total\{why="silent"\} (\d+)/.exec(await operator.metricsText())?.[1]);
    await expect.poll(silent, SOON).toBeGreaterThan(0);
  });

  it("fault 23: the API server away: nothing is done and nothing lost, then what was wanted meanwhile", async () => {
    const { startOperator, hosts, key, replicas, scale } = await scene("away");
    const operator = startOperator();
    await untilReady(cluster, "away", NAME);
    const before = hosts.assignment(key);
    await cluster.server.kill();
    await expect.poll(() => operator.epoch, SOON).toBeUndefined();
    expect(hosts.assignment(key)).toEqual(before);
    await cluster.server.restart();
    await scale(3);
    await expect.poll(replicas, SOON).toBe(3);
    await untilReady(cluster, "away", NAME);
  });

  it("fault 23: an operator that ends in the middle of a rollout is followed by one that goes on with it", async () => {
    const { startOperator, hosts, key } = await scene("rollout");
    const first = startOperator();
    await untilReady(cluster, "rollout", NAME);
    const releases = async () =>
      (await cluster.list<PodObject>(pods, "rollout"))
        .filter(({ metadata }) => metadata.name.startsWith(`${NAME}-actors-`))
        .map(({ metadata }) => metadata.labels?.[RELEASE_LABEL]);
    const [old] = await releases();
    // The first that is restarted does not come up yet: the rollout waits for it.
    kubelet.hold(`rollout/${NAME}-actors-1`);
    await cluster.apply(clickClusterOf("rollout", NAME, { image: "adtally:2" }));
    await expect.poll(async () => (await releases()).filter((each) => each !== old).length, SOON).toBe(1);
    await first.stop();
    const meanwhile = hosts.assignment(key);
    const isServed = [...meanwhile.shards.values()].every(({ host }) => host.startsWith(`${NAME}-actors-`));
    expect(isServed).toBe(true);
    kubelet.letGo(`rollout/${NAME}-actors-1`);
    startOperator();
    const updated = async () => (await releases()).filter((each) => each !== old).length;
    await expect.poll(updated, SOON).toBe(2);
    await untilReady(cluster, "rollout", NAME);
  });

  it("lets a leader that was stopped and wakes write nothing: another leads, by a later epoch", async () => {
    const { startOperator, replicas, scale, state } = await scene("zombie");
    const args = [
      ...["--kubeconfig", cluster.kubeconfig, "--lease-namespace", OPERATOR_NAMESPACE],
      ...["--lease-name", "zombie", "--watch-namespace", "zombie", "--admin-port", 0],
      ...["--lease-ms", 6_000, "--round-ms", 300],
    ];
    const old = startProgram("operator", args);
    const { epoch: oldEpoch } = await old.line("leading");
    const { adminPort } = await old.line("ready");
    const readyz = await fetch(`http://127.0.0.1:${adminPort}/readyz`);
    expect(readyz.status).toBe(200);
    await expect.poll(() => state().then(epochOf, () => undefined), SOON).toBe(oldEpoch);

    old.signal("SIGSTOP");
    const next = startOperator();
    await expect.poll(() => next.epoch, SOON).toBe(Number(oldEpoch) + 1);
    await scale(3);
    await expect.poll(replicas, SOON).toBe(3);
    await untilReady(cluster, "zombie", NAME);
    expect(epochOf(await state())).toBe(next.epoch);

    const done = () =>
      old
        .output()
        .split("\n")
        .filter((line) => line.includes('"msg":"done"'));
    const before = done();
    expect(before.length).toBeGreaterThan(5);
    old.signal("SIGCONT");
    await old.line("leading no more");
    const leading = async () =>
      (await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).split("\n");
    await expect.poll(leading, SOON).toContain("adtally_operator_leading 0");
    // What was under way when it was stopped was answered then, and is told of now; nothing follows it.
    expect(done().slice(before.length + 1)).toEqual([]);
    expect(epochOf(await state())).toBe(next.epoch);
    expect((await old.stop()).code).toBe(0);
    // Of one that was asked in good order the Lease is free at once.
    await next.stop();
    const heir = startOperator();
    await expect.poll(() => heir.epoch, { timeout: 4_000 }).toBe(Number(oldEpoch) + 2);
  });

  it("refuses a write that was made of an older version than stands: 409, and planned anew", async () => {
    const { startOperator } = await scene("conflict");
    const operator = startOperator();
    await untilReady(cluster, "conflict", NAME);
    await operator.stop();
    const client = clientOf(cluster.kubeconfig);
    onTestFinished(() => client.close());
    const caches = openCaches(reflectorDeps(client), "conflict");
    onTestFinished(() => caches.close());
    await expect.poll(() => caches.stale(), SOON).toEqual([]);
    const own = await cluster.get<KubeObject & ClickCluster>(clickClusters, "conflict", NAME);
    const seen = caches.workloads.get("StatefulSet")!.objects.get(`conflict/${NAME}-actors`)!;
    const as = (copy: Caches) => ({
      client,
      caches: copy,
      events: { emit: () => undefined, settled: () => Promise.resolve() },
      cluster: own,
      rendered: render(own),
      term: { epoch: 1, assertHeld: () => undefined },
    });
    const frozen: Caches = {
      ...caches,
      workloads: new Map([
        [
          "StatefulSet",
          {
            ...caches.workloads.get("StatefulSet")!,
            objects: new Map([[`conflict/${NAME}-actors`, seen]]),
          },
        ],
      ]),
    };
    await cluster.server.kubectl(["annotate", "statefulset", `${NAME}-actors`, "a=b", "-n", "conflict"]);
    const release = seen.metadata.labels![RELEASE_LABEL]!;
    const scaled: Action = {
      kind: "apply-workload",
      component: "actors",
      replicas: 4,
      release,
      because: { reason: "ScaledUp", message: "by hand" },
    };
    const stale = { code: "KUBERNETES_CONFLICT" };
    await expect(act(as(frozen), scaled)).rejects.toMatchObject(stale);
    await expect(act(as(frozen), { ...scaled, release: "another" })).rejects.toMatchObject(stale);
    const pod = `${NAME}-actors-0`;
    const because = { reason: "HostRestarted", message: "of another pod" };
    const uid = "00000000-0000-4000-8000-000000000000";
    await expect(act(as(caches), { kind: "restart-host", host: pod, uid, because })).rejects.toMatchObject(
      stale,
    );
    expect((await cluster.get(pods, "conflict", pod)).metadata.deletionTimestamp).toBeUndefined();
    const isCurrent = () =>
      caches.workloads.get("StatefulSet")!.objects.get(`conflict/${NAME}-actors`)?.metadata.annotations?.[
        "a"
      ];
    await expect.poll(isCurrent, SOON).toBe("b");
    await act(as(caches), scaled);
    expect(
      (await cluster.get<WorkloadObject>(statefulSets, "conflict", `${NAME}-actors`)).spec?.replicas,
    ).toBe(4);
  });

  it("publishes no first generation again where the state was deleted: it says so, and goes on once it is put back", async () => {
    const { startOperator, hosts, key } = await scene("lost");
    startOperator();
    await untilReady(cluster, "lost", NAME);
    await expect.poll(() => hosts.copies.get(key)?.routing, SOON).toBeDefined();
    const { routing } = hosts.copies.get(key)!;
    await cluster.server.kubectl(["delete", "configmap", `${NAME}-state`, "-n", "lost"]);
    const reason = () =>
      cluster.server.kubectl([
        ...["get", "clickcluster", NAME, "-n", "lost"],
        ...["-o", 'jsonpath={.status.conditions[?(@.type=="RoutingPublished")].reason}'],
      ]);
    await expect.poll(reason, SOON).toBe("StateLost");
    const asked = hosts.questions;
    await expect.poll(() => hosts.questions, SOON).toBeGreaterThan(asked + 6);
    expect(await cluster.server.kubectl(["get", "configmaps", "-n", "lost", "-o", "name"])).not.toContain(
      "state",
    );
    // As the README says: the routing table by a person, the assignment by itself.
    const before = hosts.assignment(key);
    const labels = { "adtally.dev/cluster": NAME };
    const metadata = { name: `${NAME}-state`, namespace: "lost", labels };
    await cluster.apply({ apiVersion: "v1", kind: "ConfigMap", metadata, data: { "routing.json": routing } });
    await expect.poll(() => hosts.assignment(key).version, SOON).toBeGreaterThan(before.version);
    expect(hosts.assignment(key).shards).toEqual(before.shards);
    await untilReady(cluster, "lost", NAME);
  });

  it("may do what its rules say, and nothing else", async () => {
    const as = cluster.server.kubectlAs(cluster.kubeconfig);
    // Where not, kubectl says so by its exit code.
    const may = (what: string) =>
      as(["auth", "can-i", ...what.split(" "), "-n", "default"]).then(
        () => true,
        () => false,
      );
    for (const what of ["get secrets", "delete pods", "patch statefulsets.apps"])
      expect(await may(what), what).toBe(true);
    for (const what of ["list secrets", "delete statefulsets.apps", "create pods", "get nodes", "get leases"])
      expect(await may(what), what).toBe(false);
  });

  it("refuses what cannot be, by name, before it starts", async () => {
    const pairs = [
      [["--lease-ms", 10], "--lease-ms 10: must be a whole number from 1500 to 600000"],
      [["--tls-ca", "/none"], "--tls-ca, --tls-cert and --tls-key go together"],
      [["--admin-port", 0], "this is no pod: give --kubeconfig"],
    ] as const;
    for (const [args, fault] of pairs) {
      const { code, output } = await runToEnd("operator", args);
      expect({ code, output }).toMatchObject({ code: 1, output: expect.stringContaining(fault) });
    }
  });
});
