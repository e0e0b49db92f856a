/** What is done to the cluster's programs and to what they run on, each until all is served again; returns its proof. */
import type { SeededRandom } from "../../actors/sim/random.ts";
import { CONTAINERD_SOCKET } from "../../testing/kubernetes/node-config.ts";
import type { ClusterNode } from "../../testing/kubernetes/node.ts";
import { sumBy } from "../../cmd/cluster/samples.ts";
import { samplesOf } from "../exactly-once-cluster/state.ts";
import { sleep, until } from "../lib/wait.ts";
import { IMAGE, type Installation, type Wanted } from "./install.ts";
import { COMPONENTS, RELEASE, type Component, type Kube, type Pod } from "./kube.ts";

/** Of a rollout of everything: each pod drains, and must have been ready for some seconds. */
const ROLLED_MS = 300_000;
const SERVING_MS = 150_000;
const LOOK_MS = 250;
const MOVE_LOOK_MS = 10;

export interface Acting {
  readonly kube: Kube;
  readonly node: ClusterNode;
  readonly random: SeededRandom;
}

const uidsOf = (pods: readonly Pod[]): ReadonlySet<string> => new Set(pods.map(({ uid }) => uid));

/** What is done while an order is carried out; gives the order, and returns its proof. */
export type Around = (order: () => Promise<unknown>) => Promise<string>;

/** kubectl scale, as a person would; resolves once each host has shards, and all are served. */
export async function scale({ kube }: Acting, replicas: number, around?: Around): Promise<string> {
  const order = () => kube.kubectl(["scale", "clickcluster", RELEASE, `--replicas=${replicas}`]);
  const met = around === undefined ? void (await order()) : await around(order);
  await kube.untilServing(
    SERVING_MS,
    (component, pods) => component !== "actors" || pods.length === replicas,
  );
  await until(
    `${replicas} hosts with shards`,
    SERVING_MS,
    async () => {
      const { actors, shards } = await kube.status();
      const hosts = actors?.hosts ?? [];
      const words = hosts.map((host) => `${host.name} ${host.shards}`).join(", ");
      if (
        hosts.length !== replicas ||
        hosts.some((host) => host.shards === 0) ||
        shards!.owned < shards!.live
      )
        throw new Error(`${shards?.owned} of ${shards?.live} shards owned: ${words}`);
      return true;
    },
    LOOK_MS,
  );
  const hosts = (await kube.status()).actors!.hosts.map((host) => `${host.name} ${host.shards}`);
  return `shards: ${hosts.join(", ")}${met === undefined ? "" : `; ${met}`}`;
}

/** A pod's process by SIGKILL; its container is started again where it was. */
export async function killContainer(acting: Acting, component: Component): Promise<string> {
  const { kube, random } = acting;
  const victim = random.pick((await kube.pods(component)).filter(({ isReady }) => isReady));
  await sigkill(acting, victim);
  const next = await until(`another container in ${victim.name}`, SERVING_MS, async () => {
    const pod = (await kube.pods(component)).find(({ name }) => name === victim.name);
    const isAnother = pod?.containerId !== undefined && pod.containerId !== victim.containerId;
    return isAnother ? pod.containerId : undefined;
  });
  return `SIGKILL ${victim.name}: container ${victim.containerId!.slice(0, 8)}, then ${next!.slice(0, 8)}`;
}

/** @throws where it does not run */
async function sigkill({ node }: Acting, { containerId, name }: Pod): Promise<void> {
  if (containerId === undefined) throw new Error(`${name} has no container`);
  const containerd = ["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"];
  await node.run("ctr", [...containerd, "tasks", "kill", "--signal", "SIGKILL", containerId]);
}

/**
 * An actor host's process by SIGKILL while shards move: as soon as one host says that it serves others
 * than before, and before all are where they will be.
 */
export async function killInMidMove(acting: Acting, order: () => Promise<unknown>): Promise<string> {
  const { kube, random } = acting;
  const [{ actors, shards }, pods] = await Promise.all([kube.watched(), kube.pods("actors")]);
  const victim = random.pick(pods);
  const served = async () => {
    const all = await Promise.all(
      actors.map(async (actor) => {
        const samples = await samplesOf(actor).catch(() => []);
        return [...sumBy(samples, "adtally_shard_up", "shard")].filter(([, up]) => up === 1).length;
      }),
    );
    return all.join(" + ");
  };
  const before = await served();
  await order();
  const during = await until(
    "a shard that moves",
    SERVING_MS,
    async () => {
      const now = await served();
      return now === before ? undefined : now;
    },
    MOVE_LOOK_MS,
  );
  await sigkill(acting, victim);
  return `SIGKILL ${victim.name} while hosts served ${during} of ${shards} shards, ${before} before`;
}

