/**
 * All programs as real processes, over a real broker, a real Redis that holds assignment and
 * routing table, and the real ClickHouse engine, speaking mutual TLS with one another.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { connect } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { brokerLacks } from "../../actors/adapters/kafka/kafka.fixture.ts";
import { startKafka, type KafkaServer } from "../../testing/servers/kafka.ts";
import { freePorts } from "../../testing/servers/process.ts";
import { redisLacks, startRedis, type RedisServer } from "../../testing/servers/redis.ts";
import { makeDevCa } from "../dev-ca/make.ts";
import { runToEnd, startProgram, type RunningProgram } from "./program.fixture.ts";

const KEY = "admin-key-of-this-test";
const asAdmin = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const DRAIN_WITHIN_MS = 20_000;

const lacks = (await brokerLacks()) ?? (await redisLacks());
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(lacks);
describe.skipIf(lacks !== undefined)("the programs of a cluster", () => {
  let dir: string;
  let settings: string;
  let broker: KafkaServer;
  let redis: RedisServer;
  let engine: EngineFixture;
  const running = new Map<string, RunningProgram>();

  /** An ingester serves nobody and calls none of ours. */
  const tls = (name: string): string[] =>
    name === "ingest"
      ? []
      : ["--tls-ca", "ca.crt", "--tls-cert", `${name}.crt`, "--tls-key", `${name}.key`].map((word) =>
          word.startsWith("--") ? word : join(dir, "tls", word),
        );
  const start = (name: string, label: string, args: readonly (string | number)[]): RunningProgram => {
    const program = startProgram(name, ["--config", settings, "--host-name", label, ...tls(name), ...args]);
    running.set(label, program);
    return program;
  };
  const startActor = (label: string, port: number, ...more: (string | number)[]) =>
    start("actor", label, ["--grpc-port", port, "--admin-port", 0, "--data-dir", join(dir, label), ...more]);
  const assign = (hosts: string) =>
    runToEnd("assign", ["--config", settings, "--hosts", hosts, "--shards", 4]);

  let url: string;
  let queryUrl: string;
  let actorPorts: number[];
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "adtally-programs-"));
    settings = join(dir, "adtally.yaml");
    [broker, redis, engine] = await Promise.all([
      startKafka({ dir: join(dir, "kafka") }),
      startRedis({ dir: join(dir, "redis") }),
      openEngineFixture(),
    ]);
    await makeDevCa({
      dir: join(dir, "tls"),
      hosts: ["127.0.0.1"],
      programs: ["gateway", "actor", "query"],
      days: 1,
      over: "nothing",
      nowMs: Date.now(),
    });
    const keysFile = join(dir, "token-keys.json");
    const lines = {
      redis_url: redis.url,
      kafka_brokers: [broker.address],
      kafka_partitions: 4,
      kafka_replication: 1,
      kafka_min_insync: 1,
      clickhouse_url: engine.engine.url,
      token_keys_file: keysFile,
      admin_key: KEY,
      open_reports: true,
    };
    await writeFile(settings, JSON.stringify(lines));
    await runToEnd("token-keys", ["--config", settings]);
    actorPorts = await freePorts(2);
    // Before anything is published: all of them wait for it.
    const actor = startActor("actor-0", actorPorts[0]!);
    const gateway = start("gateway", "gateway-0", [
      "--http-port",
      0,
      "--grpc-port",
      0,
      "--data-dir",
      join(dir, "g"),
    ]);
    const query = start("query", "query-0", ["--http-port", 0, "--data-dir", join(dir, "q")]);
    const ingest = start("ingest", "ingest-0", ["--admin-port", 0, "--data-dir", join(dir, "i")]);
    expect((await assign(`actor-0=127.0.0.1:${actorPorts[0]}`)).code).toBe(0);
    const ready = await Promise.all([gateway, query, actor, ingest].map((program) => program.line("ready")));
    url = `http://127.0.0.1:${String(ready[0]!["httpPort"])}`;
    queryUrl = `http://127.0.0.1:${String(ready[1]!["httpPort"])}`;
    const ad = { ad_id: "7", campaign_id: "5", advertiser_id: "3", destination_url: "https://example.com/" };
    const made = await fetch(`${url}/v1/ads`, { method: "POST", headers: asAdmin, body: JSON.stringify(ad) });
    expect(made.status).toBe(201);
  });
  afterAll(async () => {
    for (const program of running.values()) program.signal("SIGKILL");
    await Promise.all([...running.values()].map(({ ended }) => ended));
    await engine.close();
    await Promise.all([broker.kill(), redis.kill()]);
    await rm(dir, { recursive: true, force: true });
  });

  /** Paths of clicks on new impressions. */
  async function impressions(count: number): Promise<string[]> {
    const body = JSON.stringify({ ad_id: "7", count });
    const answer = await fetch(`${url}/v1/impressions`, { method: "POST", headers: asAdmin, body });
    const { impressions: issued } = (await answer.json()) as { impressions: { click_url: string }[] };
    return issued.map(({ click_url: clickUrl }) => new URL(clickUrl).search);
  }
  const click = async (search: string): Promise<number> => {
    try {
      return (await fetch(`${url}/click${search}`, { redirect: "manual" })).status;
    } catch {
      return 0;
    }
  };
  async function counted(): Promise<number> {
    const span = `from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date(Date.now() + 60_000).toISOString()}`;
    const answer = await fetch(`${queryUrl}/v1/reports/clicks?ad_id=7&granularity=1h&${span}`);
    return ((await answer.json()) as { total: { clicks: number } }).total.clicks;
  }
  const rawClicks = async () =>
    Number(
      (
        await engine.clickhouse.rows<{ n: string }>(
          "SELECT uniqExact(impression_id) AS n FROM adtally.clicks_raw",
        )
      )[0]!.n,
    );

  test("speak TLS with one another, and refuse who shows no certificate", async () => {
    const socket = connect({ port: actorPorts[0]!, host: "127.0.0.1", rejectUnauthorized: false });
    const refused = new Promise<unknown>((resolve) => socket.once("error", resolve).once("close", resolve));
    await once(socket, "secureConnect");
    expect(await refused).toMatchObject({ code: "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED" });
  });

  let clicks = 0;
  test("count a click once, from a gateway to a report and the raw table", async () => {
    const [one = "", two = ""] = await impressions(2);
    expect(await Promise.all([one, one, two].map(click))).toEqual([302, 302, 302]);
    clicks += 2;
    await expect.poll(counted, { timeout: 10_000 }).toBe(2);
    await expect.poll(rawClicks, { timeout: 10_000 }).toBe(2);
  });

  test("an actor host that stops under load answers what it took, and another goes on: none lost", async () => {
    const all = await impressions(600);
    const second = startActor("actor-1", actorPorts[1]!);
    const statuses: number[] = [];
    const send = (async () => {
      for (let at = 0; at < all.length; at += 20) {
        statuses.push(...(await Promise.all(all.slice(at, at + 20).map(click))));
        await sleep(30);
      }
    })();
    await assign(`actor-1=127.0.0.1:${actorPorts[1]}`);
    await second.line("ready");
    const { code, tookMs } = await running.get("actor-0")!.stop();
    await send;
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(DRAIN_WITHIN_MS);
    expect(statuses.filter((status) => status !== 302)).toEqual([]);
    clicks += all.length;
    await expect.poll(counted, { timeout: 20_000, interval: 200 }).toBe(clicks);
  });

  test("copy the catalogue into ClickHouse, where reports can name what they count", async () => {
    const titles = () => engine.clickhouse.rows("SELECT toString(ad_id) AS id FROM adtally.ads FINAL");
    await expect.poll(titles, { timeout: 20_000 }).toEqual([{ id: "7" }]);
  });

  test("a key made at a gateway is known to the query service", async () => {
    const body = JSON.stringify({ name: "ops", scopes: ["admin"] });
    const made = await fetch(`${url}/v1/keys`, { method: "POST", headers: asAdmin, body });
    const { key } = (await made.json()) as { key: string };
    const ask = () =>
      fetch(`${queryUrl}/v1/dead-letters`, { headers: { authorization: `Bearer ${key}` } }).then(
        ({ status }) => status,
      );
    await expect.poll(ask, { timeout: 20_000 }).toBe(200);
  });

  test("a gateway that drains while the log hangs answers each click that it took, and leaves none on its disk", async () => {
    const all = await impressions(400);
    const gateway = running.get("gateway-0")!;
    const sent: Promise<number>[] = [];
    let stopped: ReturnType<RunningProgram["stop"]> | undefined;
    for (const [n, search] of all.entries()) {
      // Longer than a click waits for its shard and for the spill: the last ones are spooled.
      if (n === 100) {
        await Promise.all(sent);
        process.kill(broker.pid, "SIGSTOP");
      }
      sent.push(click(search));
      if (n === 200) stopped = gateway.stop();
      if (n % 20 === 0) await sleep(10);
    }
    await sleep(4_000);
    process.kill(broker.pid, "SIGCONT");
    const statuses = await Promise.all(sent);
    const { code, tookMs } = await stopped!;
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(DRAIN_WITHIN_MS);
    // Connections refused, or never accepted (0), are a client's to try elsewhere.
    expect(new Set(statuses)).toEqual(new Set([302, 0]));
    const answered = statuses.filter((status) => status === 302).length;
    expect(answered).toBeGreaterThan(100);
    expect(gateway.output()).toContain("spooling to disk");
    expect(gateway.output()).not.toContain("wait on disk for this gateway's next start");
    await expect.poll(counted, { timeout: 30_000, interval: 200 }).toBe(clicks + answered);
    clicks += answered;
  });

  test("SIGTERM is said by /readyz first, for as long as the notice; a second one ends it at once", async () => {
    const [admin = 0] = await freePorts(1);
    const program = startActor("actor-2", 0, "--admin-port", admin, "--drain-notice-ms", 30_000);
    await program.line("ready");
    const readiness = () => fetch(`http://127.0.0.1:${admin}/readyz`).then(({ status }) => status);
    expect(await readiness()).toBe(200);
    program.signal("SIGTERM");
    await expect.poll(readiness).toBe(503);
    program.signal("SIGTERM");
    expect(await program.ended).toBe(1);
  });

  test("all others end with 0 on SIGTERM, and nothing they logged is an error", async () => {
    for (const label of ["query-0", "ingest-0", "actor-1"]) {
      const { code, tookMs } = await running.get(label)!.stop();
      expect([label, code]).toEqual([label, 0]);
      expect(tookMs).toBeLessThan(DRAIN_WITHIN_MS);
    }
    expect(await rawClicks()).toBe(clicks);
    for (const program of running.values()) {
      expect(
        program
          .output()
          .split("\n")
          .filter((line) => /"level":"(error|fatal)"/.test(line)),
      ).toEqual([]);
    }
  });
});

describe.runIf(lacks !== undefined)("the programs of a cluster", () => {
  it.skip(`not available: ${lacks}`);
});
