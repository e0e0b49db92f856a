/**
 * The exactly-once test of the cluster, in three forms:
 *
 *   kills         every part killed again and again, one actor host stopped and woken
 *   all-at-once   every process killed in one moment, and started again
 *   down          actor hosts, then the broker, then both away while browsers click
 *
 * At the end of each the account is taken (I1), and everything is rebuilt from the log (I2).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../actors/sim/random.ts";
import { sendAll, type SentClick } from "../exactly-once/send.ts";
import { sleep } from "../lib/wait.ts";
import { runDown } from "./down.ts";
import { runFaults, type Fault, type Killed } from "./faults.ts";
import { openScene, replayFaults, startAll, takeAccount, type Scene } from "./scene.ts";
import { createDeferred } from "./deferred.ts";
import { createRising, memoryOf } from "./state.ts";

export const MODES = ["kills", "all-at-once", "down"] as const;
export type Mode = (typeof MODES)[number];

export interface RunOptions {
  readonly mode: Mode;
  readonly clicks: number;
  readonly rate: number;
  readonly each: number;
  readonly kinds: readonly Killed[];
  readonly pauseMs: number;
  readonly ads: number;
  readonly repeatMostMs: number;
  readonly explained: number;
  readonly seed: number;
  /** Leaves the folder, with all logs. */
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly figures: Readonly<Record<string, number | string>>;
  /** What is wrong; empty when every click counts exactly once. */
  readonly faults: readonly string[];
}

const LOOK_MS = 2_000;
/** With every process at once there is little to gain from many. */
const ALL_AT_ONCE = 3;

interface Acted {
  readonly all: readonly SentClick[];
  readonly figures: Readonly<Record<string, number | string>>;
  readonly faults: readonly string[];
}

function figuresOfFaults(fired: readonly Fault[]): Record<string, number> {
  const count = (what: string) => fired.filter((fault) => fault.what.includes(what)).length;
  const longest = Math.max(
    0,
    ...fired.filter(({ what }) => !what.includes("STOP")).map((fault) => fault.recoveryMs),
  );
  return { kills: count("SIGKILL"), pauses: count("SIGSTOP"), "longest recovery ms": Math.round(longest) };
}

async function underKills(scene: Scene, options: RunOptions): Promise<Acted> {
  const { cluster, plan } = scene;
  const sending = sendAll(cluster.gateways, plan, options.rate, seededRandom(options.seed + 2));
  const faulting = runFaults({
    ...options,
    cluster,
    random: seededRandom(options.seed + 1),
    released: sending.released,
    allSent: sending.done,
  });
  const [all, fired] = await Promise.all([sending.done, faulting]);
  return { all, figures: figuresOfFaults(fired), faults: [] };
}

async function underAllAtOnce(scene: Scene, options: RunOptions): Promise<Acted> {
  const { cluster, plan } = scene;
  const { say } = options;
  const sending = sendAll(cluster.gateways, plan, options.rate, seededRandom(options.seed + 2));
  const startedAt = performance.now();
  const times = Math.min(ALL_AT_ONCE, options.each);
  let longestMs = 0;
  for (let i = 1; i <= times; i++) {
    while (sending.released() < (plan.length * i) / (times + 1)) await sleep(5);
    const [killedAt, afterClicks] = [performance.now(), sending.released()];
    const pids = cluster.members.map(({ pid }) => pid);
    await cluster.killAll();
    if (cluster.members.some(({ isRunning }) => isRunning)) throw new Error("a process outlived SIGKILL");
    await startAll(cluster);
    if (cluster.members.some(({ pid }, at) => pid === pids[at])) throw new Error("a process was not killed");
    const recoveryMs = performance.now() - killedAt;
    longestMs = Math.max(longestMs, recoveryMs);
    const at = ((killedAt - startedAt) / 1_000).toFixed(1);
    say(
      `  killed all ${pids.length} processes after ${afterClicks} clicks (${at} s), all ready after ${Math.round(recoveryMs)} ms`,
    );
  }
  const all = await sending.done;
  return {
    all,
    figures: { "kills of everything": times, "longest recovery ms": Math.round(longestMs) },
    faults: [],
  };
}

const acts = { kills: underKills, "all-at-once": underAllAtOnce, down: runDown };

export async function runExactlyOnceCluster(options: RunOptions): Promise<RunResult> {
  const { mode, seed } = options;
  const random = seededRandom(seed);
  const dir = await mkdtemp(join(tmpdir(), "adtally-exactly-once-cluster-"));
  const startedAt = performance.now();
  const since = () => `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`;
  const say = (line: string) => options.say(line.startsWith(" ") ? line : `${line} (${since()})`);
  let scene: Scene | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    scene = await openScene({ ...options, dir, random, say });
    const { clickhouse, cluster } = scene;
    say(`${options.clicks} clicks planned, seed ${seed}`);
    const before = await memoryOf(cluster.members);
    const rising = createRising(clickhouse);
    const deferred = createDeferred(cluster);
    // An engine that is down has nothing to show.
    const look = () => Promise.all([rising.look().catch(() => undefined), deferred.look()]);
    timer = setInterval(() => void look(), LOOK_MS);
    const acted = await acts[mode](scene, { ...options, say });
    say("all sent, all faults over");
    const { counts, faults, figures } = await takeAccount(scene, acted.all, options.explained, random);
    await look();
    clearInterval(timer);
    say("settled, and checked against the clients' record");
    const memory = await memoryOf(cluster.members);
    const sizes = [...memory].map(([name, size]) => `${name} ${before.get(name)} → ${size}`).join(", ");
    say(`  memory in MB before and after: ${sizes}`);
    const replay = await replayFaults(scene, counts);
    say("stores and counts wiped, log replayed, compared");
    return {
      figures: {
        ...acted.figures,
        ...figures,
        "clicks spilled": deferred.spilled,
        "clicks spooled": deferred.spooled,
        "looks at versions": rising.looks,
      },
      faults: [...acted.faults, ...faults, ...rising.faults, ...replay],
    };
  } finally {
    clearInterval(timer);
    await scene?.close();
    if (options.keep) options.say(`kept: ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}
