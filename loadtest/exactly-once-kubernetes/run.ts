/**
 * The whole run: a stage, adtally installed on it, clicks, the scenario, the account (I1, I3), and an
 * uninstall that leaves nothing.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { seededRandom } from "../../actors/sim/random.ts";
import { runCommand } from "../../testing/servers/command.ts";
import { CONTAINERD_SOCKET } from "../../testing/kubernetes/node-config.ts";
import type { ClusterNode } from "../../testing/kubernetes/node.ts";
import { takeAccount } from "../exactly-once-cluster/account.ts";
import type { Invariant } from "../exactly-once-cluster/invariants.ts";
import { createRising, openLogAt } from "../exactly-once-cluster/state.ts";
import type { SentClick } from "../exactly-once/send.ts";
import { callApi, createAds } from "../lib/ads.ts";
import { createSigner } from "../lib/tokens.ts";
import { until } from "../lib/wait.ts";
import { FIRST_TAG, IMAGE, NEXT_TAG, packageCharts } from "./install.ts";
import { leftNothing, redirectsKept, stepsStraddled } from "./invariants.ts";
import { createKube, RELEASE, type Kube } from "./kube.ts";
import { install, play, type Played, type ScenarioOptions } from "./scenario.ts";
import { openStage, type Stage } from "./stage.ts";
import { startTraffic } from "./traffic.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const GRPC_PORT = 9090;
const HTTP_PORT = 80;
const TOPIC_PREFIX = "adtally.";
const LOOK_MS = 2_000;
const PROGRESS_MS = 15_000;
const COUNTED_MS = 30_000;
/** A claim for each host and gateway, made anew after each scaling down. */
const VOLUMES = 24;
const HOUR_MS = 3_600_000;
/** More than are ever asked for at once. */
const MOST_KEPT = 16;

export interface RunOptions extends Omit<ScenarioOptions, "random"> {
  readonly seed: number;
  readonly ads: number;
  readonly repeatMostMs: number;
  readonly explained: number;
  /** Leaves the folder, with all logs. */
  readonly keep: boolean;
}

export interface RunResult {
  readonly played: Played;
  readonly all: readonly SentClick[];
  readonly figures: Readonly<Record<string, number | string>>;
  readonly invariants: readonly Invariant[];
}

