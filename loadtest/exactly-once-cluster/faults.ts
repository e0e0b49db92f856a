/**
 * What is done to a cluster while clicks come: each part killed and started again, in turn and
 * then at random, and one actor host stopped while its shards move away from it and back.
 *
 *  I5 A fault that did not fire is no fault: a kill is one where the process of before is gone and
 *     another serves; a pause is one where the system says "stopped" and others serve the shards.
 */
import type { SeededRandom } from "../../actors/sim/random.ts";
import type { ActorMember, Cluster } from "../../cmd/cluster/cluster.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { sleep, until } from "../lib/wait.ts";
import { processState, serving } from "./state.ts";

export const KILLED = ["actor", "gateway", "broker", "redis", "clickhouse"] as const;
export type Killed = (typeof KILLED)[number];

const SERVE_DEADLINE_MS = 90_000;
/** A part stays down for up to this long before it is started again. */
const DOWN_MOST_MS = 2_000;
/** How long a host is silent before its shards are given to others. */
const NOTICE_MS = 3_000;

export interface Fault {
  readonly what: string;
  /** Since the first click. */
  readonly atMs: number;
  readonly afterClicks: number;
  /** From the fault until all is served as before, the time that the part was left down included. */
  readonly recoveryMs: number;
  /** What proves that it fired. */
  readonly proof: string;
}

export interface FaultOptions {
  readonly cluster: Cluster;
  readonly clicks: number;
  /** Kills of each kind. */
  readonly each: number;
  readonly kinds: readonly Killed[];
  /** 0: nobody is stopped. */
  readonly pauseMs: number;
  readonly random: SeededRandom;
  readonly released: () => number;
  /** Settles once every click has had its answer, or has been given up. */
  readonly allSent: Promise<unknown>;
  readonly say: (line: string) => void;
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

/** Kills it, and starts it again after `downMs`. @throws Error where that was not so */
export async function killAndStart(member: Member, downMs: number): Promise<{ proof: string }> {
  const { pid: before } = member;
  if (before === undefined || !member.isRunning)
    throw new Error(`${member.name} does not run: nothing to kill`);
  await member.kill();
  if (!isGone(before)) throw new Error(`${member.name}: process ${before} is still there after SIGKILL`);
  await sleep(downMs);
  await member.start();
  if (member.pid === before) throw new Error(`${member.name}: still process ${before}`);
  return { proof: `pid ${before} → ${member.pid}` };
}

/** Resolves once these hosts serve all shards between them, each shard once. */
export function untilServed(cluster: Cluster, hosts: readonly string[]): Promise<boolean> {
  return until(`${hosts.join(", ")} serving all shards`, SERVE_DEADLINE_MS, async () => {
    const served = await serving(cluster);
    const shards = hosts.flatMap((host) => served.get(host) ?? []);
    if (shards.length === cluster.shards && new Set(shards).size === cluster.shards) return true;
    throw new Error(`served: ${JSON.stringify(Object.fromEntries(served))}`);
  });
}

/** Runs all faults; resolves once each is over. */
export async function runFaults(options: FaultOptions): Promise<readonly Fault[]> {
  const { cluster, clicks, random, released, say } = options;
  const startedAt = performance.now();
  const faults: Fault[] = [];
  let paused: ActorMember | undefined;
  const names = cluster.actors.map(({ name }) => name);

  async function timed(what: string, work: () => Promise<{ proof: string }>): Promise<void> {
    const [afterClicks, beganAt] = [released(), performance.now()];
    const { proof } = await work();
    const fault = {
      what,
      atMs: beganAt - startedAt,
      afterClicks,
      recoveryMs: performance.now() - beganAt,
      proof,
    };
    faults.push(fault);
    say(
      `  ${what} after ${afterClicks} clicks (${(fault.atMs / 1_000).toFixed(1)} s), ` +
        `served again after ${Math.round(fault.recoveryMs)} ms (${proof})`,
    );
  }

  function targetOf(kind: Killed): Member {
    if (kind === "actor") return random.pick(cluster.actors.filter((actor) => actor !== paused));
    if (kind === "gateway") return random.pick(cluster.gateways);
    return { broker: cluster.broker, redis: cluster.redis, clickhouse: cluster.engine }[kind];
  }
  async function kill(kind: Killed): Promise<void> {
    const member = targetOf(kind);
    await timed(`SIGKILL ${member.name}`, () => killAndStart(member, random.next() * DOWN_MOST_MS));
  }

  async function pause(): Promise<void> {
    const actor = random.pick(cluster.actors);
    paused = actor;
    const others = names.filter((name) => name !== actor.name);
    let movedMs = 0;
    await timed(`SIGSTOP ${actor.name}, its shards moved, SIGCONT`, async () => {
      const stoppedAt = performance.now();
      const { pid } = actor;
      actor.signal("SIGSTOP");
      await sleep(NOTICE_MS);
      const state = await processState(pid!);
      if (state !== "T") throw new Error(`${actor.name} is "${state}" after SIGSTOP`);
      await cluster.assign(others);
      await untilServed(cluster, others);
      movedMs = performance.now() - stoppedAt;
      await sleep(Math.max(0, options.pauseMs - movedMs));
      actor.signal("SIGCONT");
      const wokenAt = performance.now();
      await until(`${actor.name} letting its shards go`, SERVE_DEADLINE_MS, async () =>
        (await serving(cluster)).get(actor.name)?.length === 0 ? true : undefined,
      );
      const [slept, left] = [wokenAt - stoppedAt, performance.now() - wokenAt];
      const proof = `stopped for ${Math.round(slept)} ms, shards elsewhere after ${Math.round(movedMs)} ms, let go ${Math.round(left)} ms after waking`;
      if (actor.pid !== pid) throw new Error(`${actor.name}: another process`);
      await cluster.assign(names);
      await untilServed(cluster, names);
      return { proof };
    });
    paused = undefined;
  }

  // In turn first, then in any order; when, is drawn.
  const shuffled = <T>(items: readonly T[]): T[] =>
    items
      .map((item) => ({ item, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
  const inTurn = options.each > 0 ? [...options.kinds] : [];
  const atRandom = shuffled(
    Array.from({ length: Math.max(0, options.each - 1) }, () => options.kinds).flat(),
  );
  const order = [...inTurn, ...atRandom];
  const shares = order.map(() => 0.03 + 0.9 * random.next()).sort((a, b) => a - b);
  const reached = async (share: number) => {
    while (released() < Math.floor(clicks * share)) await sleep(5);
  };

  const pausing = options.pauseMs > 0 ? reached(0.1 + 0.2 * random.next()).then(pause) : Promise.resolve();
  pausing.catch(() => undefined);
  for (const [i, kind] of order.entries()) {
    await reached(shares[i]!);
    await kill(kind);
  }
  await pausing;
  // No later click papers over what ClickHouse failed to take then.
  if (options.kinds.includes("clickhouse")) {
    await options.allSent;
    await kill("clickhouse");
  }
  return faults;
}
