/**
 * An actor host killed in the middle of a shard move: the one that gives shards away, or the one
 * that takes them on.
 *
 * A move has begun when one of the hosts says so of a shard, and is over when each shard that
 * moves was let go by its source and taken by its target. The kill comes in between, or it is
 * no such kill, and the shards move once more.
 */
import type { ActorMember, Cluster } from "../../cmd/cluster/cluster.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { sleep, until } from "../lib/wait.ts";
import { killSurely, SERVE_DEADLINE_MS, untilServed } from "./faults.ts";
import { tailOf, type LogTail } from "./log-tail.ts";
import { assigned } from "./state.ts";

export type Victim = "source" | "target";

const TRIES = 6;
/** After the first word of the move. */
const STRIKE_MOST_MS = 20;
/** Until what a killed process said last is in its file. */
const LAST_WORDS_MS = 200;
const LOOK_MS = 2;

interface Move {
  readonly from: readonly string[];
  readonly to: readonly string[];
}

interface Progress {
  readonly released: number;
  readonly acquired: number;
}

async function progressOf(tails: readonly LogTail[]): Promise<Progress> {
  const lines = (await Promise.all(tails.map((tail) => tail.lines()))).flat();
  const count = (msg: string) => lines.filter((line) => line.msg === msg).length;
  return { released: count("released"), acquired: count("acquired") };
}

/** Undefined where the move was over before the kill. */
async function strike(
  cluster: Cluster,
  victim: ActorMember,
  { from, to }: Move,
  delayMs: number,
): Promise<string | undefined> {
  await cluster.assign(from);
  await untilServed(cluster, from);
  const before = await assigned(cluster);
  const involved = cluster.actors.filter(({ name }) => from.includes(name) || to.includes(name));
  const tails = await Promise.all(involved.map(({ logFile }) => tailOf(logFile)));
  await cluster.assign(to);
  const after = await assigned(cluster);
  const moving = [...after].filter(([shard, host]) => before.get(shard) !== host).length;
  const beganAt = performance.now();
  await until(
    "a shard's move",
    SERVE_DEADLINE_MS,
    async () => {
      const { released, acquired } = await progressOf(tails);
      return released + acquired > 0 ? true : undefined;
    },
    LOOK_MS,
  );
  await sleep(delayMs);
  const [pid] = await killSurely([victim]);
  const tookMs = Math.round(performance.now() - beganAt);
  // Others go on moving while a dead one's last words arrive: what they say now counts as said before.
  const others = await progressOf(tails.filter((_, i) => involved[i] !== victim));
  await sleep(LAST_WORDS_MS);
  const own = await progressOf(tails.filter((_, i) => involved[i] === victim));
  const released = own.released + others.released;
  const acquired = own.acquired + others.acquired;
  if (released >= moving && acquired >= moving) return undefined;
  return `pid ${pid} killed ${tookMs} ms after the order, ${released} let go and ${acquired} taken of ${moving} shards`;
}

/** @returns the proof. @throws Error where no kill came in time */
export async function killInMidMove(
  cluster: Cluster,
  which: Victim,
  victim: ActorMember,
  hosts: readonly string[],
  random: SeededRandom,
): Promise<string> {
  const without = hosts.filter((name) => name !== victim.name);
  const move = which === "source" ? { from: hosts, to: without } : { from: without, to: hosts };
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const proof = await strike(cluster, victim, move, random.next() * STRIKE_MOST_MS);
    // The source is not needed any more; a target is.
    if (which === "source") await untilServed(cluster, without);
    await victim.start("alive");
    await cluster.assign(hosts);
    await untilServed(cluster, hosts);
    if (proof !== undefined) return attempt === 1 ? proof : `${proof}, at attempt ${attempt}`;
  }
  throw new Error(`${victim.name}: ${TRIES} moves were over before the kill`);
}
