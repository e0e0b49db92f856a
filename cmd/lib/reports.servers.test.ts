/**
 * What the operator is told by real programs, over a real broker and mutual TLS: load, top ads, held
 * shards; and how they come up before they are given anything.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, test, vi } from "vitest";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { createReportClient, type ReportClient } from "../../actors/adapters/grpc/report-client.ts";
import { brokerLacks } from "../../actors/adapters/kafka/kafka.fixture.ts";
import { openCertificates, type Certificates } from "../../actors/adapters/tls/certificates.ts";
import { grpcClientCredentials } from "../../actors/adapters/tls/grpc.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import type { HostStatus } from "../../actors/load/report.ts";
import { systemClock as clock } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { startKafka, type KafkaServer } from "../../testing/servers/kafka.ts";
import { freePorts } from "../../testing/servers/process.ts";
import { makeDevCa } from "../dev-ca/make.ts";
import { runToEnd, startProgram, type RunningProgram } from "./program.fixture.ts";

const KEY = "admin-key-of-this-test";
const asAdmin = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const TOKEN_LIFE_S = 3_600;
const DEADLINE_MS = 20_000;
const HOT = "1001";
const OTHER = "1002";

const lacks = await brokerLacks();
if (lacks !== undefined && process.env["CI"] === "true") throw new Error(lacks);
describe.skipIf(lacks !== undefined)("what programs tell the operator", () => {
  let dir: string;
  let broker: KafkaServer;
  let engine: EngineFixture;
  let url: string;
  let hostAddress: string;
  let gatewayAddress: string;
  let beforeAnyAssignment: { startup: number; ready: number; report: HostStatus };
  const running: RunningProgram[] = [];
  const ends: (() => void)[] = [];

  async function clientOf(program: string): Promise<ReportClient> {
    const at = (end: string) => join(dir, "tls", end);
    const files = { caPath: at("ca.crt"), certPath: at(`${program}.crt`), keyPath: at(`${program}.key`) };
    const certificates: Certificates = await openCertificates({ files, limits, clock, logger });
    const credentials = {
      actor: grpcClientCredentials(certificates, ["actor"]),
      gateway: grpcClientCredentials(certificates, ["gateway"]),
    };
    const client = createReportClient({ limits, clock, credentials });
    ends.push(() => {
      client.close();
      certificates.close();
    });
    return client;
  }

  let operator: ReportClient;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "adtally-reports-"));
    [broker, engine] = await Promise.all([startKafka({ dir: join(dir, "kafka") }), openEngineFixture()]);
    const programs = ["gateway", "actor", "operator"] as const;
    await makeDevCa({
      dir: join(dir, "tls"),
      // No address of any host: programs are known by their names.
      hosts: ["adtally.example"],
      programs,
      days: 1,
      over: "nothing",
      nowMs: Date.now(),
    });
    operator = await clientOf("operator");
    const settings = join(dir, "adtally.yaml");
    const lines = {
      state_dir: join(dir, "state"),
      kafka_brokers: [broker.address],
      kafka_partitions: 4,
      kafka_replication: 1,
      kafka_min_insync: 1,
      clickhouse_url: engine.engine.url,
      token_keys_file: join(dir, "token-keys.json"),
      admin_key: KEY,
      token_life_seconds: TOKEN_LIFE_S,
    };
    await writeFile(settings, JSON.stringify(lines));
    await runToEnd("token-keys", ["--config", settings]);
    const start = (name: string, ...args: (string | number)[]) => {
      const at = (end: string) => join(dir, "tls", end);
      const tls = ["--tls-ca", at("ca.crt"), "--tls-cert", at(`${name}.crt`), "--tls-key", at(`${name}.key`)];
      const own = ["--config", settings, "--host-name", `${name}-0`, "--data-dir", join(dir, name)];
      const program = startProgram(name, [...own, ...tls, ...args]);
      running.push(program);
      return program;
    };
    const [grpc = 0, admin = 0] = await freePorts(2);
    hostAddress = `127.0.0.1:${grpc}`;
    const actor = start("actor", "--grpc-port", grpc, "--admin-port", admin);
    const gateway = start("gateway", "--http-port", 0, "--grpc-port", 0, "--internal-port", 0);
    const status = (path: string) =>
      fetch(`http://127.0.0.1:${admin}${path}`).then(
        (answer) => answer.status,
        () => 0,
      );
    await vi.waitFor(async () => expect(await status("/startupz")).toBe(200), {
      timeout: 60_000,
      interval: 200,
    });
    beforeAnyAssignment = {
      startup: await status("/startupz"),
      ready: await status("/readyz"),
      report: await operator.host(hostAddress, DEADLINE_MS),
    };
    const assigned = await runToEnd("assign", [
      ...["--config", settings, "--hosts", `actor-0=${hostAddress}`, "--shards", 4],
    ]);
    expect(assigned.code, assigned.output).toBe(0);
    const [, ready] = await Promise.all([actor.line("ready"), gateway.line("ready")]);
    url = `http://127.0.0.1:${String(ready["httpPort"])}`;
    gatewayAddress = `127.0.0.1:${String(ready["internalPort"])}`;
    for (const ad of [HOT, OTHER]) {
      const body = {
        ad_id: ad,
        campaign_id: "5",
        advertiser_id: "3",
        destination_url: "https://example.com/",
      };
      const made = await fetch(`${url}/v1/ads`, {
        method: "POST",
        headers: asAdmin,
        body: JSON.stringify(body),
      });
      expect(made.status).toBe(201);
    }
  });
  afterAll(async () => {
    for (const program of running) program.signal("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
    for (const end of ends) end();
    await engine?.close();
    await broker?.kill();
    await rm(dir, { recursive: true, force: true });
  });

  async function impressions(
    ad: string,
    count: number,
  ): Promise<{ click_url: string; expires_at: string }[]> {
    const body = JSON.stringify({ ad_id: ad, count });
    const answer = await fetch(`${url}/v1/impressions`, { method: "POST", headers: asAdmin, body });
    return ((await answer.json()) as { impressions: { click_url: string; expires_at: string }[] })
      .impressions;
  }

  test("an actor host is up, and says so, before it is given a shard; it is not ready", () => {
    const { startup, ready, report } = beforeAnyAssignment;
    expect([startup, ready]).toEqual([200, 503]);
    expect(report).toMatchObject({ host: "actor-0", assignmentVersion: 0, held: new Map(), topAds: [] });
  });

  test("under load a host tells its rate, its shards and its top ad; a gateway its own rate, and an empty spool", async () => {
    const sentAtMs: number[] = [];
    let isSending = true;
    const send = (async () => {
      while (isSending) {
        // Three clicks of four are the hot ad's.
        const [hot, other] = await Promise.all([impressions(HOT, 30), impressions(OTHER, 10)]);
        const inTurn = other.flatMap((one, n) => [...hot.slice(3 * n, 3 * n + 3), one]);
        for (const { click_url: click } of inTurn) {
          const { status } = await fetch(`${url}/click${new URL(click).search}`, { redirect: "manual" });
          expect(status).toBe(302);
          sentAtMs.push(performance.now());
        }
        await sleep(50);
      }
    })();
    let report: HostStatus = beforeAnyAssignment.report;
    try {
      await expect
        .poll(
          async () => {
            report = await operator.host(hostAddress, DEADLINE_MS);
            return report.topAds.length;
          },
          { timeout: 60_000, interval: 500 },
        )
        .toBeGreaterThanOrEqual(2);
      const nowMs = performance.now();
      const sentPerSecond = sentAtMs.filter((atMs) => atMs > nowMs - 10_000).length / 10;
      expect(report.assignmentVersion).toBe(1);
      expect([...report.held]).toEqual([0, 1, 2, 3].map((shard) => [shard, 1]));
      expect(report.clicksPerSecond).toBeGreaterThan(sentPerSecond / 3);
      expect(report.clicksPerSecond).toBeLessThan(sentPerSecond * 3);
      const [first, second] = report.topAds;
      expect([first!.adId, second!.adId]).toEqual([Number(HOT), Number(OTHER)]);
      expect(first!.clicksPerSecond).toBeGreaterThan(1.5 * second!.clicksPerSecond);
      expect(report.cpuPercent).toBeGreaterThan(0);
      expect(report.memory.residentBytes).toBeLessThan(report.memory.limitBytes);
      const gateway = await operator.gateway(gatewayAddress, DEADLINE_MS);
      expect(gateway).toMatchObject({ host: "gateway-0", spoolClicks: 0 });
      expect(gateway.clicksPerSecond).toBeGreaterThan(sentPerSecond / 3);
    } finally {
      isSending = false;
      await send;
    }
    await expect
      .poll(async () => (await operator.host(hostAddress, DEADLINE_MS)).lagClicks, { timeout: 60_000 })
      .toBe(0);
  });

  test("none but the operator is told", async () => {
    const gateway = await clientOf("gateway");
    const refused = { code: "PERMISSION_DENIED" };
    await expect(gateway.host(hostAddress, DEADLINE_MS)).rejects.toMatchObject(refused);
    await expect(gateway.gateway(gatewayAddress, DEADLINE_MS)).rejects.toMatchObject(refused);
  });

  test("a token lives for as long as the settings say", async () => {
    const [one] = await impressions(HOT, 1);
    const livesMs = Date.parse(one!.expires_at) - Date.now();
    expect(livesMs).toBeLessThanOrEqual(TOKEN_LIFE_S * 1_000 + 60_000);
    expect(livesMs).toBeGreaterThan(TOKEN_LIFE_S * 1_000 - 600_000);
  });

  test("a host that ends gives its shards to nobody: it settles them in time, and ends with 0", async () => {
    const [actor] = running;
    const { code } = await actor!.stop();
    expect(code, actor!.output()).toBe(0);
  });
});

describe.runIf(lacks !== undefined)("what programs tell the operator", () => {
  it.skip(`not available: ${lacks}`);
});
