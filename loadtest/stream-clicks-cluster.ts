/**
 * Clicks a second through a cluster of processes: gRPC StreamClicks into a gateway, over actor
 * hosts and a Kafka broker, counts and raw rows in the ClickHouse engine out.
 *
 *   node loadtest/stream-clicks-cluster.ts [--clicks 1000000] [--actors 1] [--gateways 1] [--shards 4]
 *        [--batch 1000] [--in-flight 16] [--streams 1] [--ads 10000] [--repeats 0.1]
 *        [--hot 0.8 [--ways 4]] [--warm-up 100000] [--compiled-broker] [--cpu-prof] [--json]
 *
 * --hot is the share of the impressions that one ad takes, split --ways ways (1: it is not).
 * --compiled-broker gives the broker all of Java's compilers and a heap of 512 MB.
 *
 * The client is this process. Sent = acked = counted (by the actors' counts, and by the raw rows),
 * or it exits with 1. CPU a click is told of each process by itself: of adtally's own the sum is
 * the cost of a click; broker, Redis and client stand beside it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectClickHouse, type ClickHouse } from "../actors/adapters/clickhouse/client.ts";
import { startCluster, type Cluster } from "../cmd/cluster/cluster.ts";
import { createAds } from "./lib/ads.ts";
import { makeBatches, sendBatches } from "./lib/click-batches.ts";
import { hottestByMember, profilingOptions } from "./lib/cpu-profile.ts";
import { createGrpcClicks } from "./lib/grpc-client.ts";
import { coresOfOthers, cpuUsOf, machineCpuUs } from "./lib/processes.ts";
import { ADMIN_KEY } from "./lib/program.ts";
import { latencies, print } from "./lib/report.ts";
import { countedClicks, rawClicks, rawRows } from "./lib/scene.ts";
import { until } from "./lib/wait.ts";

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "1000000" },
    gateways: { type: "string", default: "1" },
    actors: { type: "string", default: "1" },
    shards: { type: "string", default: "4" },
    batch: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "16" },
    streams: { type: "string", default: "1" },
    ads: { type: "string", default: "10000" },
    repeats: { type: "string", default: "0.1" },
    seed: { type: "string", default: "1" },
    hot: { type: "string", default: "0" },
    ways: { type: "string", default: "1" },
    "warm-up": { type: "string", default: "100000" },
    "compiled-broker": { type: "boolean", default: false },
    "cpu-prof": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const batchClicks = Number(flags.batch);
const SETTLE_DEADLINE_MS = 120_000;
const ASK_EVERY_MS = 100;
/** What is interpreted is compiled, connections are open and buffers have grown. */
const warmUpClicks = Number(flags["warm-up"]);
/** The first of lib/ads.ts. */
const HOT_AD = 1_001;
const hotShare = Number(flags.hot);
const HOTTEST = 22;

/** Not adtally's own: the cost of a click does not hold them. */
const OTHERS = new Set(["broker", "redis", "client"]);

async function cpuOf({ members }: Cluster): Promise<ReadonlyMap<string, number>> {
  const { user, system } = process.cpuUsage();
  const each = members.map(
    async ({ name, pid }) => [name, pid === undefined ? 0 : await cpuUsOf(pid)] as const,
  );
  return new Map([...(await Promise.all(each)), ["client", user + system] as const]);
}

function cpuFigures(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>, clicks: number) {
  const round = (us: number) => Math.round(us * 100) / 100;
  const each = [...after].map(([name, us]) => [name, (us - (before.get(name) ?? 0)) / clicks] as const);
  const own = each.filter(([name]) => !OTHERS.has(name)).reduce((sum, [, us]) => sum + us, 0);
  return {
    ...Object.fromEntries(each.map(([name, us]) => [`CPU µs a click: ${name}`, round(us)])),
    "CPU µs a click: adtally in all": round(own),
  };
}

