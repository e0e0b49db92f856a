/**
 * Shards that move between living hosts, between a stopped and a living one, and while ClickHouse is
 * down; all under clicks, of which none may fail, be lost, or count twice. Told by Redis alone.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { processState } from "../../loadtest/exactly-once-cluster/state.ts";
import { createAds } from "../../loadtest/lib/ads.ts";
import { ADMIN_KEY } from "../../loadtest/lib/program.ts";
import { countedClicks, rawClicks } from "../../loadtest/lib/scene.ts";
import { createSigner, type Signer } from "../../loadtest/lib/tokens.ts";
import { startTrickle } from "../../loadtest/shard-move/clicks.ts";
import { untilServing } from "../../loadtest/shard-move/served.ts";
import { startCluster, type ActorMember, type Cluster } from "./cluster.ts";

const SHARDS = 2;
const ADS = 8;
/** Clicks a second on each ad by each protocol. */
const RATE = 10;
const STOPPED_MS = 6_000;
const MOVED_MS = 30_000;
const SETTLED_MS = 40_000;

const dir = mkdtempSync(path.join(tmpdir(), "adtally-moves-"));
let cluster: Cluster;
let clickhouse: ClickHouse;
let signer: Signer;
let ads: readonly bigint[];
let one: ActorMember;
let other: ActorMember;
let sent = 0;

beforeAll(async () => {
  cluster = await startCluster({ dir, actors: 2, shards: SHARDS, publishIn: "redis", adminKey: ADMIN_KEY });
  clickhouse = connectClickHouse({ url: cluster.engine.url });
  signer = await createSigner(dir);
  ads = (await createAds(cluster.gateways[0]!.url, ADS)).map(({ adId }) => adId);
  [one, other] = cluster.actors as [ActorMember, ActorMember];
  await cluster.assign([one.name]);
  await served(one, SHARDS);
});
afterAll(async () => {
  await clickhouse?.close();
  await cluster?.killAll();
  rmSync(dir, { recursive: true, force: true });
});

const served = (actor: ActorMember, shards: number) => untilServing(actor, shards, MOVED_MS);

/**
 * Clicks on some ads of every shard through every gateway while `work` goes on; then every click so
 * far is held against the counts and the raw rows.
 */
async function underClicks(work: () => Promise<void>): Promise<void> {
  const trickles = ads.map((ad, n) =>
    startTrickle(cluster.gateways[n % cluster.gateways.length]!, signer, ad, RATE),
  );
  try {
    await work();
  } finally {
    await Promise.all(trickles.map((trickle) => trickle.stop()));
    sent += trickles.reduce((sum, { clicks }) => sum + clicks.length, 0);
  }
  const clicks = trickles.flatMap((trickle) => trickle.clicks);
  expect(clicks.length).toBeGreaterThan(ADS);
  expect(clicks.filter(({ answer }) => answer === "failed")).toEqual([]);
  const polling = { timeout: SETTLED_MS, interval: 250 };
  await expect.poll(() => countedClicks(clickhouse).catch(() => -1), polling).toBe(sent);
  await expect.poll(() => rawClicks(clickhouse), polling).toBe(sent);
}

test("shards that move back and forth under clicks: not one fails, each counts once", () =>
  underClicks(async () => {
    for (const target of [other, one, other, one]) {
      await cluster.assign([target.name]);
      await served(target, SHARDS);
      await served(target === one ? other : one, 0);
    }
  }));

test("fault 2: a host is stopped, its shards go to another, it wakes: no click is lost, doubled or failed", () =>
  underClicks(async () => {
    await sleep(500);
    const { pid } = one;
    one.signal("SIGSTOP");
    const stoppedAt = performance.now();
    await sleep(1_000);
    expect(await processState(pid!)).toBe("T");
    await cluster.assign([other.name]);
    await served(other, SHARDS);
    await sleep(Math.max(0, STOPPED_MS - (performance.now() - stoppedAt)));
    expect(await processState(pid!)).toBe("T");
    one.signal("SIGCONT");
    await served(one, 0);
    await sleep(500);
    expect(one.pid).toBe(pid);
  }));

test("shards that move while ClickHouse is down: the move ends, and their counts arrive after", () =>
  underClicks(async () => {
    await cluster.engine.kill();
    await sleep(1_000);
    await cluster.assign([one.name]);
    await served(one, SHARDS);
    await served(other, 0);
    expect(cluster.engine.isRunning).toBe(false);
    await cluster.engine.start();
  }));