/** kubectl delete pod: its program drains. Resolves once all is served again, by another pod. */
export async function deletePod({ kube, random }: Acting, component: Component): Promise<string> {
  const victim = random.pick(await kube.pods(component));
  await kube.kubectl(["delete", "pod", victim.name, "--wait=false"]);
  const tookMs = await kube.untilServing(SERVING_MS, (_, pods) => !uidsOf(pods).has(victim.uid));
  return `${victim.name} gone, all served after ${(tookMs / 1_000).toFixed(1)} s`;
}

/** Every pod of every component is another one afterwards. */
export async function upgrade(
  acting: Acting,
  installation: Installation,
  wanted: Wanted,
  meanwhile: () => Promise<string>,
): Promise<string> {
  const { kube } = acting;
  const before = new Map<Component, ReadonlySet<string>>();
  for (const component of COMPONENTS) before.set(component, uidsOf(await kube.pods(component)));
  await installation.upgrade(wanted);
  const met = await meanwhile();
  const tookMs = await kube.untilServing(ROLLED_MS, (component, pods) =>
    pods.every((pod) => !before.get(component)!.has(pod.uid) && pod.image === `${IMAGE}:${wanted.tag}`),
  );
  const counts = [...before].map(([component, uids]) => `${component} × ${uids.size}`);
  return `replaced: ${counts.join(", ")} in ${(tookMs / 1_000).toFixed(1)} s; ${met}`;
}

/** Once actor hosts are being replaced, the operator's pods are killed: another one goes on. */
export async function killOperatorInMidRollout({ kube }: Acting): Promise<string> {
  const before = uidsOf(await kube.pods("actors"));
  await until("an actor host that is being replaced", ROLLED_MS, async () =>
    (await kube.pods("actors")).some(({ uid, isEnding }) => isEnding || !before.has(uid)) ? true : undefined,
  );
  const victims = await kube.pods("operator");
  const names = victims.map(({ name }) => name);
  await kube.kubectl(["delete", "pod", ...names, "--force", "--grace-period=0", "--wait=false"]);
  return `all ${names.length} operator pods killed in mid-rollout`;
}

export async function operatorAway({ kube }: Acting, awayMs: number): Promise<string> {
  const deployment = `deployment/${RELEASE}-operator`;
  const [{ length: replicas }, before] = [await kube.pods("operator"), await kube.status()];
  await kube.kubectl(["scale", deployment, "--replicas=0"]);
  await until("no operator", SERVING_MS, async () =>
    (await kube.pods("operator")).length === 0 ? true : undefined,
  );
  await sleep(awayMs);
  const after = await kube.status();
  await kube.kubectl(["scale", deployment, `--replicas=${replicas}`]);
  await kube.untilServing(SERVING_MS);
  if (after.assignmentVersion !== before.assignmentVersion)
    throw new Error("something was assigned without an operator");
  return `none for ${Math.round(awayMs / 1_000)} s, assignment ${after.assignmentVersion} throughout`;
}

export async function apiServerAway({ kube, node }: Acting, awayMs: number): Promise<string> {
  await node.apiServer.kill();
  if (node.apiServer.isRunning) throw new Error("the API server runs after SIGKILL");
  await sleep(awayMs);
  await node.apiServer.restart();
  const tookMs = await kube.untilServing(SERVING_MS);
  return `SIGKILL, away for ${Math.round(awayMs / 1_000)} s, all seen as served ${(tookMs / 1_000).toFixed(1)} s after it was back`;
}

/** As a power cut: every pod of it is gone at once, and all of it comes back from its disk. */
export async function cutPower({ kube, node }: Acting, awayMs: number): Promise<string> {
  const before = await containers(kube);
  await node.kill();
  if (node.isRunning) throw new Error("the node runs after its end");
  await sleep(awayMs);
  await node.restart();
  // Until the kubelet has looked, pods are told to run as they did.
  const tookMs = await kube.untilServing(SERVING_MS, (_, pods) =>
    pods.every(({ containerId }) => containerId !== undefined && !before.has(containerId)),
  );
  return `${before.size} containers gone at once, all served by others ${(tookMs / 1_000).toFixed(1)} s after the node was Ready again`;
}

async function containers(kube: Kube): Promise<ReadonlySet<string>> {
  const pods = (await Promise.all(COMPONENTS.map(kube.pods))).flat();
  return new Set(pods.flatMap(({ containerId }) => containerId ?? []));
}
