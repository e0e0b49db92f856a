/** The whole cluster: every part a process, over real servers, speaking TLS wherever it can. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createGrpcClicks } from "../../loadtest/lib/grpc-client.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import { isAlive } from "../../testing/servers/hold.ts";
import { startCluster, type ActorMember, type Cluster, type GatewayMember } from "./cluster.ts";
import { createReader } from "./read.ts";
import { sumBy } from "./samples.ts";
import { statusOf, type Reading } from "./status.ts";

const AD = "77";
const QUERYABLE_MS = 3_000;
const RECOVERED_MS = 30_000;
/** Files are looked at every ten seconds. */
const RENEWED_MS = 25_000;

const dir = mkdtempSync(path.join(tmpdir(), "adtally-cluster-"));
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ dir, shards: 4, tls: true });
});
afterAll(async () => {
  await cluster?.killAll();
  rmSync(dir, { recursive: true, force: true });
});

async function api(gateway: GatewayMember, route: string, body: object): Promise<unknown> {
  const response = await fetch(`${gateway.url}${route}`, {
    method: "POST",
    headers: { authorization: `Bearer ${cluster.adminKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${route} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}

async function tokens(gateway: GatewayMember, count: number): Promise<string[]> {
  const answer = (await api(gateway, "/v1/impressions", { ad_id: AD, count })) as {
    impressions: { token: string }[];
  };
  return answer.impressions.map(({ token }) => token);
}

async function clickByHttp(gateway: GatewayMember, token: string): Promise<number> {
  const response = await fetch(`${gateway.url}/click?i=${token}`, { redirect: "manual" });
  await response.body?.cancel();
  return response.status;
}

/** Clients of the public port know its authority, and nothing else of TLS. */
const trusting = () => credentials.createSsl(readFileSync(cluster.secured!.caPath));

/** The serial number that a server's certificate shows now. */
function serialAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

async function counted(): Promise<{ clicks: number; duplicates: number }> {
  const url = `${cluster.query.url}/v1/reports/clicks?ad_id=${AD}&granularity=1h`;
  const response = await fetch(url);
  const { total } = (await response.json()) as { total: { clicks: number; duplicates: number } };
  return { clicks: total.clicks, duplicates: total.duplicates };
}

/** A click that came to a shard late and had been spilled by then comes twice: that is no second click. */
const clicks = async (): Promise<number> => (await counted()).clicks;

async function readOnce(): Promise<Reading> {
  const reader = createReader(cluster);
  try {
    return await reader.read();
  } finally {
    await reader.close();
  }
}

const deferredClicks = async (): Promise<number> => {
  const { deferred } = statusOf(await readOnce(), undefined, cluster.shards);
  return deferred.spill + deferred.spool;
};

/** The actor host that has counted: an ad that is not split has one shard. */
async function ownerOfTheAd(): Promise<ActorMember> {
  const { members } = await readOnce();
  const has = members.find(({ samples }) =>
    [...sumBy(samples, "adtally_shard_clicks", "shard").values()].some((clicks) => clicks > 0),
  );
  return cluster.actors.find(({ name }) => name === has?.name)!;
}

test("clicks through both gateways and both protocols are counted once, and seen at once", async () => {
  const [first, second] = cluster.gateways as [GatewayMember, GatewayMember];
  const ad = { ad_id: AD, campaign_id: "7", advertiser_id: "1", title: "Shoes" };
  await api(first, "/v1/ads", { ...ad, destination_url: "https://example.com/" });
  const issued = await tokens(first, 40);
  const byHttp = issued.slice(0, 20);
  const byGrpc = issued.slice(20);

  // The second gateway learns of the ad from the log, in its own time.
  await expect.poll(() => clickByHttp(second, byHttp[0]!), { timeout: 20_000 }).toBe(302);
  for (const [i, token] of byHttp.entries()) {
    expect(await clickByHttp(i % 2 === 0 ? first : second, token)).toBe(302);
  }
  for (const [i, gateway] of [first, second].entries()) {
    const grpc = createGrpcClicks(gateway.grpcAddress, cluster.adminKey, trusting());
    const batch = byGrpc
      .slice(10 * i, 10 * i + 10)
      .map((token) => ({ token: Buffer.from(token, "base64url") }));
    const verdicts = await grpc.submitClicks(batch);
    grpc.close();
    expect(verdicts).toEqual(batch.map(() => Verdict.ACCEPTED));
  }
  await expect.poll(clicks, { timeout: QUERYABLE_MS, interval: 50 }).toBe(40);
  expect((await counted()).duplicates).toBeGreaterThan(0);
});

test("nobody is spoken to in plain text, and broker and Redis want a certificate of the cluster's", async () => {
  const [gateway] = cluster.gateways as [GatewayMember];
  const { broker, query, redis } = cluster;
  for (const port of [gateway.httpPort, query.port])
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
  const plain = createGrpcClicks(gateway.grpcAddress, cluster.adminKey);
  await expect(plain.submitClicks([])).rejects.toThrow(/UNAVAILABLE|14 /);
  plain.close();
  for (const { port } of [broker, redis]) {
    const ended = new Promise<string>((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" }, () => socket.write("PING\r\n"));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
      socket.on("close", () => resolve("closed"));
    });
    expect(await ended).toMatch(/ALERT|ECONNRESET|EPIPE|closed/);
  }
});

test("all certificates are renewed under clicks: none fails, none is lost, metrics tell it", async () => {
  const [first, second] = cluster.gateways as [GatewayMember, GatewayMember];
  const before = await clicks();
  const [one, two] = await Promise.all([serialAt(first.httpPort), serialAt(second.httpPort)]);
  const issued = await tokens(first, 2_000);
  const statuses: number[] = [];
  let isRenewed = false;
  const load = (async () => {
    for (const [i, token] of issued.entries()) {
      if (isRenewed && i > 100) break;
      statuses.push(await clickByHttp(i % 2 === 0 ? first : second, token));
      await sleep(20);
    }
  })();
  await cluster.secured!.renew();
  const renewed = async () =>
    (await serialAt(first.httpPort)) !== one && (await serialAt(second.httpPort)) !== two;
  await expect.poll(renewed, { timeout: RENEWED_MS, interval: 250 }).toBe(true);
  isRenewed = true;
  await load;
  expect(statuses.filter((status) => status !== 302)).toEqual([]);
  await expect.poll(clicks, { timeout: QUERYABLE_MS, interval: 50 }).toBe(before + statuses.length);
  const metrics = await (await fetch(`${first.url}/metrics`)).text();
  for (const of of ["programs", "public", "kafka", "redis"]) {
    const left = new RegExp(`^adtally_certificate_expiry_seconds\\{of="${of}"\\} (\\d+)`, "m").exec(metrics);
    expect(Number(left?.[1])).toBeGreaterThan(364 * 86_400);
  }
});

test("an actor host and a gateway are killed: the others go on, and nothing is lost or counted twice", async () => {
  const [first, second] = cluster.gateways as [GatewayMember, GatewayMember];
  const before = await clicks();
  const issued = await tokens(first, 60);
  const victim = await ownerOfTheAd();
  await Promise.all([victim.kill(), second.kill()]);
  expect(victim.isRunning).toBe(false);
  for (const token of issued.slice(0, 30)) expect(await clickByHttp(first, token)).toBe(302);
  expect(await deferredClicks()).toBeGreaterThan(0);

  await cluster.assign(cluster.actors.map(({ name }) => name).filter((name) => name !== victim.name));
  for (const token of issued.slice(30)) expect(await clickByHttp(first, token)).toBe(302);
  await expect.poll(clicks, { timeout: RECOVERED_MS }).toBe(before + 60);

  await cluster.assign(cluster.actors.map(({ name }) => name));
  await Promise.all([victim.start(), second.start()]);
  expect([victim.restarts, second.restarts]).toEqual([1, 1]);
  const [last] = await tokens(second, 1);
  expect(await clickByHttp(second, last!)).toBe(302);
  await expect.poll(clicks, { timeout: RECOVERED_MS }).toBe(before + 61);
});

test("a member that cannot start says why, and its log has it", async () => {
  const [first, second] = cluster.gateways as [GatewayMember, GatewayMember];
  await second.stop();
  const keysFile = path.join(dir, "token-keys.json");
  expect(readFileSync(first.logFile, "utf8")).toContain('"msg":"ready"');
  const whole = readFileSync(keysFile, "utf8");
  writeFileSync(keysFile, "{}");
  await expect(second.start()).rejects.toThrow(/gateway-1 .* ended at its start[^]*token-keys\.json/);
  writeFileSync(keysFile, whole);
  await second.start();
});

test("stopAll ends every program in good order and leaves no process", async () => {
  const pids = cluster.members.map(({ pid }) => pid!);
  expect(pids.every(isAlive)).toBe(true);
  await cluster.stopAll();
  expect(pids.filter(isAlive)).toEqual([]);
  const programs = cluster.members.filter(({ admin }) => admin !== undefined);
  expect(programs.map(({ name, exitCode }) => [name, exitCode])).toEqual(
    programs.map(({ name }) => [name, 0]),
  );
});
