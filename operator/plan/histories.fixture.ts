/** Random worlds to begin with, what happens to them, and what they must come to. */
import { assign, NO_ASSIGNMENT, type ShardOwner } from "../../actors/assignment/assignment.ts";
import { addGeneration, emptyTable, shardsInUse } from "../../actors/routing/table.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { parseClickClusterSpec, type ClickClusterSpec } from "../api/click-cluster.ts";
import type { HotAdSplit } from "../api/hot-ad-split.ts";
import { limitsOf } from "../api/limits.ts";
import { COMPONENTS, releaseOf } from "../api/release.ts";
import { addPod, sum, type World } from "./simulated-world.fixture.ts";
import { wantedSplits } from "./splits.ts";
import { timeOf } from "./view.ts";
import { hostName } from "./world.ts";

export const CAPACITY = 1_000;
const START_MS = 1_800_000_000_000;

export function specOf(change: Record<string, unknown> = {}): ClickClusterSpec {
  return parseClickClusterSpec({
    image: "adtally:1",
    shards: { min: 4, max: 16, clicksPerSecond: CAPACITY },
    actors: { replicas: 2, min: 1, max: 4, clicksPerSecond: 2 * CAPACITY, movesAtOnce: 2 },
    autoscaling: { mode: "Off", scaleDownAfterSeconds: 120 },
    hotAds: { mergeAfterSeconds: 120 },
    tokenKeys: { name: "keys" },
    redpanda: { brokers: ["redpanda:9092"] },
    clickhouse: { url: "http://clickhouse:8123" },
    redis: { url: "redis://redis:6379" },
    ...change,
  });
}

export function emptyWorld(spec: ClickClusterSpec): World {
  const metadata = {
    name: "c",
    namespace: "ns",
    uid: "cluster",
    generation: 1,
    creationTimestamp: timeOf(START_MS),
    finalizers: [],
  };
  return {
    nowMs: START_MS,
    cluster: { metadata, spec },
    objects: new Map(),
    wantedObjects: new Map([["Service/actors", "1"]]),
    routing: undefined,
    assignment: undefined,
    workloads: { actors: undefined, gateways: undefined, query: undefined, ingest: undefined },
    pods: new Map(),
    splits: [],
    adRates: new Map(),
    otherClicks: 500,
    waitingClicks: 0,
    isBackendUp: true,
    serial: 0,
    events: [],
  };
}

export function splitOf(
  name: string,
  adId: number,
  ways: number,
  origin: "Hand" | "Policy",
  nowMs: number,
): HotAdSplit {
  const metadata = { name, namespace: "ns", uid: name, generation: 1, creationTimestamp: timeOf(nowMs) };
  return { metadata, spec: { clusterName: "c", adId: String(adId), ways, origin } };
}

const randomSpec = (random: SeededRandom): ClickClusterSpec => {
  const max = 1 + random.below(4);
  const min = 1 + random.below(max);
  const base = specOf();
  return {
    ...base,
    image: `adtally:${1 + random.below(3)}`,
    shards: { ...base.shards, min: random.pick([4, 4, 6, 8]) },
    actors: {
      ...base.actors,
      min,
      max,
      replicas: min + random.below(max - min + 1),
      movesAtOnce: 1 + random.below(4),
    },
    autoscaling: { ...base.autoscaling, mode: random.pick(["Off", "MetricsOnly", "Auto", "Auto"]) },
    hotAds: { ...base.hotAds, mode: random.pick(["Off", "Auto", "Auto"]) },
  };
};

const randomRates = (random: SeededRandom): Map<number, number> =>
  new Map(Array.from({ length: random.below(3) }, () => [1 + random.below(6), random.below(4 * CAPACITY)]));

