/**
 * How long a shard is away when it moves from one living actor host to another, under load:
 *
 *   node loadtest/shard-move.ts [--moves 10] [--rate 100] [--behind 200000] [--publish-in files|redis]
 *                               [--fresh] [--timeline] [--json]
 *
 * Each move takes the shard, with all else that its host has, to the other host. Of each: from the
 * source's last acknowledged click to the target's first (below 0: both served meanwhile), told
 * apart by the epoch of the block that a click's answer names; the longest time in which no click
 * was acknowledged; and the slowest click of each protocol. `--behind` clicks stand in the log
 * before; `--fresh` takes the target's store away, so that it begins with nothing but log and counts.
 * Exits with 1 where a click failed.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCluster, type ActorMember } from "../cmd/cluster/cluster.ts";
import { openLogOf } from "./exactly-once-cluster/state.ts";
import { createAds } from "./lib/ads.ts";
import { ADMIN_KEY } from "./lib/program.ts";
import { createSigner } from "./lib/tokens.ts";
import { sleep } from "./lib/wait.ts";
import { fill, startTrickle, type SentClick } from "./shard-move/clicks.ts";
import { untilServing } from "./shard-move/served.ts";
import { timeline } from "./shard-move/timeline.ts";

const SHARD = 0;
const READ_BYTES = 8 * 1024 * 1024;
const MOVED_DEADLINE_MS = 60_000;
const BEFORE_MS = 500;
const AFTER_MS = 1_500;

const { values: flags } = parseArgs({
  options: {
    moves: { type: "string", default: "10" },
    rate: { type: "string", default: "100" },
    behind: { type: "string", default: "200000" },
    "publish-in": { type: "string", default: "files" },
    fresh: { type: "boolean", default: false },
    timeline: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const publishIn = flags["publish-in"] === "redis" ? "redis" : "files";

interface Move {
  readonly beganAt: number;
  readonly servedAt: number;
  readonly endedAt: number;
}

const dir = await mkdtemp(join(tmpdir(), "adtally-shard-move-"));
const cluster = await startCluster({
  dir,
  actors: 2,
  gateways: 1,
  shards: 1,
  publishIn,
  adminKey: ADMIN_KEY,
});
const log = openLogOf(cluster);
try {
  const [gateway] = cluster.gateways;
  const [one, other] = cluster.actors as [ActorMember, ActorMember];
  await cluster.assign([one.name]);
  const [ad] = await createAds(gateway!.url, 1);
  const signer = await createSigner(cluster.dir);
  await fill(gateway!, signer, ad!.adId, Number(flags.behind));
  await untilServing(one, 1, MOVED_DEADLINE_MS);

  const trickle = startTrickle(gateway!, signer, ad!.adId, Number(flags.rate));
  const moves: Move[] = [];
  for (let n = 0; n < Number(flags.moves); n++) {
    const target = n % 2 === 0 ? other : one;
    if (flags.fresh) await rm(join(dir, target.name, "state"), { recursive: true, force: true });
    await sleep(BEFORE_MS);
    const [beganAt, beganEpochMs] = [performance.now(), Date.now()];
    await cluster.assign([target.name]);
    await untilServing(target, 1, MOVED_DEADLINE_MS);
    const servedAt = performance.now();
    await sleep(AFTER_MS);
    moves.push({ beganAt, servedAt, endedAt: performance.now() });
    if (!flags.timeline) continue;
    console.log(`move ${n + 1} to ${target.name}`);
    for (const line of await timeline(cluster, beganEpochMs, Date.now())) console.log(line);
  }
  await trickle.stop();
  const epochs = await epochsByOffset();
  report(moves, trickle.clicks, epochs);
  if (trickle.clicks.some(({ answer }) => answer === "failed")) process.exitCode = 1;
} finally {
  await log.close();
  await cluster.killAll();
  await rm(dir, { recursive: true, force: true });
}

async function epochsByOffset(): Promise<readonly number[]> {
  const clicks = log.topic("clicks");
  const { next } = await clicks.bounds(SHARD);
  const epochs: number[] = [];
  while (epochs.length < next) {
    for (const { header, offset } of await clicks.read(SHARD, epochs.length, READ_BYTES)) {
      epochs[offset] = header.epoch;
    }
  }
  return epochs;
}

function report(moves: readonly Move[], all: readonly SentClick[], epochs: readonly number[]): void {
  const owners = [...new Set(epochs)].sort((a, b) => a - b).slice(-moves.length - 1);
  const rows = moves.map(({ beganAt, endedAt, servedAt }, n) => {
    const clicks = all.filter(
      ({ endedAt: at, sentAt }) => at >= beganAt - BEFORE_MS / 2 && sentAt <= endedAt,
    );
    const acks = clicks.filter(({ answer }) => answer === "acked");
    const ackedBy = (epoch: number | undefined) =>
      acks
        .filter(({ offset }) => offset !== undefined && epochs[offset] === epoch)
        .map(({ endedAt: at }) => at);
    const times = acks.map(({ endedAt: at }) => at).sort((a, b) => a - b);
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    const slowest = (way: string) =>
      Math.max(
        0,
        ...clicks.filter((click) => click.way === way).map((click) => click.endedAt - click.sentAt),
      );
    const count = (answer: string) => clicks.filter((click) => click.answer === answer).length;
    return {
      move: n + 1,
      "target serves after": Math.round(servedAt - beganAt),
      unavailable: Math.round(Math.min(...ackedBy(owners[n + 1])) - Math.max(...ackedBy(owners[n]))),
      "no ack for": Math.round(Math.max(0, ...gaps)),
      "slowest gRPC": Math.round(slowest("grpc")),
      "slowest HTTP": Math.round(slowest("http")),
      deferred: count("deferred"),
      failed: count("failed"),
    };
  });
  if (flags.json) return console.log(JSON.stringify({ test: "shard-move", publishIn, rows }));
  const stores = flags.fresh ? "the target's store taken away" : "stores as they are";
  console.log(
    `a shard that moves; published in ${publishIn}, ${flags.behind} clicks behind, ${stores}; in ms`,
  );
  console.table(rows);
}
