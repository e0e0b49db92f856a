/** The operator on a real API server, as its own service account with its very rules. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ClickClusterSpec } from "./api/click-cluster.ts";
import { FINALIZER } from "./api/meta.ts";
import type { KubeObject } from "./kube/object.ts";
import {
  autoscalers,
  clickClusters,
  configMaps,
  deployments,
  events,
  hotAdSplits,
  pods,
  RENDERED_KINDS,
  services,
  statefulSets,
} from "./kube/resources.ts";
import { obedientHosts, type ObedientHosts } from "./obedient-hosts.fixture.ts";
import type { ClickClusterObject, HotAdSplitObject, PodObject, WorkloadObject } from "./observe/caches.ts";
import {
  clickClusterOf,
  hastyClock,
  INSTALL_MS,
  lacks,
  playKubelet,
  SOON,
  startTestCluster,
  startTestOperator,
  untilReady,
  type TestCluster,
  type TestOperator,
} from "./real-server.fixture.ts";
import type { ConfigMap } from "./state/config-map.ts";
import { DRAINED_KEY, EPOCH_ANNOTATION } from "./state/names.ts";

const NAMESPACE = "shop";
const NAME = "clicks";

const clusterOf = (spec: object = {}, name = NAME): object => clickClusterOf(NAMESPACE, name, spec);

/** Of an event. */
const isOurs = (name: string): boolean => name.startsWith(`${NAME}.`);

const splitOf = (name: string, spec: object): object => ({
  apiVersion: "adtally.dev/v1alpha1",
  kind: "HotAdSplit",
  metadata: { name, namespace: NAMESPACE },
  spec: { clusterName: NAME, ...spec },
});

