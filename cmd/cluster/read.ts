/** Asks every member of a cluster how it is: /readyz, /metrics, and the broker for the spill's ends. */
import { openKafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import type { Cluster } from "./cluster.ts";
import type { Member } from "./member.ts";
import { parseSamples, type Sample } from "./samples.ts";
import type { MemberReading, Reading } from "./status.ts";

const ANSWER_MS = 900;

export interface Reader {
  read(): Promise<Reading>;
  close(): Promise<void>;
}

export function createReader(cluster: Cluster): Reader {
  const { broker, members, shards } = cluster;
  const config = {
    brokers: [broker.url],
    clientId: "adtally-cluster-status",
    topicPrefix: "",
    ...(cluster.secured !== undefined && { tls: cluster.secured.client }),
  };
  const log = openKafkaLog({ config, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger });
  const spill = log.topic("clicks-spill");

  async function spillEnds(): Promise<ReadonlyMap<number, number>> {
    if (!broker.isRunning) return new Map();
    const ends = Array.from({ length: shards }, async (_, shard) => {
      const { next } = await spill.bounds(shard);
      return [shard, next] as const;
    });
    return withDeadline(systemClock, ANSWER_MS, "the spill", Promise.all(ends)).then(
      (pairs) => new Map(pairs),
      () => new Map(),
    );
  }

  return {
    async read() {
      const [readings, ends] = await Promise.all([Promise.all(members.map(readMember)), spillEnds()]);
      return { atMs: performance.now(), members: readings, spillEnds: ends };
    },
    close: () => log.close(),
  };
}

async function readMember(member: Member): Promise<MemberReading> {
  const { admin, isRunning, logFile, name, pid, restarts } = member;
  const upMs = isRunning ? performance.now() - member.startedAtMs : 0;
  const plain = { name, pid, isRunning, restarts, upMs, logFile };
  if (admin === undefined || !isRunning) return { ...plain, faults: [], samples: [] };
  const [faults, samples] = await Promise.all([readFaults(admin), readSamples(admin)]);
  return { ...plain, faults, samples };
}

const ask = (url: string): Promise<Response> => fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });

async function readFaults(admin: string): Promise<readonly string[] | undefined> {
  try {
    const response = await ask(`${admin}/readyz`);
    const text = await response.text();
    if (response.ok) return [];
    return [reasonOf(text) ?? `answers ${response.status}`];
  } catch {
    return undefined;
  }
}

function reasonOf(text: string): string | undefined {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" ? detail : undefined;
  } catch {
    return undefined;
  }
}

async function readSamples(admin: string): Promise<readonly Sample[]> {
  try {
    return parseSamples(await (await ask(`${admin}/metrics`)).text());
  } catch {
    return [];
  }
}
