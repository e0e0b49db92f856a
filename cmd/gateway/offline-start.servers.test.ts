/**
 * A gateway that is killed and started again while the broker, Redis and every actor host are gone:
 * real processes, a real broker, a real Redis, the real ClickHouse engine.
 */
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { brokerLacks } from "../../actors/adapters/kafka/kafka.fixture.ts";
import { startKafka, type KafkaServer } from "../../testing/servers/kafka.ts";
import { freePorts } from "../../testing/servers/process.ts";
import { redisLacks, startRedis, type RedisServer } from "../../testing/servers/redis.ts";
import { runToEnd, startProgram, type RunningProgram } from "../lib/program.fixture.ts";

const KEY = "admin-key-of-this-test";
const asAdmin = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const ADS = 20;
const CLICKS = 2_000;
const REPEATS = 300;
const AT_ONCE = 10;
const P99_MS = 1_000;

const lacks = (await brokerLacks()) ?? (await redisLacks());
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(lacks);
describe.skipIf(lacks !== undefined)("a gateway started while all else is down", () => {
  let dir: string;
  let settings: string;
  let broker: KafkaServer;
  let redis: RedisServer;
  let engine: EngineFixture;
  let ports: number[];
  const running: RunningProgram[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

  const start = (name: string, ...args: (string | number)[]): RunningProgram => {
    const program = startProgram(name, ["--config", settings, ...args]);
    running.push(program);
    return program;
  };
  const startGateway = (folder: string, port: number) =>
    start("gateway", "--http-port", port, "--grpc-port", 0, "--data-dir", join(dir, folder));
  const startActor = () => {
    const [port = 0] = ports;
    const data = join(dir, "actor");
    return start(
      "actor",
      "--host-name",
      "actor-0",
      "--grpc-port",
      port,
      "--admin-port",
      0,
      "--data-dir",
      data,
    );
  };
  const assign = () =>
    runToEnd("assign", ["--config", settings, "--hosts", `actor-0=127.0.0.1:${ports[0]}`, "--shards", 4]);
  const url = (path: string) => `http://127.0.0.1:${ports[1]}${path}`;
  const urlOf = (adId: number) => `https://example.com/ads/${adId}`;

  let gateway: RunningProgram;
  let actor: RunningProgram;
  /** Path of a click, and where it must lead. */
  const clicks: { readonly path: string; readonly to: string }[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "adtally-offline-"));
    settings = join(dir, "adtally.yaml");
    [broker, redis, engine] = await Promise.all([
      startKafka({ dir: join(dir, "kafka") }),
      startRedis({ dir: join(dir, "redis") }),
      openEngineFixture(),
    ]);
    const lines = {
      redis_url: redis.url,
      kafka_brokers: [broker.address],
      kafka_partitions: 4,
      kafka_replication: 1,
      kafka_min_insync: 1,
      clickhouse_url: engine.engine.url,
      token_keys_file: join(dir, "token-keys.json"),
      admin_key: KEY,
    };
    await writeFile(settings, JSON.stringify(lines));
    await runToEnd("token-keys", ["--config", settings]);
    ports = await freePorts(4);
    actor = startActor();
    gateway = startGateway("gateway", ports[1]!);
    expect((await assign()).code).toBe(0);
    await Promise.all([actor.line("ready"), gateway.line("ready")]);
    for (let adId = 1; adId <= ADS; adId++) {
      const ad = { ad_id: String(adId), campaign_id: "5", advertiser_id: "3", destination_url: urlOf(adId) };
      const body = JSON.stringify(ad);
      expect((await fetch(url("/v1/ads"), { method: "POST", headers: asAdmin, body })).status).toBe(201);
      const wanted = JSON.stringify({ ad_id: String(adId), count: CLICKS / ADS });
      const answer = await fetch(url("/v1/impressions"), { method: "POST", headers: asAdmin, body: wanted });
      const { impressions } = (await answer.json()) as { impressions: { click_url: string }[] };
      for (const { click_url: clickUrl } of impressions) {
        clicks.push({ path: `/click${new URL(clickUrl).search}`, to: urlOf(adId) });
      }
    }
    expect(clicks).toHaveLength(CLICKS);
  });
  afterAll(async () => {
    agent.destroy();
    for (const program of running) program.signal("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
    await engine.close();
    await Promise.all([broker.kill(), redis.kill()]);
    await rm(dir, { recursive: true, force: true });
  });

  const click = (path: string) =>
    new Promise<{ readonly status: number; readonly to: string | undefined; readonly tookMs: number }>(
      (resolve, reject) => {
        const sentAt = performance.now();
        request(url(path), { agent }, (answer) => {
          answer.resume().on("end", () => {
            const { statusCode: status = 0, headers } = answer;
            resolve({ status, to: headers.location, tookMs: performance.now() - sentAt });
          });
        })
          .on("error", reject)
          .end();
      },
    );
  const readiness = async (port: number) => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
    return { status: answer.status, text: await answer.text() };
  };
  const counted = async () => {
    const [sums] = await engine.clickhouse.rows<{ clicks: string; duplicates: string }>(
      "SELECT sum(clicks) AS clicks, sum(duplicates) AS duplicates FROM adtally.click_counts FINAL",
    );
    return { clicks: Number(sums?.clicks), duplicates: Number(sums?.duplicates) };
  };

  test("redirects each click from its own copies, and loses none: p99 under 100 ms", async () => {
    actor.signal("SIGKILL");
    await Promise.all([broker.kill(), redis.kill(), actor.ended]);
    gateway.signal("SIGKILL");
    await gateway.ended;
    const beganAt = performance.now();
    gateway = startGateway("gateway", ports[1]!);
    await gateway.line("ready");
    const startedMs = performance.now() - beganAt;
    expect(await readiness(ports[1]!)).toMatchObject({ status: 200 });

    // Repeats among them: the same links once more.
    const sent = [...clicks, ...clicks.slice(0, REPEATS)];
    const tookMs: number[] = [];
    const wrong: unknown[] = [];
    for (let at = 0; at < sent.length; at += AT_ONCE) {
      const answers = await Promise.all(sent.slice(at, at + AT_ONCE).map(({ path }) => click(path)));
      for (const [n, answer] of answers.entries()) {
        tookMs.push(answer.tookMs);
        if (answer.status !== 302 || answer.to !== sent[at + n]!.to) wrong.push(answer);
      }
      await sleep(5);
    }
    tookMs.sort((a, b) => a - b);
    const percentile = (share: number) => tookMs[Math.ceil(tookMs.length * share) - 1]!.toFixed(1);
    console.info(
      `ready ${startedMs.toFixed(0)} ms after its start, the log gone; ${sent.length} clicks: ` +
        `p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms, longest ${percentile(1)} ms`,
    );
    expect(wrong).toEqual([]);
    expect(Number(percentile(0.99))).toBeLessThan(P99_MS);
    // Durable, and not in memory alone: the process dies once more before anything is drained.
    gateway.signal("SIGKILL");
    await gateway.ended;
    gateway = startGateway("gateway", ports[1]!);
    await gateway.line("ready");
  });

  test("says why it is not ready on its very first start: it has no copy to go on from", async () => {
    const first = startGateway("first", ports[2]!);
    await first.line("waiting");
    await expect
      .poll(async () => (await readiness(ports[2]!)).text, { timeout: 20_000 })
      .toMatch(/the catalogue: there is no copy of it in the data directory.*no broker answers/s);
    expect((await readiness(ports[2]!)).status).toBe(503);
    first.signal("SIGKILL");
    await first.ended;
  });

  test("counts each of them once when all is back, and empties its spool", async () => {
    await Promise.all([broker.restart(), redis.restart()]);
    // Redis came back empty.
    expect((await assign()).code).toBe(0);
    actor = startActor();
    await actor.line("ready");
    await expect
      .poll(counted, { timeout: 60_000, interval: 200 })
      .toEqual({ clicks: CLICKS, duplicates: expect.any(Number) as number });
    const blocks = async () =>
      /adtally_gateway_spool_blocks (\d+)/.exec(await (await fetch(url("/metrics"))).text())?.[1];
    await expect.poll(blocks, { timeout: 30_000, interval: 200 }).toBe("0");
    expect(await counted()).toMatchObject({ clicks: CLICKS });
    const folder = join(dir, "gateway", "spool");
    const sizes = await Promise.all(
      (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(16 * 1024 * 1024);
    // Each repeat was found to be one; blocks that were drained twice over the kill add to them.
    expect((await counted()).duplicates).toBeGreaterThanOrEqual(REPEATS);
    expect(await readiness(ports[1]!)).toMatchObject({ status: 200 });
  });
});

describe.runIf(lacks !== undefined)("a gateway started while all else is down", () => {
  it.skip(`not available: ${lacks}`);
});