export async function runExactlyOnceKubernetes(options: RunOptions): Promise<RunResult> {
  const random = seededRandom(options.seed);
  const dir = await mkdtemp(path.join(tmpdir(), "adtally-exactly-once-kubernetes-"));
  const startedAt = performance.now();
  const say = (line: string) =>
    options.say(`${((performance.now() - startedAt) / 1_000).toFixed(0).padStart(4)} s  ${line}`);
  let stage: Stage | undefined;
  try {
    say("building the image");
    const image = path.join(dir, "adtally.tar");
    const build = [
      path.join(ROOT, "scripts/build-image.ts"),
      "--tag",
      `${IMAGE}:${FIRST_TAG}`,
      "--out",
      image,
    ];
    await runCommand(process.execPath, build);
    stage = await openStage({ dir, images: [image], volumes: VOLUMES, say });
    await tagNext(stage.node);
    return await runOn(stage, { ...options, random, say });
  } finally {
    await stage?.close();
    if (options.keep) options.say(`kept: ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}

/** The same files under another name: what an upgrade of the image brings. */
async function tagNext(node: ClusterNode): Promise<void> {
  const name = (tag: string) => `docker.io/library/${IMAGE}:${tag}`;
  const containerd = ["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"];
  await node.run("ctr", [...containerd, "images", "tag", name(FIRST_TAG), name(NEXT_TAG)]);
}

async function runOn(stage: Stage, options: RunOptions & ScenarioOptions): Promise<RunResult> {
  const { random, say } = options;
  const { clickhouse, endpoints, node } = stage;
  const kube = createKube(node.apiServer.kubectl);
  const installation = await packageCharts(stage);
  say("helm install");
  const { readyMs } = await install({ stage, kube, installation }, options.mergeAfterSeconds);
  say(`Ready ${(readyMs / 1_000).toFixed(1)} s after helm install began`);

  const host = await kube.serviceAddress(`${RELEASE}-gateways`);
  const url = `http://${host}`;
  const queryUrl = `http://${await kube.serviceAddress(`${RELEASE}-query`)}`;
  await keepTokenKeys(kube, stage.dir);
  const [ads, signer] = [await createAds(url, options.ads), await createSigner(stage.dir)];
  const log = openLogAt(endpoints.broker, TOPIC_PREFIX);
  const rising = createRising(clickhouse);
  const looking = setInterval(() => void rising.look().catch(() => undefined), LOOK_MS);
  const entry = { host, httpPort: HTTP_PORT, grpcPort: GRPC_PORT };
  const { calmPerSecond, lateMostMs, repeatMostMs } = options;
  const traffic = startTraffic(
    { entries: [entry], url, ads, signer, repeatMostMs, lateMostMs, random: seededRandom(options.seed + 1) },
    { perSecond: calmPerSecond, hotShare: 0 },
  );
  const telling = setInterval(() => {
    say(
      `  ${traffic.all.length} clicks sent, ${traffic.underWay()} without an answer, ${traffic.lost()} refused so far`,
    );
  }, PROGRESS_MS);
  try {
    const firstMs = await firstCounted(
      queryUrl,
      ads.map(({ adId }) => adId),
      () => traffic.all,
    );
    say(`first click counted: ${firstMs} ms from the Service of the gateways to the query service's`);
    const cast = { stage, kube, installation, traffic, hotAdId: ads[0]!.adId };
    const played = await play(cast, options);
    say("waiting for the last clicks");
    const all = await traffic.stop();
    clearInterval(telling);
    await forgetBroken(queryUrl);
    const accountable = { watched: await kube.watched(), queryUrl, log, clickhouse };
    const account = await takeAccount(accountable, all, options.explained, random);
    await rising.look();
    clearInterval(looking);
    say("settled, and checked against the clients' record");
    await log.close();
    const memoryMb = await podsMemoryMb(node);
    await installation.test();
    say("helm test passed; helm uninstall");
    const uninstallAt = performance.now();
    await installation.uninstall();
    const uninstallMs = performance.now() - uninstallAt;
    const left = await installation.leftovers();
    const figures = {
      "helm install to Ready ms": Math.round(readyMs),
      "first click counted ms": firstMs,
      ...account.figures,
      "requests sent once more on a new connection": traffic.resent(),
      "times that no impressions were issued": traffic.unissued(),
      "memory of the node's pods MB": memoryMb,
      "helm uninstall ms": Math.round(uninstallMs),
    };
    const invariants = [
      account.invariant,
      {
        name: "I3" as const,
        checked: `${rising.versions} versions of counts and checkpoints never fell, at ${rising.looks} looks`,
        faults: rising.looks === 0 ? ["nobody looked"] : rising.faults,
      },
      stepsStraddled(played.steps, all),
      redirectsKept(played.steps, all),
      leftNothing(left),
    ];
    return { played, all, figures, invariants };
  } catch (error) {
    for (const line of await lastSeen(kube)) options.say(line);
    throw error;
  } finally {
    clearInterval(looking);
    clearInterval(telling);
  }
}

/** Connections that are kept from before the node's power was cut: each fails whoever takes it next. */
async function forgetBroken(url: string): Promise<void> {
  await until("the query service on all connections", COUNTED_MS, async () => {
    const asked = await Promise.all(Array.from({ length: MOST_KEPT }, () => callApi(`${url}/readyz`)));
    await Promise.all(asked.map((answer) => answer.text()));
    return asked.every(({ ok }) => ok) ? true : undefined;
  });
}

/** As the kernel counts it, with what it keeps of their files. */
async function podsMemoryMb(node: ClusterNode): Promise<number | string> {
  const files = "memory/kubepods/memory.usage_in_bytes kubepods/memory.current";
  const look = `cd /sys/fs/cgroup; for file in ${files}; do [ ! -e $file ] || cat $file; done`;
  const bytes = Number((await node.run("sh", ["-c", look]).catch(String)).trim());
  return Number.isFinite(bytes) ? Math.round(bytes / 1e6) : "not known";
}

/** What a person would look at first. */
async function lastSeen({ kubectl }: Kube): Promise<readonly string[]> {
  const asked = [
    ["get", "pods", "-o", "wide"],
    ["get", "clickclusters,hotadsplits", "-o", "yaml"],
    ["logs", `deployment/${RELEASE}-operator`, "--tail=20"],
  ];
  return Promise.all(asked.map((args) => kubectl(args).catch(String)));
}

/** Where the signer of clicks from the past finds them. */
async function keepTokenKeys({ kubectl }: Kube, dir: string): Promise<void> {
  const field = "jsonpath={.data.tokens\\.json}";
  const keys = await kubectl(["get", "secret", `${RELEASE}-token-keys`, "-o", field]);
  await writeFile(path.join(dir, "token-keys.json"), Buffer.from(keys, "base64"), { mode: 0o600 });
}

/** From the first click's sending until a report has one. */
async function firstCounted(
  queryUrl: string,
  adIds: readonly bigint[],
  sent: () => readonly SentClick[],
): Promise<number> {
  const from = new Date(Date.now() - HOUR_MS).toISOString();
  return until("a click in a report", COUNTED_MS, async () => {
    const reports = adIds.slice(0, 5).map(async (adId) => {
      const asked = `${queryUrl}/v1/reports/clicks?ad_id=${adId}&granularity=1h&from=${from}`;
      const { total } = (await (await callApi(asked)).json()) as { total: { clicks: number } };
      return total.clicks;
    });
    const counted = (await Promise.all(reports)).some((clicks) => clicks > 0);
    const first = sent().find(({ attempts }) => attempts.length > 0);
    return counted && first !== undefined ? Date.now() - first.attempts[0]!.sentMs : undefined;
  });
}
