/** A cluster with ads and a plan of clicks, and what its log gives once all else is taken away. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import type { KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { startCluster, type Cluster } from "../../cmd/cluster/cluster.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { tableDifferences } from "../exactly-once/oracle.ts";
import { makePlan, type PlannedClick } from "../exactly-once/plan.ts";
import { callApi, createAds } from "../lib/ads.ts";
import { ADMIN_KEY } from "../lib/program.ts";
import { readCounts, type CountRow } from "../lib/tables.ts";
import { createSigner } from "../lib/tokens.ts";
import { until } from "../lib/wait.ts";
import { SETTLE_DEADLINE_MS } from "./account.ts";
import type { Invariant } from "./invariants.ts";
import { openLogOf, untilSettled } from "./state.ts";

const ADS_DEADLINE_MS = 20_000;

export interface Scene {
  readonly cluster: Cluster;
  readonly log: KafkaLog;
  readonly clickhouse: ClickHouse;
  readonly plan: readonly PlannedClick[];
  close(): Promise<void>;
}

export interface SceneOptions {
  readonly dir: string;
  readonly clicks: number;
  readonly ads: number;
  readonly repeatMostMs: number;
  readonly random: SeededRandom;
  readonly say: (line: string) => void;
}

export async function openScene({ dir, random, say, ...wanted }: SceneOptions): Promise<Scene> {
  const cluster = await startCluster({ dir, adminKey: ADMIN_KEY, progress: (what) => say(`  ${what}`) });
  try {
    const [first] = cluster.gateways;
    const ads = await createAds(first!.url, wanted.ads);
    const last = ads.at(-1)!.adId;
    for (const { name, url } of cluster.gateways) {
      await until(`${name} knowing all ads`, ADS_DEADLINE_MS, async () =>
        (await callApi(`${url}/v1/ads/${last}`)).ok ? true : undefined,
      );
    }
    const signer = await createSigner(cluster.dir);
    const plan = await makePlan(
      { clicks: wanted.clicks, repeatMostMs: wanted.repeatMostMs },
      { url: first!.url, ads, signer, random, nowMs: Date.now() },
    );
    const log = openLogOf(cluster);
    const clickhouse = connectClickHouse({ url: cluster.engine.url });
    const close = async () => {
      await Promise.all([log.close(), clickhouse.close()]);
      await cluster.killAll();
    };
    return { cluster, log, clickhouse, plan, close };
  } catch (error) {
    await cluster.killAll();
    throw error;
  }
}

/** Starts whatever does not run: the servers first. @throws Error where a part does not get ready */
export async function startAll({ broker, redis, engine, members }: Cluster): Promise<void> {
  const servers: readonly Member[] = [broker, redis, engine];
  await Promise.all(servers.map((member) => member.start()));
  await Promise.all(members.filter((member) => !servers.includes(member)).map((member) => member.start()));
}

/** I2: everything is stopped, stores and counts are taken away, and the log alone gives the same table. */
export async function replayFaults(scene: Scene, before: readonly CountRow[]): Promise<Invariant> {
  const { cluster, clickhouse, log } = scene;
  await cluster.stopAll();
  const faults: string[] = [];
  for (const { name, exitCode, logFile } of cluster.members) {
    if (exitCode !== null && exitCode !== 0) faults.push(`${name} ended with ${exitCode}: ${logFile}`);
  }
  for (const { name } of cluster.actors) await rm(join(cluster.dir, name), { recursive: true });
  await cluster.engine.start();
  const atStop = await readCounts(clickhouse);
  for (const table of ["click_counts", "shard_checkpoints"]) {
    await clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
  }
  const left = await readCounts(clickhouse);
  if (left.length > 0) throw new Error(`${left.length} count rows are left after TRUNCATE`);
  await startAll(cluster);
  await untilSettled(cluster, log, clickhouse, SETTLE_DEADLINE_MS);
  const after = await readCounts(clickhouse);
  return {
    name: "I2",
    checked: `stores of ${cluster.actors.length} hosts, counts and checkpoints wiped, log replayed: ${after.length} count rows, ${before.length} before`,
    faults: [...faults, ...tableDifferences(before, atStop), ...tableDifferences(before, after)],
  };
}