/** From anything: nothing at all, or parts of what another operator, another spec or a person left. */
export function anyWorld(random: SeededRandom): World {
  const world = emptyWorld(randomSpec(random));
  const limits = limitsOf(world.cluster.spec);
  world.adRates = randomRates(random);
  world.otherClicks = random.below(6_000);
  if (random.chance(0.3)) return world;
  if (random.chance(0.8)) {
    let table = emptyTable(START_MS);
    let shardCount = 1 + random.below(8);
    for (let i = random.below(3); i >= 0; i--) {
      const atMs = START_MS - (i + 1) * random.pick([60_000, 3_600_000]);
      const split = new Map(random.chance(0.4) && shardCount > 1 ? [[1 + random.below(6), 2]] : []);
      table = addGeneration(table, { shardCount, split }, atMs, limits);
      shardCount = Math.max(2, shardCount + random.below(6) - 1);
    }
    world.routing = table;
  }
  if (random.chance(0.7)) {
    const hosts = new Map(
      Array.from({ length: 1 + random.below(4) }, (_, i): [string, string] => {
        const host = random.chance(0.1) ? `stranger-${i}` : hostName("c", i);
        return [host, `${host}:7070`];
      }),
    );
    const shards = Array.from({ length: random.below(10) }, (_, i) => i).filter(() => random.chance(0.9));
    world.assignment = { ...assign(NO_ASSIGNMENT, hosts, shards), version: 1 + random.below(9) };
  }
  if (random.chance(0.8)) {
    const release = random.chance(0.5) ? releaseOf(world.cluster.spec, "actors") : "earlier";
    const replicas = random.below(5);
    world.workloads.actors = { replicas, pods: replicas, ready: replicas, release };
    for (let i = 0; i < replicas; i++) {
      if (random.chance(0.2)) continue;
      const pod = addPod(world, hostName("c", i), random.pick(["earlier", release]), START_MS + 1_000);
      pod.isUp = random.chance(0.8);
      for (const [shard, { host, epoch }] of world.assignment?.shards ?? [])
        if (pod.isUp && host === hostName("c", i) && random.chance(0.7)) pod.held.set(shard, epoch);
    }
  }
  if (random.chance(0.5)) world.objects.set("Service/left-over", "1");
  for (let i = random.below(4); i > 0; i--) {
    const origin = random.chance(0.5) ? "Hand" : "Policy";
    world.splits.push(
      splitOf(`s-${i}`, 1 + random.below(6), 1 + random.below(20), origin, START_MS - i * 1_000),
    );
  }
  if (random.chance(0.3)) {
    const hosts = [
      { name: hostName("c", 0), shards: 1, awaySince: timeOf(START_MS + random.below(200_000) - 100_000) },
    ];
    const fewerSince = timeOf(START_MS - random.below(200_000));
    const actors = { replicas: 1, up: 1, updated: 1, selector: "", hosts, fewerSince };
    const { version = 0 } = world.assignment ?? {};
    world.cluster = { ...world.cluster, status: { actors, assignmentVersion: version } };
  }
  return world;
}

/** Something happens that the operator did not do. */
export function disturb(world: World, random: SeededRandom): void {
  const pods = [...world.pods];
  const { spec, metadata } = world.cluster;
  switch (random.below(12)) {
    case 0: {
      const [, pod] = pods.length === 0 ? [] : random.pick(pods);
      if (pod !== undefined) {
        pod.isUp = false;
        pod.held.clear();
        pod.follows = NO_ASSIGNMENT;
        pod.upAtMs = world.nowMs + random.pick([2_000, 30_000, 300_000, Infinity]);
      }
      break;
    }
    case 1:
      if (pods.length > 0) world.pods.delete(random.pick(pods)[0]);
      break;
    case 2:
      world.cluster = {
        ...world.cluster,
        metadata: { ...metadata, generation: metadata.generation + 1 },
        spec: randomSpec(random),
      };
      break;
    case 3:
      world.adRates = randomRates(random);
      break;
    case 4:
      world.otherClicks = random.below(8_000);
      break;
    case 5: {
      const ad = 1 + random.below(6);
      world.serial += 1;
      world.splits.push(splitOf(`h-${world.serial}`, ad, 1 + random.below(6), "Hand", world.nowMs));
      break;
    }
    case 6:
      if (world.splits.length > 0) {
        const gone = random.pick(world.splits);
        world.splits = world.splits.filter((each) => each !== gone);
      }
      break;
    case 7:
      world.isBackendUp = random.chance(0.5);
      break;
    case 8: {
      const { actors } = world.workloads;
      if (actors !== undefined) world.workloads.actors = { ...actors, replicas: random.below(5) };
      break;
    }
    case 9:
      // Somebody flushed it, or put an older one back.
      if (random.chance(0.3)) world.assignment = undefined;
      break;
    default:
      world.cluster = {
        ...world.cluster,
        spec: { ...spec, image: `adtally:${random.below(4)}`, paused: random.chance(0.1) },
      };
  }
}

