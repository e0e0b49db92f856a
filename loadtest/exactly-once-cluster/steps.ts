/** The faults that are more than a kill: a host that sleeps, a volume that is gone, parts that are away for long. */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ActorMember, Cluster } from "../../cmd/cluster/cluster.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { sumBy } from "../../cmd/cluster/samples.ts";
import { sleep, until } from "../lib/wait.ts";
import { killSurely, SERVE_DEADLINE_MS, untilServed } from "./faults.ts";
import { tailOf } from "./log-tail.ts";
import { processState, samplesOf, serving } from "./state.ts";

/** How long a host is silent before its shards are given to others. */
const NOTICE_MS = 3_000;

/** Its shards are with `others` when this resolves. */
export async function stopAndMove(cluster: Cluster, actor: ActorMember, others: readonly string[]) {
  const stoppedAt = performance.now();
  const pid = actor.pid!;
  actor.signal("SIGSTOP");
  await sleep(NOTICE_MS);
  const state = await processState(pid);
  if (state !== "T") throw new Error(`${actor.name} is "${state}" after SIGSTOP`);
  await cluster.assign(others);
  await untilServed(cluster, others);
  return { pid, stoppedAt, movedMs: performance.now() - stoppedAt };
}

/** Wakes it, and gives shards back to it once it has let go of those that it had; returns the proof. */
export async function wake(
  cluster: Cluster,
  actor: ActorMember,
  { pid, stoppedAt, movedMs }: Awaited<ReturnType<typeof stopAndMove>>,
): Promise<string> {
  if ((await processState(pid)) !== "T") throw new Error(`${actor.name} did not sleep until it was woken`);
  actor.signal("SIGCONT");
  const wokenAt = performance.now();
  await until(`${actor.name} letting its shards go`, SERVE_DEADLINE_MS, async () =>
    (await serving(cluster, [actor.name])).get(actor.name)?.length === 0 ? true : undefined,
  );
  const leftMs = performance.now() - wokenAt;
  if (actor.pid !== pid) throw new Error(`${actor.name}: another process`);
  const all = cluster.actors.map(({ name }) => name);
  await cluster.assign(all);
  await untilServed(cluster, all);
  return (
    `stopped for ${Math.round(wokenAt - stoppedAt)} ms, shards elsewhere after ${Math.round(movedMs)} ms, ` +
    `let go ${Math.round(leftMs)} ms after waking`
  );
}

/** A host comes back without its volume; ClickHouse has its counts. Returns the proof. */
export async function loseVolume(
  cluster: Cluster,
  actor: ActorMember,
  hosts: readonly string[],
): Promise<string> {
  const owned = (await serving(cluster, [actor.name])).get(actor.name) ?? [];
  if (owned.length === 0) throw new Error(`${actor.name} serves nothing: no state to lose`);
  const [before] = await killSurely([actor]);
  const folder = join(cluster.dir, actor.name);
  await stat(folder);
  await rm(folder, { recursive: true });
  const tail = await tailOf(actor.logFile);
  await actor.start("alive");
  await untilServed(cluster, hosts);
  const checkpoints = new Map<number, number>();
  for (const { shard, checkpoint } of await tail.lines()) {
    if (shard !== undefined && checkpoint !== undefined) checkpoints.set(shard, checkpoint);
  }
  const begun = owned.filter((shard) => (checkpoints.get(shard) ?? -1) >= 0);
  if (begun.length < owned.length) {
    throw new Error(
      `${actor.name}: shards ${owned.join(", ")} lost their volume, but of them only [${begun.join(", ")}] began at a checkpoint`,
    );
  }
  const from = begun.map((shard) => `shard ${shard} from checkpoint ${checkpoints.get(shard)}`);
  return `pid ${before} → ${actor.pid}, ${from.join(", ")}`;
}

const sumOf = async (members: readonly Member[], name: string, label: string, value?: string) => {
  const samples = await Promise.all(members.map((member) => samplesOf(member).catch(() => [])));
  const by = sumBy(samples.flat(), name, label);
  return value === undefined ? [...by.values()].reduce((sum, each) => sum + each, 0) : (by.get(value) ?? 0);
};

/** ClickHouse is away for long: counting goes on, and windows wait. Returns the proof. */
export async function engineAway(cluster: Cluster, awayMs: number): Promise<string> {
  const { actors, engine } = cluster;
  const [before] = await killSurely([engine]);
  await sleep(awayMs);
  const unflushed = await sumOf(actors, "adtally_shard_unflushed_windows", "shard");
  if (unflushed === 0) throw new Error(`no window waits after ${awayMs} ms without ClickHouse`);
  await engine.start();
  return `pid ${before} → ${engine.pid}, ${unflushed} windows waiting by then`;
}

export interface Absence {
  /** Wall time: from the kill until the first of the parts was started again. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Broker and all actor hosts are away: gateways have their own disks alone. */
export async function logAndActorsAway(
  cluster: Cluster,
  awayMs: number,
): Promise<{ readonly proof: string; readonly absence: Absence }> {
  const { actors, broker, gateways } = cluster;
  const spooled = () => sumOf(gateways, "adtally_gateway_deferred_clicks", "to", "spool");
  const before = await spooled();
  const fromMs = Date.now();
  const pids = await killSurely([broker, ...actors]);
  await sleep(awayMs);
  const clicks = (await spooled()) - before;
  if (clicks <= 0) throw new Error("no click went to a gateway's own disk");
  const untilMs = Date.now();
  await Promise.all([broker.start(), ...actors.map((actor) => actor.start("alive"))]);
  await untilServed(
    cluster,
    actors.map(({ name }) => name),
  );
  return {
    proof: `pids ${pids.join(", ")} gone, ${clicks} clicks spooled by then`,
    absence: { fromMs, untilMs },
  };
}
