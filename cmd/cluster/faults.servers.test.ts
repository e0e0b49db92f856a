/**
 * Faults 1, 4, 7, 14 and 16 on the whole cluster: actor hosts killed, programs restarted one after
 * the other, the broker away, Redis flushed and away, all under clicks; and clicks later than the
 * watermark. Clicks come as a load balancer would send them: to gateways that say they are ready.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { v7 } from "uuid";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Verdict, verdictName } from "../../actors/core/verdict.ts";
import { seededRandom } from "../../actors/sim/random.ts";
import { createGrpcClicks } from "../../loadtest/lib/grpc-client.ts";
import { startCluster, type Cluster, type GatewayMember } from "./cluster.ts";
import { foldersIn } from "./places.ts";
import { createReader } from "./read.ts";
import { statusOf } from "./status.ts";

const AD = 77n;
const NOTICE_MS = 1_000;
const LOOK_MS = 50;
const BROKER_DOWN_MS = 20_000;
const SETTLED_MS = 40_000;
const REDIRECT_WITHIN_MS = 2_000;
const KILLS = 6;

const dir = mkdtempSync(path.join(tmpdir(), "adtally-faults-"));
let cluster: Cluster;
let headers: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster({ dir, gateways: 2, actors: 2, shards: 4, publishIn: "redis" });
  headers = { authorization: `Bearer ${cluster.adminKey}`, "content-type": "application/json" };
  // For the lives to come: as long as a load balancer needs to see that a gateway leaves.
  appendFileSync(foldersIn(dir).settings, `drain_notice_ms: ${NOTICE_MS}\n`);
  for (const gateway of cluster.gateways) {
    await gateway.stop();
    await gateway.start();
  }
  const ad = { ad_id: String(AD), campaign_id: "7", advertiser_id: "1", title: "Shoes" };
  const body = JSON.stringify({ ...ad, destination_url: "https://example.com/" });
  const made = await fetch(`${cluster.gateways[0]!.url}/v1/ads`, { method: "POST", headers, body });
  expect(made.status).toBe(201);
});
afterAll(async () => {
  await cluster?.killAll();
  rmSync(dir, { recursive: true, force: true });
});

/** What was sent, and what became of it. */
function createClients() {
  const ready = new Set<GatewayMember>(cluster.gateways);
  const grpc = cluster.gateways.map((gateway) => createGrpcClicks(gateway.grpcAddress, cluster.adminKey));
  const failures: string[] = [];
  const verdicts = new Map<string, number>();
  const underWay = new Set<Promise<void>>();
  const sent = { http: 0, grpc: 0, slowestMs: 0 };
  let going = true;
  let turn = 0;

  const isReady = ({ url }: GatewayMember) =>
    fetch(`${url}/readyz`).then(
      async (response) => {
        await response.body?.cancel();
        return response.ok;
      },
      () => false,
    );
  const balance = async (gateway: GatewayMember) => {
    for (; going; await sleep(LOOK_MS)) {
      if (await isReady(gateway)) ready.add(gateway);
      else ready.delete(gateway);
    }
  };

  async function redirect(gateway: GatewayMember): Promise<void> {
    const body = JSON.stringify({ ad_id: String(AD) });
    const issued = await fetch(`${gateway.url}/v1/impressions`, { method: "POST", headers, body });
    const { impressions } = (await issued.json()) as { impressions: { token: string }[] };
    const beganAt = performance.now();
    const target = `${gateway.url}/click?i=${impressions[0]!.token}`;
    const response = await fetch(target, { redirect: "manual" });
    await response.body?.cancel();
    sent.slowestMs = Math.max(sent.slowestMs, performance.now() - beganAt);
    sent.http += 1;
    if (response.status !== 302) failures.push(`HTTP at ${gateway.name}: ${response.status}`);
  }
  async function submit(gateway: GatewayMember): Promise<void> {
    const clicks = [1, 2].map(() => ({ clickId: v7({}, Buffer.alloc(16)), adId: AD }));
    sent.grpc += clicks.length;
    const answers = await grpc[cluster.gateways.indexOf(gateway)]!.submitClicks(clicks);
    for (const verdict of answers)
      verdicts.set(verdictName(verdict), (verdicts.get(verdictName(verdict)) ?? 0) + 1);
  }
  async function sendFor(isEnough: () => boolean): Promise<void> {
    for (; !isEnough(); await sleep(20)) {
      const gateways = [...ready];
      const gateway = gateways[turn++ % gateways.length];
      if (gateway === undefined) {
        failures.push("no gateway is ready");
        continue;
      }
      const work = (turn % 4 < 2 ? redirect(gateway) : submit(gateway)).catch((error: unknown) => {
        failures.push(`at ${gateway.name}: ${String(error)} ${String((error as Error).cause ?? "")}`);
      });
      underWay.add(work);
      void work.then(() => underWay.delete(work));
    }
    await Promise.all(underWay);
  }
  const balancing = cluster.gateways.map(balance);
  return {
    failures,
    verdicts,
    sent,
    sendFor,
    async close() {
      going = false;
      await Promise.all(balancing);
      for (const client of grpc) client.close();
    },
  };
}

