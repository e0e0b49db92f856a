import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { makeDevCa } from "../dev-ca/make.ts";
import { checkCertificates, openProgramCertificates, type CertificateConfig } from "./certificates.ts";
import { Lifecycle } from "./lifecycle.ts";

describe("settings that do not go together are refused at the start, by their flags", () => {
  test.each<[CertificateConfig, string | undefined]>([
    [{}, undefined],
    [{ tlsCa: "a", tlsCert: "b", tlsKey: "c" }, undefined],
    [{ tlsCa: "a", tlsCert: "b" }, "--tls-ca, --tls-cert and --tls-key go together"],
    [{ publicTlsCert: "b" }, "--public-tls-cert and --public-tls-key go together"],
    [{ kafkaTls: true, kafkaTlsKey: "c" }, "--kafka-tls-cert and --kafka-tls-key go together"],
    [{ kafkaTlsCa: "a" }, "--kafka-tls-ca is set, but --kafka-tls is not"],
    [{ kafkaTls: true, kafkaTlsCa: "a" }, undefined],
    [{ redisUrl: "redis://r", redisTlsCa: "a" }, "--redis-tls-ca is set, but --redis-url is not rediss://"],
    [{ redisTlsCert: "b", redisTlsKey: "c" }, "--redis-tls-cert is set, but --redis-url is not rediss://"],
    [{ redisUrl: "rediss://r", redisTlsCa: "a" }, undefined],
    [
      { clickhouseUrl: "http://c", clickhouseTlsCa: "a" },
      "--clickhouse-tls-ca is set, but --clickhouse-url is not https://",
    ],
    [{ clickhouseUrl: "https://c", clickhouseTlsCert: "b", clickhouseTlsKey: "c" }, undefined],
  ])("%j", (config, fault) => {
    const faults = checkCertificates(config);
    expect(faults).toHaveLength(fault === undefined ? 0 : 1);
    expect(faults.join()).toContain(fault ?? "");
  });
});

describe("what a program opens", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), "adtally-certificates-"));
    const hosts = ["localhost"];
    await makeDevCa({ dir, hosts, programs: ["actor"], days: 90, over: "nothing", nowMs: Date.now() });
  });
  afterEach(() => rm(dir, { recursive: true }));

  async function open(config: CertificateConfig) {
    const common = { limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger };
    const life = new Lifecycle({ ...common, drainNoticeMs: 0 });
    const metrics = createMetrics({ process: false });
    const program = { ...common, config, life, metrics, random: systemRandom, version: "" };
    try {
      return { opened: await openProgramCertificates(program, "actor"), text: await metrics.text() };
    } finally {
      await life.stop();
    }
  }
  const at = (name: string) => path.join(dir, name);

  test("is what is configured, and told by metrics; the rest stays plain text", async () => {
    const { opened, text } = await open({
      ...{ tlsCa: at("ca.crt"), tlsCert: at("actor.crt"), tlsKey: at("actor.key") },
      ...{ kafkaTls: true, kafkaTlsCa: at("ca.crt") },
    });
    expect(opened.programs?.current.programs).toEqual(["actor"]);
    expect(opened.kafka?.current).toMatchObject({ cert: undefined, key: undefined });
    expect([opened.public, opened.redis, opened.clickhouse]).toEqual([undefined, undefined, undefined]);
    for (const of of ["programs", "kafka"])
      expect(text).toMatch(new RegExp(`^adtally_certificate_expiry_seconds\\{of="${of}"\\} 77[0-9]{5}`, "m"));
    expect(text).not.toContain('of="redis"');
  });

  test("is nothing where nothing is configured", async () => {
    const { opened, text } = await open({});
    expect(Object.values(opened).filter((set) => set !== undefined)).toEqual([]);
    expect(text).not.toContain("certificate");
  });

  test("a file that is not there ends the start by name", async () => {
    const opening = open({ kafkaTls: true, kafkaTlsCa: at("none.crt") });
    await expect(opening).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("none.crt: ENOENT") as string,
    });
  });
});