async function run(cluster: Cluster, clickhouse: ClickHouse): Promise<void> {
  const { gateways } = cluster;
  const ads = await createAds(gateways[0]!.url, Number(flags.ads));
  const warmUpBatches = Math.ceil(warmUpClicks / batchClicks);
  const batches = await makeBatches({
    dataDir: cluster.dir,
    batches: warmUpBatches + Math.ceil(Number(flags.clicks) / batchClicks),
    batchClicks,
    adIds: ads.map(({ adId }) => adId),
    repeats: Number(flags.repeats),
    seed: Number(flags.seed),
    hot: hotShare > 0 ? { adId: BigInt(HOT_AD), share: hotShare } : undefined,
  });
  const clients = gateways.map(({ grpcAddress }) => createGrpcClicks(grpcAddress, undefined));
  const streams = clients.flatMap((client) =>
    Array.from({ length: Number(flags.streams) }, () => client.openStream()),
  );
  const how = { streams, inFlight: Number(flags["in-flight"]), withinMs: Infinity };
  const untilAtLeast = (what: string, wanted: number, read: (clickhouse: ClickHouse) => Promise<number>) =>
    until(
      what,
      SETTLE_DEADLINE_MS,
      async () => ((await read(clickhouse)) >= wanted ? true : undefined),
      ASK_EVERY_MS,
    );
  const warm = await sendBatches(batches.splice(0, warmUpBatches), how);
  await untilAtLeast("the warm-up's clicks in the counts", warm.accepted, countedClicks);
  await untilAtLeast("the warm-up's raw rows", warm.clicks, rawRows);

  const cpuBefore = await cpuOf(cluster);
  const machineBefore = await machineCpuUs();
  const startedAt = performance.now();
  const sent = await sendBatches(batches, how);
  const ackedMs = performance.now() - startedAt;
  await untilAtLeast("all clicks in the counts", warm.accepted + sent.accepted, countedClicks);
  const countedMs = performance.now() - startedAt;
  await untilAtLeast("all raw rows", warm.clicks + sent.clicks, rawRows);
  const rawMs = performance.now() - startedAt;
  const cpuAfter = await cpuOf(cluster);
  const cpu = cpuFigures(cpuBefore, cpuAfter, sent.clicks);
  const sum = (each: ReadonlyMap<string, number>) => [...each.values()].reduce((total, us) => total + us, 0);
  const others = coresOfOthers(machineBefore, await machineCpuUs(), sum(cpuAfter) - sum(cpuBefore), rawMs);
  for (const stream of streams) stream.end();
  for (const client of clients) client.close();

  const counted = (await countedClicks(clickhouse)) - warm.accepted;
  const raw = (await rawClicks(clickhouse)) - warm.accepted;
  const acked = sent.accepted + sent.duplicates;
  const aSecond = (ms: number) => Math.round((sent.clicks * 1_000) / ms);
  print(
    "stream clicks, cluster",
    {
      gateways: gateways.length,
      "actor hosts": cluster.actors.length,
      shards: cluster.shards,
      sent: sent.clicks,
      acked,
      "acked as accepted": sent.accepted,
      "acked as duplicate": sent.duplicates,
      "counted (click_counts)": counted,
      "counted (clicks_raw)": raw,
      "batches refused and sent again": sent.refusedBatches,
      "clicks a second, to the last ack": aSecond(ackedMs),
      "clicks a second, to all in counts": aSecond(countedMs),
      "clicks a second, to all in raw rows": aSecond(rawMs),
      ...latencies("batch", sent.batchMs),
      ...cpu,
      "cores held by others meanwhile": others,
    },
    flags.json,
  );
  if (acked !== sent.clicks || counted !== sent.accepted || raw !== sent.accepted) {
    console.error("sent, acked and counted do not agree");
    process.exitCode = 1;
  }
}

const dir = await mkdtemp(join(tmpdir(), "adtally-loadtest-"));
const profiles = join(dir, "profiles");
// Members are started with this process' environment.
if (flags["cpu-prof"]) process.env["NODE_OPTIONS"] = profilingOptions(profiles);
let cluster: Cluster | undefined;
let clickhouse: ClickHouse | undefined;
try {
  cluster = await startCluster({
    dir: join(dir, "cluster"),
    adminKey: ADMIN_KEY,
    gateways: Number(flags.gateways),
    actors: Number(flags.actors),
    shards: Number(flags.shards),
    splits: new Map(Number(flags.ways) > 1 ? [[HOT_AD, Number(flags.ways)]] : []),
    ...(flags["compiled-broker"] && { brokerJvm: { heapMegabytes: 512, compiled: true } }),
    logLevel: "warn",
  });
  clickhouse = connectClickHouse({ url: cluster.engine.url });
  await run(cluster, clickhouse);
  if (flags["cpu-prof"]) {
    const names = new Map(cluster.members.map(({ name, pid }) => [pid, name]));
    await cluster.stopAll();
    for (const line of await hottestByMember(profiles, names, HOTTEST)) console.log(line);
  }
} finally {
  await clickhouse?.close();
  await cluster?.killAll();
  await rm(dir, { recursive: true, force: true });
}