describe.skipIf(lacks !== undefined)("the operator on a real API server", () => {
  let cluster: TestCluster;
  let operator: TestOperator;
  let hosts: ObedientHosts;
  let kubelet: { close(): Promise<void> };
  const clock = hastyClock();

  beforeAll(async () => {
    cluster = await startTestCluster();
    await cluster.server.kubectl(["create", "namespace", NAMESPACE]);
    kubelet = playKubelet(cluster.admin);
    hosts = obedientHosts();
    operator = startTestOperator({ kubeconfig: cluster.kubeconfig, dataPlane: hosts, clock });
  }, INSTALL_MS);
  afterAll(async () => {
    await operator?.stop();
    await kubelet?.close();
    await cluster?.stop();
  });

  const names = async (kind: Parameters<TestCluster["list"]>[0]) =>
    (await cluster.list(kind, NAMESPACE)).map(({ metadata }) => metadata.name).sort();
  const statefulSet = () => cluster.get<WorkloadObject>(statefulSets, NAMESPACE, `${NAME}-actors`);

  it("has ClickClusters and HotAdSplits that are refused by their rules' own words", async () => {
    const small = { shards: { min: 9, max: 8 } };
    await expect(cluster.apply(clusterOf(small))).rejects.toThrow("min must not be above max");
    const brief = { retention: { dedupRetentionSeconds: 7_000 } };
    await expect(cluster.apply(clusterOf(brief))).rejects.toThrow("a token must die before its memory does");
    await expect(cluster.apply(clusterOf({}, "9-lives"))).rejects.toThrow("beginning with a letter");
    await expect(cluster.apply(splitOf("x", { adId: "18446744073709551616", ways: 2 }))).rejects.toThrow(
      "the highest 64-bit number",
    );
  });

  it("makes of a ClickCluster all that it is made of, and says when it serves", async () => {
    await cluster.apply(clusterOf());
    await untilReady(cluster, NAMESPACE, NAME);
    expect(await names(statefulSets)).toEqual(["clicks-actors", "clicks-gateways"]);
    expect(await names(deployments)).toEqual(["clicks-ingest", "clicks-query"]);
    expect(await names(services)).toEqual(["clicks-actors", "clicks-gateways", "clicks-query"]);
    expect(await names(configMaps)).toContain("clicks-state");
    const owned = await Promise.all(RENDERED_KINDS.map((kind) => cluster.list(kind, NAMESPACE)));
    const made = [...owned.flat(), await statefulSet()].filter(
      ({ metadata }) => metadata.labels?.["adtally.dev/cluster"] === NAME,
    );
    expect(made.length).toBeGreaterThan(8);
    const epoch = String(operator.epoch);
    for (const { metadata } of made) {
      // T5: the state outlives it.
      if (metadata.name === "clicks-state") expect(metadata.ownerReferences ?? []).toEqual([]);
      else expect(metadata.ownerReferences?.[0]).toMatchObject({ kind: "ClickCluster", name: NAME });
      expect(metadata.annotations?.[EPOCH_ANNOTATION], metadata.name).toBe(epoch);
    }
    const { metadata, status } = await cluster.get<ClickClusterObject>(clickClusters, NAMESPACE, NAME);
    expect(metadata.finalizers).toEqual([FINALIZER]);
    expect(status).toMatchObject({
      shards: { count: 8, live: 8, owned: 8 },
      actors: { replicas: 2, up: 2, updated: 2 },
    });
    const told = (await cluster.list<KubeObject & { readonly reason?: string }>(events, NAMESPACE))
      .filter(({ metadata: each }) => each.name.startsWith(`${NAME}.`))
      .map(({ reason }) => reason);
    expect(told).toEqual(expect.arrayContaining(["FinalizerAdded", "Created", "RoutingPublished"]));
    expect([...operator.answers.keys()].filter((answer) => answer.endsWith(" 403"))).toEqual([]);
  });

  it("writes nothing more where all is as wanted", async () => {
    const versions = async () => {
      const kinds = [...RENDERED_KINDS, statefulSets, deployments, clickClusters, hotAdSplits];
      const all = await Promise.all(kinds.map((kind) => cluster.list(kind, NAMESPACE)));
      // Kubernetes' own controllers tell of pods that nobody schedules.
      const told = (await cluster.list(events, NAMESPACE)).filter(({ metadata }) => isOurs(metadata.name));
      return [...all.flat(), ...told].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
    };
    const writes = () =>
      [...operator.answers]
        // The Lease is renewed by PUT.
        .filter(([answer]) => !/^(GET|PUT) /.test(answer))
        .reduce((sum, [, count]) => sum + count, 0);
    const before = { versions: await versions(), writes: writes() };
    const asked = hosts.questions;
    await expect.poll(() => hosts.questions, SOON).toBeGreaterThan(asked + 12);
    expect({ versions: await versions(), writes: writes() }).toEqual(before);
  });

  it("splits an ad as a hand-written HotAdSplit says, and merges it when that is gone", async () => {
    clock.skip(60_000);
    await cluster.apply(splitOf("by-hand", { adId: "1001", ways: 4 }));
    const key = `${NAMESPACE}/${NAME}`;
    const waysOf = () => hosts.routing(key).newestFirst[0]?.splits.get(1001);
    await expect.poll(waysOf, SOON).toBe(4);
    const stateOf = async () =>
      (await cluster.get<HotAdSplitObject>(hotAdSplits, NAMESPACE, "by-hand")).status?.state;
    await expect.poll(stateOf, SOON).toBe("Pending");
    clock.skip(300_000);
    await expect.poll(stateOf, SOON).toBe("Active");
    await cluster.server.kubectl(["delete", "hotadsplit", "by-hand", "-n", NAMESPACE]);
    await expect.poll(waysOf, SOON).toBeUndefined();
    clock.skip(300_000);
    await untilReady(cluster, NAMESPACE, NAME);
  });

  it("splits an ad that gets hot by itself, and says so", async () => {
    hosts.load = { topAds: [{ adId: 77, clicksPerSecond: 15_000, error: 10 }], clicksPerSecond: 16_000 };
    const splits = async () =>
      (await cluster.list<HotAdSplitObject>(hotAdSplits, NAMESPACE)).map(({ spec }) => spec);
    await expect.poll(splits, SOON).toMatchObject([{ adId: "77", origin: "Policy" }]);
    // A person's field manager then holds the field: it is taken back, and holds nothing up.
    const [{ ways } = { ways: 0 }] = await splits();
    expect(ways).toBeGreaterThan(1);
    await cluster.server.kubectl([
      "patch",
      "hotadsplit",
      `${NAME}-77`,
      "-n",
      NAMESPACE,
      "--type=merge",
      "-p",
      '{"spec":{"ways":1}}',
    ]);
    await expect.poll(splits, SOON).toMatchObject([{ adId: "77", ways, origin: "Policy" }]);
    hosts.load = {};
    await expect.poll(splits, SOON).toEqual([]);
    clock.skip(300_000);
    await untilReady(cluster, NAMESPACE, NAME);
  });

  it("scales actor hosts as kubectl says, and moves shards to the new one, no more than it must", async () => {
    const key = `${NAMESPACE}/${NAME}`;
    const before = hosts.assignment(key);
    await cluster.server.kubectl(["scale", "clickcluster", NAME, "--replicas=3", "-n", NAMESPACE]);
    const ownersOf = () =>
      [...hosts.assignment(key).shards.values()].filter(({ host }) => host === `${NAME}-actors-2`).length;
    await expect.poll(ownersOf, SOON).toBe(2);
    await untilReady(cluster, NAMESPACE, NAME);
    const stayed = [...hosts.assignment(key).shards].filter(
      ([shard, { host }]) => before.shards.get(shard)?.host === host,
    );
    expect(stayed).toHaveLength(6);
    expect((await statefulSet()).spec?.replicas).toBe(3);
    await cluster.server.kubectl(["scale", "clickcluster", NAME, "--replicas=2", "-n", NAMESPACE]);
    await expect.poll(async () => (await statefulSet()).spec?.replicas, SOON).toBe(2);
    await untilReady(cluster, NAMESPACE, NAME);
  });

  it("restarts actor hosts one by one for another image, each after its shards were handed over", async () => {
    const key = `${NAMESPACE}/${NAME}`;
    const uids = async () =>
      new Map(
        (await cluster.list<PodObject>(pods, NAMESPACE))
          .filter(({ metadata }) => metadata.name.startsWith(`${NAME}-actors-`))
          .map(({ metadata }) => [metadata.name, metadata.uid]),
      );
    const before = await uids();
    const ownedWhenGone: number[] = [];
    const remembered = operator.caches.pods;
    remembered.onChange(({ metadata }) => {
      const isGone = !remembered.objects.has(`${metadata.namespace}/${metadata.name}`);
      if (!isGone || before.get(metadata.name) !== metadata.uid) return;
      const owners = [...hosts.assignment(key).shards.values()];
      ownedWhenGone.push(owners.filter(({ host }) => host === metadata.name).length);
    });
    const spec: Partial<ClickClusterSpec> = { image: "adtally:2" };
    await cluster.apply(clusterOf({ ...spec, actors: { replicas: 2, min: 1, max: 4 } }));
    const isRolled = async () => {
      const now = await uids();
      return now.size === 2 && [...now].every(([name, uid]) => before.get(name) !== uid);
    };
    await expect.poll(isRolled, { ...SOON, timeout: 60_000 }).toBe(true);
    expect(ownedWhenGone).toEqual([0, 0]);
    await untilReady(cluster, NAMESPACE, NAME);
  });

  it("leaves the number of gateways to an autoscaler where there is one", async () => {
    const gateways = () => cluster.get<WorkloadObject>(statefulSets, NAMESPACE, `${NAME}-gateways`);
    await cluster.apply(clusterOf({ image: "adtally:2", gateways: { min: 1, max: 5 } }));
    await expect.poll(() => names(autoscalers), SOON).toEqual([`${NAME}-gateways`]);
    await cluster.server.kubectl([
      "scale",
      "statefulset",
      `${NAME}-gateways`,
      "--replicas=3",
      "-n",
      NAMESPACE,
    ]);
    await cluster.apply(clusterOf({ image: "adtally:3", gateways: { min: 1, max: 5 } }));
    const isRolled = async () => JSON.stringify((await gateways()).spec).includes("adtally:3");
    await expect.poll(isRolled, SOON).toBe(true);
    expect((await gateways()).spec?.replicas).toBe(3);
  });

  it("drains a ClickCluster that is deleted: gateways first, and its hosts when all is counted", async () => {
    hosts.lag = 5;
    hosts.spooled = 3;
    const { uid } = (await cluster.get(clickClusters, NAMESPACE, NAME)).metadata;
    const routing = hosts.routing(`${NAMESPACE}/${NAME}`).newestFirst[0]!.number;
    await cluster.server.kubectl(["delete", "clickcluster", NAME, "-n", NAMESPACE, "--wait=false"]);
    const replicas = async (component: string) =>
      (await cluster.get<WorkloadObject>(statefulSets, NAMESPACE, `${NAME}-${component}`)).spec?.replicas;
    const progress = async () => JSON.stringify(await cluster.get(clickClusters, NAMESPACE, NAME));
    await expect.poll(progress, SOON).toMatch(/waits for \d+ clicks in the spools of gateways/);
    expect(await replicas("gateways")).toBeGreaterThan(0);
    hosts.spooled = 0;
    await expect.poll(() => replicas("gateways"), SOON).toBe(0);
    const asked = hosts.questions;
    await expect.poll(() => hosts.questions, SOON).toBeGreaterThan(asked + 8);
    expect(await replicas("actors")).toBe(2);
    hosts.lag = 0;
    await expect.poll(() => names(clickClusters), SOON).toEqual([]);
    expect(await replicas("actors").catch(() => 0)).toBe(0);
    const { data, metadata } = await cluster.get<ConfigMap>(configMaps, NAMESPACE, `${NAME}-state`);
    expect(metadata.ownerReferences ?? []).toEqual([]);
    expect(data?.[DRAINED_KEY]).toBe(uid);

    await cluster.apply(clusterOf({ image: "adtally:3" }));
    await untilReady(cluster, NAMESPACE, NAME);
    const again = await cluster.get<ConfigMap>(configMaps, NAMESPACE, `${NAME}-state`);
    expect(again.data?.[DRAINED_KEY]).toBe("");
    expect(hosts.routing(`${NAMESPACE}/${NAME}`).newestFirst[0]!.number).toBeGreaterThanOrEqual(routing);
  });
});
