/**
 * What a cluster says of itself while it is tested: whether all that was taken in has arrived,
 * which versions ClickHouse holds, and how much memory each process has.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeAssignment } from "../../actors/assignment/assignment.ts";
import { openKafkaLog, type KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import type { Cluster } from "../../cmd/cluster/cluster.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { parseSamples, sumBy, type Sample } from "../../cmd/cluster/samples.ts";
import { until } from "../lib/wait.ts";

const ANSWER_MS = 3_000;
const CALM_LOOKS = 4;
const LOOK_MS = 500;

/** A program of the cluster, and where it tells its metrics. */
export type Told = Pick<Member, "name" | "admin">;

/** Of a cluster, what tells whether all has arrived. */
export interface Watched {
  readonly shards: number;
  readonly gateways: readonly Told[];
  readonly actors: readonly Told[];
}

export async function samplesOf({ admin }: Pick<Member, "admin">): Promise<readonly Sample[]> {
  const response = await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) });
  return parseSamples(await response.text());
}

export const openLogOf = ({ broker }: Cluster): KafkaLog => openLogAt(broker.url, "");

export function openLogAt(broker: string, topicPrefix: string): KafkaLog {
  const config = { brokers: [broker], clientId: "adtally-exactly-once", topicPrefix };
  return openKafkaLog({ config, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger });
}

/**
 * Actor hosts, all or these, by the shards that they serve now; a host that does not answer is left out.
 * One that is stopped should not be asked: it keeps the asker waiting.
 */
export async function serving(
  cluster: Cluster,
  hosts: readonly string[] = cluster.actors.map(({ name }) => name),
): Promise<ReadonlyMap<string, readonly number[]>> {
  const served = await Promise.all(
    cluster.actors
      .filter(({ name }) => hosts.includes(name))
      .map(async (actor) => {
        const samples = await samplesOf(actor).catch(() => undefined);
        if (samples === undefined) return undefined;
        const up = [...sumBy(samples, "adtally_shard_up", "shard")].filter(([, value]) => value === 1);
        return [actor.name, up.map(([shard]) => Number(shard))] as const;
      }),
  );
  return new Map(served.filter((each) => each !== undefined));
}

/** Each shard by the host that the newest assignment gives it to. */
export async function assigned({ dir }: Cluster): Promise<ReadonlyMap<number, string>> {
  const { shards } = decodeAssignment(await readFile(join(dir, "state", "assignment.json"), "utf8"));
  return new Map([...shards].map(([shard, { host }]) => [shard, host]));
}

/** What has not arrived yet, in words; empty when everything has. */
export async function unsettled(
  cluster: Watched,
  log: KafkaLog,
  clickhouse: ClickHouse,
): Promise<readonly string[]> {
  const left: string[] = [];
  const expect = (what: string, is: number, wanted: number) => {
    if (is !== wanted) left.push(`${what} is at ${is} of ${wanted}`);
  };
  for (const gateway of cluster.gateways) {
    const spooled = sumBy(await samplesOf(gateway), "adtally_gateway_spool_blocks", "").get("");
    expect(`${gateway.name}: spool, blocks left`, spooled ?? -1, 0);
  }
  const actors = (await Promise.all(cluster.actors.map(samplesOf))).flat();
  const of = (name: string) => sumBy(actors, name, "shard");
  const [up, next] = [of("adtally_shard_up"), of("adtally_shard_next_offset")];
  const [spill, unflushed] = [of("adtally_shard_next_spill_offset"), of("adtally_shard_unflushed_windows")];
  const mailbox = of("adtally_shard_mailbox_clicks");
  const rows = await clickhouse.rows<{ shard: number; next: string }>(
    "SELECT shard, max(offset) + 1 AS next FROM adtally.clicks_raw GROUP BY shard",
  );
  const raw = new Map(rows.map(({ shard, next: end }) => [shard, Number(end)]));
  for (let shard = 0; shard < cluster.shards; shard++) {
    const name = String(shard);
    const [clicks, spilled] = await Promise.all([
      log.topic("clicks").bounds(shard),
      log.topic("clicks-spill").bounds(shard),
    ]);
    expect(`shard ${shard}: owners`, up.get(name) ?? 0, 1);
    expect(`shard ${shard}: fold`, next.get(name) ?? 0, clicks.next);
    expect(`shard ${shard}: spill`, spill.get(name) ?? 0, spilled.next);
    expect(`shard ${shard}: raw table`, raw.get(shard) ?? 0, clicks.next);
    expect(`shard ${shard}: mailbox`, mailbox.get(name) ?? 0, 0);
    expect(`shard ${shard}: windows unflushed`, unflushed.get(name) ?? 0, 0);
  }
  return left;
}

/** Resolves once everything has arrived, and looks so for a while: ms until then. */
export async function untilSettled(
  cluster: Watched,
  log: KafkaLog,
  clickhouse: ClickHouse,
  deadlineMs: number,
): Promise<number> {
  const startedAt = performance.now();
  let calm = 0;
  await until(
    "everything in ClickHouse",
    deadlineMs,
    async () => {
      const left = await unsettled(cluster, log, clickhouse);
      calm = left.length === 0 ? calm + 1 : 0;
      if (left.length > 0) throw new Error(left.join("; "));
      return calm >= CALM_LOOKS ? true : undefined;
    },
    LOOK_MS,
  );
  return performance.now() - startedAt;
}

export interface Rising {
  look(): Promise<void>;
  readonly looks: number;
  /** That were held against a former look. */
  readonly versions: number;
  /** What fell, or is gone. */
  readonly faults: readonly string[];
}

/** I3: versions of counts and checkpoints, each held against what it was at the look before. */
export function createRising(clickhouse: ClickHouse): Rising {
  const highest = new Map<string, number>();
  const faults: string[] = [];
  let looks = 0;
  return {
    get looks() {
      return looks;
    },
    get versions() {
      return highest.size;
    },
    faults,
    async look() {
      const rows = await clickhouse.rows<{ name: string; version: string }>(
        `SELECT concat('checkpoint of shard ', toString(shard), ', ', pair.1) AS name, toInt64(pair.2) AS version
         FROM (SELECT shard, max(epoch) AS e, max(offset) AS o FROM adtally.shard_checkpoints GROUP BY shard)
         ARRAY JOIN [('epoch', toInt64(e)), ('offset', o)] AS pair
         UNION ALL
         SELECT concat('count of ad ', toString(ad_id), ', ', toString(minute), ', shard ', toString(shard)) AS name,
                toInt64(version) AS version
         FROM adtally.click_counts FINAL`,
      );
      const now = new Map(rows.map(({ name, version }) => [name, Number(version)]));
      for (const [name, was] of highest) {
        const is = now.get(name);
        if (is === undefined || is < was) faults.push(`${name}: version ${was}, then ${is ?? "no row"}`);
      }
      for (const [name, version] of now) highest.set(name, version);
      looks += 1;
    },
  };
}

/** Resident memory by process, in MB; what is not running is left out. */
export async function memoryOf(members: readonly Member[]): Promise<ReadonlyMap<string, number>> {
  const sizes = await Promise.all(
    members.map(async ({ name, pid, isRunning }) => {
      if (!isRunning) return undefined;
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
      return kilobytes === undefined ? undefined : ([name, Math.round(Number(kilobytes) / 1_024)] as const);
    }),
  );
  return new Map(sizes.filter((each) => each !== undefined));
}

/** "T" while it is stopped by a signal. */
export async function processState(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text.slice(text.lastIndexOf(")") + 2, text.lastIndexOf(")") + 3);
}
