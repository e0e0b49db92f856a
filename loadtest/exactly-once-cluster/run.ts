/**
 * The exactly-once test of the cluster, in three forms:
 *
 *   kills         every part killed again and again, hosts killed in mid-move and without their
 *                 volume, parts away for long, one actor host stopped and woken
 *   all-at-once   every process killed in one moment, and started again
 *   down          actor hosts, then the broker, then both away while browsers click
 *
 * At the end of each the account is taken (I1), and everything is rebuilt from the log (I2).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../actors/sim/random.ts";
import { paceOf, type Pace } from "../exactly-once/pace.ts";
import { sendAll, type SentClick } from "../exactly-once/send.ts";
import { sleep } from "../lib/wait.ts";
import { takeAccount } from "./account.ts";
import { createDeferred } from "./deferred.ts";
import { runDown } from "./down.ts";
import type { Fault } from "./faults.ts";
import { drained, fired, paceKept, redirects, type Invariant } from "./invariants.ts";
import { openScene, replayFaults, startAll, type Scene } from "./scene.ts";
import { runFaults, type Killed, type Step } from "./schedule.ts";
import { createRising, memoryOf } from "./state.ts";

export const MODES = ["kills", "all-at-once", "down"] as const;
export type Mode = (typeof MODES)[number];

export interface RunOptions {
  readonly mode: Mode;
  /** At least: under kills, clicks go on until no fault needs them. */
  readonly clicks: number;
  /** Clicks a second that must be sent and answered, on the average of the whole run. */
  readonly rate: number;
  /** Clicks a second that clients make, whatever becomes of them: a little more than `rate`. */
  readonly offered: number;
  readonly each: number;
  readonly kinds: readonly Killed[];
  readonly steps: readonly Step[];
  readonly pauseMs: number;
  readonly engineAwayMs: number;
  readonly logAndActorsAwayMs: number;
  readonly ads: number;
  readonly repeatMostMs: number;
  readonly explained: number;
  readonly seed: number;
  /** Leaves the folder, with all logs. */
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly pace: Pace;
  readonly faults: readonly Fault[];
  readonly figures: Readonly<Record<string, number | string>>;
  readonly invariants: readonly Invariant[];
}

const LOOK_MS = 2_000;
const PROGRESS_MS = 10_000;
/** So many times the clicks asked are planned, for faults that take longer than they do. */
const SPARE_SHARE = 1.6;
/** With every process at once there is little to gain from many. */
const ALL_AT_ONCE = 3;

interface Acted {
  readonly all: readonly SentClick[];
  readonly faults?: readonly Fault[];
  readonly figures: Readonly<Record<string, number | string>>;
  readonly invariants: readonly Invariant[];
}

function startSending(
  { cluster, plan }: Scene,
  { offered, seed, say }: RunOptions,
  isEnough?: (released: number) => boolean,
) {
  const sending = sendAll(cluster.gateways, plan, offered, seededRandom(seed + 2), isEnough);
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const seconds = (performance.now() - startedAt) / 1_000;
    const [sent, waiting] = [sending.released(), sending.underWay()];
    say(`  ${sent} clicks sent in ${seconds.toFixed(0)} s, ${waiting} without an answer yet`);
  }, PROGRESS_MS);
  const stop = () => clearInterval(timer);
  sending.done.then(stop, stop);
  return sending;
}

async function underKills(scene: Scene, options: RunOptions): Promise<Acted> {
  const { clicks, each, kinds, rate } = options;
  let isLastOver = false;
  const sending = startSending(scene, options, (released) => isLastOver && released >= clicks);
  const faulting = runFaults({
    ...options,
    onLast: () => (isLastOver = true),
    cluster: scene.cluster,
    random: seededRandom(options.seed + 1),
    released: sending.released,
    allSent: sending.done,
  });
  const [all, { faults, absence }] = await Promise.all([sending.done, faulting]);
  const invariants = [
    paceKept(paceOf(all), rate),
    fired(faults, kinds, each, all.length),
    ...(absence === undefined ? [] : [redirects(all, absence)]),
  ];
  return { all, faults, figures: {}, invariants };
}

async function underAllAtOnce(scene: Scene, options: RunOptions): Promise<Acted> {
  const { cluster, plan } = scene;
  const { say } = options;
  const sending = startSending(scene, options);
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
    invariants: [],
  };
}

const acts: Readonly<Record<Mode, (scene: Scene, options: RunOptions) => Promise<Acted>>> = {
  kills: underKills,
  "all-at-once": underAllAtOnce,
  down: runDown,
};

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
    const planned = mode === "kills" ? Math.ceil(options.clicks * SPARE_SHARE) : options.clicks;
    scene = await openScene({ ...options, clicks: planned, dir, random, say });
    const { clickhouse, cluster } = scene;
    say(`${options.clicks} clicks or more, seed ${seed}`);
    const before = await memoryOf(cluster.members);
    const rising = createRising(clickhouse);
    const deferred = createDeferred(cluster);
    // An engine that is down has nothing to show.
    const look = () => Promise.all([rising.look().catch(() => undefined), deferred.look()]);
    timer = setInterval(() => void look(), LOOK_MS);
    const acted = await acts[mode](scene, { ...options, say });
    say("all sent, all faults over");
    const accountable = { ...scene, watched: cluster, queryUrl: cluster.query.url };
    const account = await takeAccount(accountable, acted.all, options.explained, random);
    await look();
    clearInterval(timer);
    say("settled, and checked against the clients' record");
    const after = await memoryOf(cluster.members);
    const replay = await replayFaults(scene, account.counts);
    say("stores and counts wiped, log replayed, compared");
    const invariants: Invariant[] = [
      account.invariant,
      replay,
      {
        name: "I3",
        checked: `${rising.versions} versions of counts and checkpoints never fell, at ${rising.looks} looks`,
        faults: rising.looks === 0 ? ["nobody looked"] : rising.faults,
      },
      drained(account.settledMs, before, after),
      ...acted.invariants,
    ];
    return {
      pace: paceOf(acted.all),
      faults: acted.faults ?? [],
      figures: {
        ...acted.figures,
        ...account.figures,
        "clicks spilled": deferred.spilled,
        "clicks spooled": deferred.spooled,
      },
      invariants,
    };
  } finally {
    clearInterval(timer);
    await scene?.close();
    if (options.keep) options.say(`kept: ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}