export function heal(world: World): void {
  world.isBackendUp = true;
  world.cluster = { ...world.cluster, spec: { ...world.cluster.spec, paused: false } };
  for (const pod of world.pods.values()) pod.upAtMs = Math.min(pod.upAtMs, world.nowMs + 5_000);
}

/** What is not as it must be in the end. */
export function amiss(world: World): readonly string[] {
  const faults: string[] = [];
  const { spec, status } = world.cluster;
  const expect = (isSo: boolean, what: string): void => void (isSo || faults.push(what));
  const { actors, ...others } = world.workloads;
  const replicas = actors?.replicas ?? -1;
  const release = releaseOf(spec, "actors");
  if (spec.autoscaling.mode === "Auto")
    expect(replicas >= spec.actors.min && replicas <= spec.actors.max, "replicas within bounds");
  else expect(replicas === spec.actors.replicas, `${replicas} replicas, not ${spec.actors.replicas}`);
  const names = Array.from({ length: replicas }, (_, i) => hostName("c", i));
  expect(
    [...world.pods.keys()].sort().join() === names.sort().join(),
    `pods ${[...world.pods.keys()].join()}`,
  );
  for (const [name, pod] of world.pods)
    expect(pod.isUp && pod.release === release, `${name} up, of the release`);
  for (const component of COMPONENTS.filter((each) => each !== "actors"))
    expect(others[component]?.release === releaseOf(spec, component), `${component} of the release`);

  const newest = world.routing?.newestFirst[0];
  const owned = world.assignment?.shards ?? new Map<number, ShardOwner>();
  const needed = world.routing === undefined ? [] : shardsInUse(world.routing, world.nowMs, limitsOf(spec));
  expect(newest !== undefined && newest.shardCount >= spec.shards.min, "shards");
  expect(
    needed.every((shard) => owned.has(shard)),
    `every shard of ${needed.length} assigned: ${owned.size}`,
  );
  const loads = names.map((name) => [...owned.values()].filter((owner) => owner.host === name).length);
  expect(sum(loads) === owned.size, "shards on hosts that are there");
  expect(Math.max(...loads) - Math.min(...loads) <= 1, `even loads: ${loads.join()}`);
  for (const [name, pod] of world.pods) {
    const mine = [...owned].filter(([, owner]) => owner.host === name).map(([shard]) => shard);
    expect([...pod.held.keys()].sort().join() === mine.sort().join(), `${name} holds what it is given`);
  }

  const wanted = [...wantedSplits(world.splits)].flatMap(([ad, split]) => {
    const ways = Math.min(split.spec.ways, newest?.shardCount ?? 0);
    return ways > 1 ? [`${ad}:${ways}`] : [];
  });
  expect(
    wanted.sort().join() ===
      [...(newest?.splits ?? [])]
        .map(([ad, ways]) => `${ad}:${ways}`)
        .sort()
        .join(),
    "splits as wanted",
  );
  for (const [ad, clicks] of spec.hotAds.mode === "Auto" ? world.adRates : []) {
    const split = wantedSplits(world.splits).get(ad);
    if (split?.spec.origin === "Hand") continue;
    const ways = split?.spec.ways ?? 1;
    const most = Math.min(spec.hotAds.maxWays, newest?.shardCount ?? 0);
    expect(clicks / ways <= CAPACITY / 2 || ways >= most, `ad ${ad} of ${clicks} clicks/s over ${ways} ways`);
    expect(
      ways === 1 || clicks / Math.floor(ways / 2) >= CAPACITY / 5,
      `ad ${ad} of ${clicks} clicks/s still over ${ways}`,
    );
  }
  expect([...world.objects].join() === [...world.wantedObjects].join(), "objects");
  const conditions = Object.fromEntries((status?.conditions ?? []).map(({ type, status: is }) => [type, is]));
  const good = {
    Ready: "True",
    Progressing: "False",
    Degraded: "False",
    BackendsReachable: "True",
    RoutingPublished: "True",
  };
  for (const [type, is] of Object.entries(good))
    expect(conditions[type] === is, `${type} is ${conditions[type]}`);
  return faults;
}
