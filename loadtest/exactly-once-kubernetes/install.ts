/** adtally from its packaged charts: installed, upgraded, uninstalled, and what an uninstall leaves. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { stringify } from "yaml";
import type { Kubectl } from "../../testing/kubernetes/kubectl.ts";
import { ADMIN_KEY } from "../lib/program.ts";
import { sleep } from "../lib/wait.ts";
import { NAMESPACE, RELEASE } from "./kube.ts";
import type { Stage } from "./stage.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
export const CRDS_RELEASE = "adtally-crds";
const ADMIN_SECRET = "proof-admin-key";
/** Under a load of a few hundred clicks a second, one of which is hot from 150 on. */
export const SHARD_CLICKS_PER_SECOND = 300;

export const IMAGE = "adtally";
export const FIRST_TAG = "local";
export const NEXT_TAG = "next";

export interface Wanted {
  readonly tag: string;
  /** Of what keeps its address in a cluster: servers beside it. */
  readonly endpoints: Stage["endpoints"];
  readonly mergeAfterSeconds: number;
}

export function valuesOf({ tag, endpoints, mergeAfterSeconds }: Wanted): object {
  const resources = { requests: { cpu: "20m", memory: "128Mi" }, limits: { memory: "1Gi" } };
  return {
    image: { repository: IMAGE, tag, pullPolicy: "Never" },
    // Nothing goes on from it, and nothing is to be left.
    hooks: { uninstallSeconds: 120, keepState: false },
    clickCluster: {
      shards: { min: 6, max: 12, clicksPerSecond: SHARD_CLICKS_PER_SECOND },
      actors: { replicas: 1, min: 1, max: 3, resources, storage: { size: "1Gi" } },
      gateways: { min: 2, max: 2, resources, spool: { size: "1Gi" } },
      query: { replicas: 1, resources },
      hotAds: { splitAbovePercent: 50, mergeBelowPercent: 20, mergeAfterSeconds },
      // One machine, one clock: what is published takes force the sooner.
      retention: { clockSkewSeconds: 5 },
      adminKey: { name: ADMIN_SECRET, key: "admin-key" },
      redpanda: { brokers: [endpoints.broker], replication: 1, minInsync: 1 },
      clickhouse: { url: endpoints.clickhouseUrl },
      redis: { url: endpoints.redisUrl },
      drainSeconds: 60,
    },
  };
}

export interface Installation {
  /** helm install; resolves when helm is done, which does not wait for pods. */
  install(wanted: Wanted): Promise<void>;
  upgrade(wanted: Wanted): Promise<void>;
  test(): Promise<string>;
  uninstall(): Promise<void>;
  /** All objects of all kinds that were not there before the install, once what ends has had its time. */
  leftovers(): Promise<readonly string[]>;
}

/** What happened, and what is no object. */
const PASSING = ["events", "events.events.k8s.io", "componentstatuses"];
/** Of the node, which says so every few seconds. */
const NODE_LEASES = "Lease/kube-node-lease/";
/** Pods that end, and what is collected once its owner is gone. */
const GONE_MS = 60_000;
const LOOK_MS = 2_000;

export async function packageCharts(stage: Stage): Promise<Installation> {
  const { helm, node } = stage;
  const { kubectl } = node.apiServer;
  const folder = path.join(stage.dir, "charts");
  mkdirSync(folder, { recursive: true });
  const packageOf = async (chart: string): Promise<string> => {
    const said = await helm(["package", path.join(ROOT, "charts", chart), "--destination", folder]);
    const file = /saved it to: (.*)$/m.exec(said)?.[1];
    if (file === undefined) throw new Error(`helm package ${chart} said: ${said}`);
    return file;
  };
  const crds = await packageOf("adtally-crds");
  const adtally = await packageOf("adtally");
  const namespaced = ["--namespace", NAMESPACE];
  const valuesFile = path.join(folder, "values.yaml");
  const withValues = (wanted: Wanted): readonly string[] => {
    writeFileSync(valuesFile, stringify(valuesOf(wanted)));
    return [...namespaced, "--values", valuesFile];
  };

  await kubectl(["create", "namespace", NAMESPACE]);
  await kubectl(["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"]);
  await kubectl([
    ...namespaced,
    "create",
    "secret",
    "generic",
    ADMIN_SECRET,
    `--from-literal=admin-key=${ADMIN_KEY}`,
  ]);
  const before = new Set(await allObjects(kubectl));
  return {
    async install(wanted) {
      await helm(["install", CRDS_RELEASE, crds, ...namespaced, "--set", "keep=false"]);
      await helm(["install", RELEASE, adtally, ...withValues(wanted)]);
    },
    upgrade: async (wanted) => void (await helm(["upgrade", RELEASE, adtally, ...withValues(wanted)])),
    test: () => helm(["test", RELEASE, ...namespaced, "--timeout", "2m"]),
    async uninstall() {
      await helm(["uninstall", RELEASE, ...namespaced, "--wait", "--timeout", "4m"]);
      await helm(["uninstall", CRDS_RELEASE, ...namespaced, "--wait", "--timeout", "1m"]);
    },
    async leftovers() {
      const giveUpAt = performance.now() + GONE_MS;
      for (;;) {
        const left = (await allObjects(kubectl)).filter((name) => !before.has(name));
        if (left.length === 0 || performance.now() > giveUpAt) return left;
        await sleep(LOOK_MS);
      }
    },
  };
}

/** Of every kind that there is: "pod/adtally/adtally-actors-0". */
async function allObjects(kubectl: Kubectl): Promise<readonly string[]> {
  const kinds = (await kubectl(["api-resources", "--verbs=list", "-o", "name"])).trim().split("\n");
  const columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
  const asked = kinds.filter((kind) => !PASSING.includes(kind));
  const lines = await kubectl(["get", asked.join(","), "--all-namespaces", "--no-headers", "-o", columns]);
  return lines
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).join("/"))
    .filter((name) => !name.startsWith(NODE_LEASES));
}
