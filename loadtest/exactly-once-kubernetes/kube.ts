/** What the proof asks of the cluster, by kubectl: objects, pods, where Services are, what programs tell. */
import type { Kubectl } from "../../testing/kubernetes/kubectl.ts";
import type { ClickClusterStatus } from "../../operator/api/click-cluster-status.ts";
import type { HotAdSplit } from "../../operator/api/hot-ad-split.ts";
import type { Watched } from "../exactly-once-cluster/state.ts";
import { until } from "../lib/wait.ts";

export const NAMESPACE = "adtally";
/** Of the release, and so of the ClickCluster. */
export const RELEASE = "adtally";

export const COMPONENTS = ["gateways", "actors", "query", "ingest", "operator"] as const;
export type Component = (typeof COMPONENTS)[number];

const LOOK_MS = 500;
const ADMIN_PORT = 7071;
const HTTP_PORT = 8080;

export interface Pod {
  readonly name: string;
  readonly uid: string;
  readonly ip: string;
  readonly isReady: boolean;
  readonly isEnding: boolean;
  readonly image: string;
  /** As containerd knows it; undefined before it was made. */
  readonly containerId: string | undefined;
}

interface RawPod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly containers: readonly { readonly image: string }[] };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly containerID?: string }[];
  };
}

export interface Kube {
  /** In the release's namespace. */
  readonly kubectl: Kubectl;
  pods(component: Component): Promise<readonly Pod[]>;
  status(): Promise<ClickClusterStatus>;
  splits(): Promise<readonly HotAdSplit[]>;
  /** host:port of a Service's port, at the address that it has in the cluster. */
  serviceAddress(name: string): Promise<string>;
  watched(): Promise<Watched>;
  /** Resolves once all is Ready, each component with pods that `isRight`; ms until then. */
  untilServing(
    deadlineMs: number,
    isRight?: (component: Component, pods: readonly Pod[]) => boolean,
  ): Promise<number>;
}

const READY = (pod: RawPod): boolean =>
  pod.status.conditions?.find(({ type }) => type === "Ready")?.status === "True";

export function createKube(everywhere: Kubectl): Kube {
  const kubectl: Kubectl = (args, options) => everywhere(["--namespace", NAMESPACE, ...args], options);
  const json = async <T>(...args: readonly string[]): Promise<T> =>
    JSON.parse(await kubectl([...args, "-o", "json"])) as T;

  async function pods(component: Component): Promise<readonly Pod[]> {
    const { items } = await json<{ items: readonly RawPod[] }>("get", "pods");
    return items
      .filter(({ metadata }) => metadata.name.startsWith(`${RELEASE}-${component}-`))
      .map((pod) => ({
        name: pod.metadata.name,
        uid: pod.metadata.uid,
        ip: pod.status.podIP ?? "",
        isReady: READY(pod),
        isEnding: pod.metadata.deletionTimestamp !== undefined,
        image: pod.spec.containers[0]!.image,
        containerId: pod.status.containerStatuses?.[0]?.containerID?.replace("containerd://", ""),
      }));
  }

  const status = async () =>
    (await json<{ status?: ClickClusterStatus }>("get", "clickcluster", RELEASE)).status ?? {};

  const kube: Kube = {
    kubectl,
    pods,
    status,
    splits: async () => (await json<{ items: readonly HotAdSplit[] }>("get", "hotadsplits")).items,
    serviceAddress: (name) => kubectl(["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]),
    async watched() {
      const [gateways, actors, { shards }] = await Promise.all([pods("gateways"), pods("actors"), status()]);
      const told = (port: number) => (pod: Pod) => ({ name: pod.name, admin: `http://${pod.ip}:${port}` });
      return {
        shards: shards!.live,
        gateways: gateways.map(told(HTTP_PORT)),
        actors: actors.map(told(ADMIN_PORT)),
      };
    },
    async untilServing(deadlineMs, isRight = () => true) {
      const startedAt = performance.now();
      await until(
        "all pods Ready, all shards served",
        deadlineMs,
        async () => {
          for (const component of COMPONENTS) {
            const all = await pods(component);
            const words = all.map(
              ({ name, isReady, isEnding }) => `${name} ${isEnding ? "ending" : isReady}`,
            );
            const whole = all.length > 0 && all.every(({ isReady, isEnding }) => isReady && !isEnding);
            if (!whole || !isRight(component, all))
              throw new Error(`${component}: ${words.join(", ") || "no pod"}`);
          }
          const { conditions = [] } = await status();
          for (const [type, wanted] of [
            ["Ready", "True"],
            ["Progressing", "False"],
          ] as const) {
            const found = conditions.find((each) => each.type === type);
            // A generation that is published ahead of its time changes nothing yet.
            if (found?.status === wanted || found?.reason === "RoutingChanges") continue;
            throw new Error(`${type}: ${found?.status} ${found?.reason}: ${found?.message}`);
          }
          return true;
        },
        LOOK_MS,
      );
      return performance.now() - startedAt;
    },
  };
  return kube;
}
