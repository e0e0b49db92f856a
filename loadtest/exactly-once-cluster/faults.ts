/**
 * What every fault done to a cluster has in common: its time, the proof that it fired, how long
 * it took until all was served again, and which others must not be under way with it.
 *
 *  I5 A fault that did not fire is no fault. Its proof is text that only the fault can have made
 *     true; what cannot be proved throws. One that saw no click come meanwhile is named as well.
 */
import type { Cluster } from "../../cmd/cluster/cluster.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { sleep, until } from "../lib/wait.ts";
import { assigned, serving } from "./state.ts";

export const SERVE_DEADLINE_MS = 90_000;

export type FaultKind = "kill" | "pause" | "move" | "volume" | "outage";

export interface Fault {
  readonly kind: FaultKind;
  readonly what: string;
  /** Since the first click. */
  readonly atMs: number;
  readonly afterClicks: number;
  /** Clicks that came from the fault until all was served again. */
  readonly duringClicks: number;
  /** From the fault until all is served as before, the time that the part was left down included. */
  readonly recoveryMs: number;
  /** What proves that it fired. */
  readonly proof: string;
}

export interface Recorder {
  readonly faults: readonly Fault[];
  /** `work` does the fault, waits until all is served again, and returns the proof. */
  fire(kind: FaultKind, what: string, work: () => Promise<string>): Promise<void>;
}

export function createRecorder(released: () => number, say: (line: string) => void): Recorder {
  const startedAt = performance.now();
  const faults: Fault[] = [];
  return {
    faults,
    async fire(kind, what, work) {
      const [afterClicks, beganAt] = [released(), performance.now()];
      const proof = await work();
      const recoveryMs = performance.now() - beganAt;
      const atMs = beganAt - startedAt;
      faults.push({
        kind,
        what,
        atMs,
        afterClicks,
        duringClicks: released() - afterClicks,
        recoveryMs,
        proof,
      });
      say(
        `  ${what} after ${afterClicks} clicks (${(atMs / 1_000).toFixed(1)} s), ` +
          `served again after ${Math.round(recoveryMs)} ms (${proof})`,
      );
    },
  };
}

export type Turns<K extends string> = <T>(keys: readonly K[], work: () => Promise<T>) => Promise<T>;

/** Work on the same part goes one after the other, in the order of asking; the rest overlaps. */
export function createTurns<K extends string>(): Turns<K> {
  const last = new Map<K, Promise<unknown>>();
  return (keys, work) => {
    const run = Promise.all(keys.map((key) => last.get(key) ?? Promise.resolve())).then(work);
    const over = run.catch(() => undefined);
    for (const key of keys) last.set(key, over);
    return run;
  };
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

/** Each killed, at once. @returns for each its pid. @throws Error where one did not run, or lives on */
export async function killSurely(members: readonly Member[]): Promise<readonly number[]> {
  const pids = members.map(({ name, pid, isRunning }) => {
    if (pid === undefined || !isRunning) throw new Error(`${name} does not run: nothing to kill`);
    return pid;
  });
  await Promise.all(members.map((member) => member.kill()));
  const left = pids.filter((pid) => !isGone(pid));
  if (left.length > 0) throw new Error(`still there after SIGKILL: ${left.join(", ")}`);
  return pids;
}

/** Kills it, and starts it again after `downMs`; returns the proof. */
export async function killAndStart(
  member: Member,
  downMs: number,
  until: "ready" | "alive" = "ready",
): Promise<string> {
  const [before] = await killSurely([member]);
  await sleep(downMs);
  await member.start(until);
  if (member.pid === before) throw new Error(`${member.name}: still process ${before}`);
  return `pid ${before} → ${member.pid}`;
}

/**
 * Resolves once each shard is served by the host that it is assigned to, one of these, and by no
 * other of them: a shard that moves is served until then by the host that it comes from.
 */
export function untilServed(cluster: Cluster, hosts: readonly string[]): Promise<boolean> {
  return until(`${hosts.join(", ")} serving all shards`, SERVE_DEADLINE_MS, async () => {
    const [owners, served] = await Promise.all([assigned(cluster), serving(cluster, hosts)]);
    const shards = [...served].flatMap(([host, each]) => each.map((shard) => ({ host, shard })));
    const isRight = shards.every(({ host, shard }) => owners.get(shard) === host);
    if (isRight && shards.length === cluster.shards) return true;
    throw new Error(`served: ${JSON.stringify(Object.fromEntries(served))}`);
  });
}
