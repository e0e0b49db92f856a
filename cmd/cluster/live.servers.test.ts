/**
 * Live streams of a whole cluster, over Redis: a client that connects again whenever it has to is told
 * of every second, and of every click once, whatever is killed meanwhile.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { v7 } from "uuid";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createGrpcClicks } from "../../loadtest/lib/grpc-client.ts";
import { startCluster, type Cluster } from "./cluster.ts";

const AD = 77n;
const SETTLED = { timeout: 60_000, interval: 250 };
const dir = mkdtempSync(path.join(tmpdir(), "adtally-live-"));
let cluster: Cluster;
let sent = 0;
let clicks: { isOver: boolean; readonly done: Promise<void> };

beforeAll(async () => {
  cluster = await startCluster({ dir, gateways: 1, actors: 2, shards: 2, publishIn: "redis" });
  const headers = { authorization: `Bearer ${cluster.adminKey}`, "content-type": "application/json" };
  const ad = {
    ad_id: String(AD),
    campaign_id: "7",
    advertiser_id: "1",
    destination_url: "https://example.com/",
  };
  const made = await fetch(`${cluster.gateways[0]!.url}/v1/ads`, {
    method: "POST",
    headers,
    body: JSON.stringify(ad),
  });
  expect(made.status).toBe(201);
});
afterAll(async () => {
  if (clicks !== undefined) clicks.isOver = true;
  await clicks?.done;
  await cluster?.killAll();
  rmSync(dir, { recursive: true, force: true });
});

/** Some clicks every now and then, by click ids: each counts, at the latest by the spill. */
function startClicks(): typeof clicks {
  const grpc = createGrpcClicks(cluster.gateways[0]!.grpcAddress, cluster.adminKey);
  const state = { isOver: false };
  const send = async () => {
    for (; !state.isOver; await sleep(100)) {
      const batch = [1, 2, 3].map(() => ({ clickId: v7({}, Buffer.alloc(16)), adId: AD }));
      await grpc.submitClicks(batch);
      sent += batch.length;
    }
    grpc.close();
  };
  return Object.assign(state, { done: send() });
}

interface Second {
  readonly second: string;
  readonly clicks_per_second: number;
  readonly over: boolean;
}

/** As a browser's EventSource: connects again with the last id. */
function startClient() {
  const seconds = new Map<number, Second>();
  const state = { isOver: false, connections: 0, minutes: 0 };
  let lastId: string | undefined;
  let cut = new AbortController();
  const take = (text: string) => {
    const fields = new Map(text.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]));
    lastId = fields.get("id") ?? lastId;
    if (fields.get("event") === "minute") state.minutes += 1;
    if (fields.get("event") !== "second") return;
    const event = JSON.parse(fields.get("data")!) as Second;
    seconds.set(Date.parse(event.second) / 1_000, event);
  };
  const read = async () => {
    const headers = lastId === undefined ? {} : { "last-event-id": lastId };
    cut = new AbortController();
    const response = await fetch(`${cluster.query.url}/v1/reports/live?ad_id=${AD}`, {
      headers,
      signal: cut.signal,
    });
    expect(response.status).toBe(200);
    state.connections += 1;
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of response.body!) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      const events = text.split("\n\n");
      text = events.pop()!;
      events.forEach(take);
    }
  };
  const run = async () => {
    for (; !state.isOver; await sleep(200)) await read().catch(() => undefined);
  };
  const done = run();
  return {
    state,
    seconds,
    sum: () => [...seconds.values()].reduce((sum, event) => sum + event.clicks_per_second, 0),
    missing() {
      const all = [...seconds.keys()].sort((a, b) => a - b);
      return all.slice(1).filter((second, at) => second !== all[at]! + 1);
    },
    async close() {
      state.isOver = true;
      cut.abort();
      await done;
    },
  };
}

async function counted(): Promise<number> {
  const url = `${cluster.query.url}/v1/reports/clicks?ad_id=${AD}&granularity=1h`;
  const report = (await (await fetch(url)).json()) as { total: { clicks: number } };
  return report.total.clicks;
}

test("fault 1: the query service and an actor host killed under clicks, and started again: a client that comes back has every second, and their sum is the report's", async () => {
  const client = startClient();
  await expect.poll(() => client.state.connections, SETTLED).toBe(1);
  await expect.poll(() => client.seconds.size, SETTLED).toBeGreaterThan(2);
  clicks = startClicks();
  await expect.poll(() => client.sum(), SETTLED).toBeGreaterThan(30);

  const { actors, query } = cluster;
  await query.kill();
  await sleep(3_000);
  await query.start();
  await expect.poll(() => client.state.connections, SETTLED).toBe(2);
  await actors[0]!.kill();
  await actors[0]!.start();
  await sleep(2_000);
  // In good order too: it ends its streams by name.
  await query.stop();
  expect(query.exitCode).toBe(0);
  await query.start();
  await expect.poll(() => client.state.connections, SETTLED).toBe(3);
  await sleep(1_000);
  clicks.isOver = true;
  await clicks.done;

  await expect.poll(counted, SETTLED).toBe(sent);
  await expect.poll(() => client.sum(), SETTLED).toBe(sent);
  expect(client.missing()).toEqual([]);
  expect(client.state.minutes).toBe(0);
  await client.close();
});

test("fault 14: what is counted while Redis is away is told when it is back, in its own seconds", async () => {
  // A stream begins with the whole of the running second: not with one that has clicks of before.
  await sleep(2_000);
  const client = startClient();
  await expect.poll(() => client.seconds.size, SETTLED).toBeGreaterThan(2);
  const before = sent;
  clicks = startClicks();
  await sleep(2_000);
  await cluster.redis.kill();
  await sleep(4_000);
  await cluster.redis.start();
  await cluster.assign(cluster.actors.map(({ name }) => name));
  await sleep(2_000);
  clicks.isOver = true;
  await clicks.done;
  await expect.poll(counted, SETTLED).toBe(sent);
  await expect.poll(() => client.sum(), SETTLED).toBe(sent - before);
  expect(client.missing()).toEqual([]);
  expect(client.state.connections).toBe(1);
  await client.close();
});