async function counted(): Promise<number> {
  const response = await fetch(`${cluster.query.url}/v1/reports/clicks?ad_id=${AD}&granularity=1h`);
  return ((await response.json()) as { total: { clicks: number } }).total.clicks;
}
async function status() {
  const reader = createReader(cluster);
  try {
    // The spool's gauge is of the scrape before.
    await reader.read();
    return statusOf(await reader.read(), undefined, cluster.shards);
  } finally {
    await reader.close();
  }
}
let expected = 0;

test("fault 4: each program is restarted in turn under clicks by HTTP and gRPC, and not one click fails", async () => {
  const clients = createClients();
  let rolled = false;
  const sending = clients.sendFor(() => rolled);
  const { actors, gateways, ingest, query } = cluster;
  for (const member of [...actors, ingest, query, ...gateways]) {
    const { pid, restarts } = member;
    await sleep(500);
    await member.stop();
    expect([member.name, member.exitCode]).toEqual([member.name, 0]);
    await member.start();
    expect([member.name, member.restarts]).toEqual([member.name, restarts + 1]);
    expect(member.pid).not.toBe(pid);
  }
  await sleep(500);
  rolled = true;
  await sending;
  await clients.close();
  expect(clients.failures).toEqual([]);
  expect(clients.sent.http).toBeGreaterThan(100);
  // Where an actor host was away, a click was written down for it.
  const { ACCEPTED = 0, DEFERRED = 0, ...others } = Object.fromEntries(clients.verdicts);
  expect([ACCEPTED + DEFERRED, others]).toEqual([clients.sent.grpc, {}]);
  expected += clients.sent.http + clients.sent.grpc;
  await expect.poll(counted, { timeout: SETTLED_MS, interval: 200 }).toBe(expected);
});

test("fault 7: without the broker browsers are redirected, nothing is called counted, and the spools drain after", async () => {
  const before = (await status()).deferred;
  const clients = createClients();
  await cluster.broker.kill();
  const until = performance.now() + BROKER_DOWN_MS;
  await clients.sendFor(() => performance.now() > until);
  await clients.close();
  expect(cluster.broker.isRunning).toBe(false);
  expect(clients.failures).toEqual([]);
  expect(Object.fromEntries(clients.verdicts)).toEqual({ DEFERRED: clients.sent.grpc });
  expect(clients.sent.slowestMs).toBeLessThan(REDIRECT_WITHIN_MS);
  const { deferred, spoolBlocks } = await status();
  expect(deferred.spool - before.spool).toBe(clients.sent.http + clients.sent.grpc);
  expect(spoolBlocks).toBeGreaterThan(0);

  await cluster.broker.start();
  expected += clients.sent.http + clients.sent.grpc;
  await expect.poll(counted, { timeout: SETTLED_MS, interval: 200 }).toBe(expected);
  await expect.poll(async () => (await status()).spoolBlocks, { timeout: SETTLED_MS }).toBe(0);
});

test("fault 14: Redis flushed, killed and started again under clicks: not one click fails, the counts are unchanged", async () => {
  const { actors, redis } = cluster;
  const clients = createClients();
  let isOver = false;
  const sending = clients.sendFor(() => isOver);
  const client = new Redis(redis.url);
  await sleep(1_000);
  expect(await client.dbsize()).toBeGreaterThan(0);
  await client.flushall();
  await client.quit();
  await sleep(2_000);
  await redis.kill();
  await sleep(5_000);
  await redis.start();
  await cluster.assign(actors.map(({ name }) => name));
  await sleep(1_000);
  isOver = true;
  await sending;
  await clients.close();
  expect(clients.failures).toEqual([]);
  expect(Object.fromEntries(clients.verdicts)).toEqual({ ACCEPTED: clients.sent.grpc });
  expected += clients.sent.http + clients.sent.grpc;
  await expect.poll(counted, { timeout: SETTLED_MS, interval: 200 }).toBe(expected);
});

