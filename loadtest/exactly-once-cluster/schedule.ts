/**
 * Which fault comes when, while clicks come. Each part is killed in turn, then at random; beside
 * that one host sleeps, and while it does, hosts die in mid-move and lose their volume:
 *
 *   broker and all hosts away ─► one host stopped, its shards moved ──────────────► woken
 *                             └► kills in turn ─► kills at random ────────────────┘
 *                             └► volume lost ─► source killed in mid-move ─► target
 *                             └► ClickHouse away for long
 *
 * What touches the same part takes turns (`createTurns`); everything else overlaps as it comes.
 */
import type { SeededRandom } from "../../actors/sim/random.ts";
import type { ActorMember, Cluster } from "../../cmd/cluster/cluster.ts";
import { sleep } from "../lib/wait.ts";
import { createRecorder, createTurns, killAndStart, untilServed, type Fault } from "./faults.ts";
import { killInMidMove, type Victim } from "./moves.ts";
import { engineAway, logAndActorsAway, loseVolume, stopAndMove, wake, type Absence } from "./steps.ts";

export const KILLED = ["actor", "gateway", "broker", "redis", "clickhouse"] as const;
export type Killed = (typeof KILLED)[number];

export const STEPS = ["pause", "move", "volume", "engine-away", "log-and-actors-away"] as const;
export type Step = (typeof STEPS)[number];

/** A part stays down for up to this long before it is started again. */
const DOWN_MOST_MS = 1_500;
const LOOK_MS = 20;

export interface FaultOptions {
  readonly cluster: Cluster;
  readonly clicks: number;
  /** Kills of each kind. */
  readonly each: number;
  readonly kinds: readonly Killed[];
  readonly steps: readonly Step[];
  readonly pauseMs: number;
  readonly engineAwayMs: number;
  readonly logAndActorsAwayMs: number;
  readonly random: SeededRandom;
  readonly released: () => number;
  /** Told when no more fault needs clicks under way. */
  readonly onLast: () => void;
  /** Settles once every click has had its answer, or has been given up. */
  readonly allSent: Promise<unknown>;
  readonly say: (line: string) => void;
}

export interface Fired {
  readonly faults: readonly Fault[];
  /** When gateways had nothing behind them, if ever. */
  readonly absence: Absence | undefined;
}

/** Runs all faults; resolves once each is over. @throws Error where one did not fire, or did not heal */
export async function runFaults(options: FaultOptions): Promise<Fired> {
  const { cluster, clicks, each, kinds, steps, random, released, say } = options;
  const recorder = createRecorder(released, say);
  const inTurn = createTurns<Killed>();
  let asleep: ActorMember | undefined;
  let absence: Absence | undefined;
  const awake = () => cluster.actors.filter((actor) => actor !== asleep);
  const hostsNow = () => awake().map(({ name }) => name);
  const reached = async (share: number) => {
    while (released() < Math.floor(clicks * share)) await sleep(LOOK_MS);
  };

  function kill(kind: Killed): Promise<void> {
    const downMs = random.next() * DOWN_MOST_MS;
    const pick = random.next();
    const anyOf = <T>(items: readonly T[]): T => items[Math.floor(pick * items.length)]!;
    return inTurn([kind], async () => {
      if (kind === "actor") {
        const actor = anyOf(awake());
        return recorder.fire("kill", `SIGKILL ${actor.name}`, async () => {
          const proof = await killAndStart(actor, downMs, "alive");
          await untilServed(cluster, hostsNow());
          return proof;
        });
      }
      const one = { broker: cluster.broker, redis: cluster.redis, clickhouse: cluster.engine };
      const member = kind === "gateway" ? anyOf(cluster.gateways) : one[kind];
      return recorder.fire("kill", `SIGKILL ${member.name}`, () => killAndStart(member, downMs));
    });
  }

  const wants = (step: Step) => steps.includes(step);
  async function allAway(): Promise<void> {
    if (!wants("log-and-actors-away")) return;
    await reached(0.02);
    await inTurn(["actor", "broker", "gateway"], () =>
      recorder.fire("outage", "SIGKILL broker and all actor hosts", async () => {
        const away = await logAndActorsAway(cluster, options.logAndActorsAwayMs);
        absence = away.absence;
        return away.proof;
      }),
    );
  }

  /** Resolves when shards have moved; `over` once the host is awake and serves again. */
  async function pause(): Promise<{ readonly over: Promise<void> }> {
    const { promise: moved, resolve } = Promise.withResolvers<void>();
    const actor = random.pick(cluster.actors);
    const over = recorder.fire("pause", `SIGSTOP ${actor.name}, its shards moved, SIGCONT`, async () => {
      const stopped = await inTurn(["actor"], () => {
        asleep = actor;
        return stopAndMove(cluster, actor, hostsNow());
      });
      resolve();
      await sleep(Math.max(0, options.pauseMs - stopped.movedMs));
      return inTurn(["actor"], async () => {
        const proof = await wake(cluster, actor, stopped);
        asleep = undefined;
        return proof;
      });
    });
    await Promise.race([moved, over]);
    return { over };
  }

  async function moves(): Promise<void> {
    if (!wants("move")) return;
    for (const which of ["source", "target"] satisfies Victim[]) {
      await inTurn(["actor"], () => {
        const victim = random.pick(awake());
        return recorder.fire("move", `SIGKILL ${victim.name}, ${which} of moving shards`, () =>
          killInMidMove(cluster, which, victim, hostsNow(), random),
        );
      });
    }
  }

  async function volume(): Promise<void> {
    if (!wants("volume")) return;
    await inTurn(["actor", "clickhouse"], () => {
      const victim = random.pick(awake());
      return recorder.fire("volume", `SIGKILL ${victim.name}, its volume deleted`, () =>
        loseVolume(cluster, victim, hostsNow()),
      );
    });
  }

  async function clickhouseAway(): Promise<void> {
    if (!wants("engine-away")) return;
    await reached(0.4);
    await inTurn(["clickhouse"], () =>
      recorder.fire("outage", "SIGKILL clickhouse, for long", () =>
        engineAway(cluster, options.engineAwayMs),
      ),
    );
  }

  async function kills(): Promise<void> {
    if (each === 0) return;
    const inTurnTimes = kinds.map((kind, i) => ({ kind, share: 0.1 + (0.25 * i) / kinds.length }));
    const atRandom = Array.from({ length: each - 1 }, () => kinds).flat();
    const randomTimes = atRandom.map((kind) => ({ kind, share: 0.35 + 0.45 * random.next() }));
    const times = [...inTurnTimes, ...randomTimes];
    await Promise.all(times.map(({ kind, share }) => reached(share).then(() => kill(kind))));
  }

  await allAway();
  const paused = wants("pause") && options.pauseMs > 0 ? await pause() : { over: Promise.resolve() };
  const sequence = async () => {
    await volume();
    await moves();
  };
  await Promise.all([paused.over, sequence(), clickhouseAway(), kills()]);
  options.onLast();
  // No later click papers over what ClickHouse failed to take then.
  if (kinds.includes("clickhouse") && each > 0) {
    await options.allSent;
    await kill("clickhouse");
  }
  return { faults: recorder.faults, absence };
}