test("fault 16: a click later than the watermark is a dead letter with its reason, and counts once when replayed", async () => {
  const grpc = createGrpcClicks(cluster.gateways[0]!.grpcAddress, cluster.adminKey);
  const nowMs = Date.now();
  const clickId = v7({ msecs: nowMs - 20 * 60_000 }, Buffer.alloc(16));
  const late = { clickId, adId: AD, clickedAtMs: nowMs - 6 * 60_000 };
  expect(verdictName(await grpc.submitClick(late))).toBe("LATE");
  expect(verdictName(await grpc.submitClick({ ...late, clickedAtMs: nowMs - 7 * 60_000 }))).toBe("LATE");
  grpc.close();
  type Letter = { id: string; ad_id: string; verdict: string; reason: string; click_time: string };
  const letters = async () => {
    const response = await fetch(`${cluster.query.url}/v1/dead-letters`, { headers });
    return ((await response.json()) as { dead_letters: Letter[] }).dead_letters;
  };
  await expect.poll(async () => (await letters()).length, { timeout: 20_000 }).toBe(2);
  const [letter, other] = await letters();
  expect(letter).toMatchObject({ ad_id: String(AD), verdict: "LATE", reason: "CLICK_TIME_TOO_OLD" });
  expect(letter!.click_time).toBe(new Date(late.clickedAtMs).toISOString());
  expect(await counted()).toBe(expected);

  const replay = async (id: string) => {
    const to = `${cluster.query.url}/v1/dead-letters/${id}/replay`;
    const answer = await fetch(to, { method: "POST", headers: { authorization: headers["authorization"]! } });
    return ((await answer.json()) as { verdict: string }).verdict;
  };
  expect(await replay(letter!.id)).toBe("ACCEPTED");
  expect([await replay(letter!.id), await replay(other!.id)]).toEqual([
    verdictName(Verdict.DUPLICATE),
    verdictName(Verdict.DUPLICATE),
  ]);
  expected += 1;
  await expect.poll(counted, { timeout: 20_000 }).toBe(expected);
});

test("fault 1: actor hosts killed with SIGKILL again and again under clicks: each counts once, and a replay of the log agrees", async () => {
  const seed = Number(process.env["ADTALLY_SEED"]);
  const random = seededRandom(seed);
  const { actors, engine } = cluster;
  const clients = createClients();
  let isOver = false;
  const sending = clients.sendFor(() => isOver);
  for (let kill = 0; kill < KILLS; kill++) {
    await sleep(random.below(1_500));
    const victim = random.pick(actors);
    const { pid } = victim;
    await victim.kill();
    if (random.chance(0.5)) await sleep(random.below(1_000));
    await victim.start();
    expect(victim.pid).not.toBe(pid);
  }
  isOver = true;
  await sending;
  await clients.close();
  const context = `seed ${seed}`;
  expect(clients.failures, context).toEqual([]);
  // A click that was taken by the host that died is a repeat when it is sent once more.
  const { ACCEPTED = 0, DEFERRED = 0, DUPLICATE = 0, ...others } = Object.fromEntries(clients.verdicts);
  expect([ACCEPTED + DEFERRED + DUPLICATE, others], context).toEqual([clients.sent.grpc, {}]);
  expect((await status()).deferred.spill, context).toBeGreaterThan(0);
  expected += clients.sent.http + clients.sent.grpc;
  await expect.poll(counted, { timeout: SETTLED_MS, interval: 200 }).toBe(expected);

  // I2: without stores, counts and checkpoints, from the log alone.
  const sql = async (body: string) => {
    const response = await fetch(engine.url, { method: "POST", body });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return text;
  };
  const counts = () =>
    sql(
      `SELECT ad_id, minute, shard, clicks, invalid, duplicates FROM adtally.click_counts FINAL ORDER BY ALL FORMAT CSV`,
    );
  await Promise.all(actors.map((actor) => actor.stop()));
  const before = await counts();
  for (const { name } of actors) rmSync(path.join(foldersIn(dir).of(name), "state"), { recursive: true });
  for (const table of ["click_counts", "shard_checkpoints"]) await sql(`TRUNCATE TABLE adtally.${table}`);
  expect(await counts()).toBe("");
  await Promise.all(actors.map((actor) => actor.start()));
  await expect.poll(counts, { timeout: SETTLED_MS, interval: 200 }).toBe(before);
});
