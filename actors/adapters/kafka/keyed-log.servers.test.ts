import { readdir } from "node:fs/promises";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { exampleAd, catalogueConformance } from "../../ports/catalogue.conformance.ts";
import { openReadyReplica, openTestReplica, type TestReplica } from "../../catalogue/replicated.fixture.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { describeKeyedLog, readAllKeyed, type KeyedLogHarness } from "../../ports/keyed-log.conformance.ts";
import { sleep, systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import type { KafkaConfig } from "./config.ts";
import { ensureKeyedTopics } from "./ensure-keyed-topics.ts";
import { openKafkaLog, type KafkaLog } from "./kafka-log.ts";
import {
  brokerLacks,
  flipBitOnDisk,
  isProduceRequest,
  startBroker,
  type TestBroker,
} from "./kafka.fixture.ts";
import { topicName } from "./topics.ts";

/** Compaction within the second: what is in the newest segment is never compacted. */
const CLEANER = { "log.cleaner.backoff.ms": "100" };
const COMPACT_AT_ONCE = {
  "segment.ms": "200",
  "min.cleanable.dirty.ratio": "0.001",
  "max.compaction.lag.ms": "200",
};
const limits = DEFAULT_LIMITS;

const lacks = await brokerLacks();
if (lacks !== undefined) {
  describe("keyed logs on Apache Kafka", () => it.skip(`KAFKA: not available: ${lacks}`));
} else {
  let broker: TestBroker;
  const logs: KafkaLog[] = [];
  beforeAll(async () => {
    broker = await startBroker(CLEANER);
  });
  afterEach(async () => {
    for (const log of logs.splice(0)) await log.close();
  });
  afterAll(() => broker.close());

  const newConfig = (): KafkaConfig => ({
    brokers: [broker.address],
    clientId: "adtally-test",
    topicPrefix: `test-${systemRandom(5).toString("hex")}.`,
  });
  const makeTopics = (config: KafkaConfig, settings = {}) => {
    const wants = { replication: 1, minInsyncReplicas: 1 };
    return ensureKeyedTopics({ config, wants, limits, settings, logger: silentLogger });
  };
  const openLog = (config: KafkaConfig): KafkaLog => {
    const log = openKafkaLog({ config, limits, clock: systemClock, logger: silentLogger });
    logs.push(log);
    return log;
  };

  /** Until the broker has rolled the segment and cleaned what is before it. */
  const compacted = async (config: KafkaConfig, isDone: () => Promise<boolean>): Promise<void> => {
    const dir = path.join(broker.server.dataDir, `${topicName(config.topicPrefix, "ads")}-0`);
    for (let attempt = 0; attempt < 300; attempt++) {
      if (await isDone()) return;
      await sleep(systemClock, 100);
    }
    throw new Error(`never compacted: ${(await readdir(dir)).join(" ")}`);
  };

  describeKeyedLog("the topic ads on Apache Kafka", {
    hooks: ["compact", "loseAnswer"],
    async make(): Promise<KeyedLogHarness> {
      const config = newConfig();
      await makeTopics(config, COMPACT_AT_ONCE);
      const log = openLog(config).keyed("ads");
      return {
        log,
        other: openLog(config).keyed("ads"),
        close: async () => undefined,
        loseAnswer: () => broker.proxy.loseAnswer(isProduceRequest),
        // A segment is rolled by the append that finds it too old.
        compact: async () => {
          const before = (await readAllKeyed(log)).length;
          await sleep(systemClock, 400);
          const last = (await readAllKeyed(log)).at(-1)!;
          await log.append([last]);
          await compacted(config, async () => (await readAllKeyed(log)).length < before - 20);
        },
      };
    },
  });

  catalogueConformance("replicated by Apache Kafka", async ({ cacheAds }) => {
    const config = newConfig();
    await makeTopics(config);
    const wrap = (replica: TestReplica) => ({
      catalogue: replica.catalogue,
      close: () => replica.close(),
      reopen: async () => {
        const again = await replica.reopen();
        await again.catalogue.replica.ready();
        return wrap(again);
      },
    });
    return wrap(await openReadyReplica({ log: openLog(config).keyed("ads"), cacheAds }));
  });

  describe("the replicated catalogue on Apache Kafka", () => {
    const open: TestReplica[] = [];
    afterEach(async () => {
      for (const replica of open.splice(0)) await replica.close();
    });
    const start = async (config: KafkaConfig): Promise<TestReplica> => {
      const replica = await openReadyReplica({ log: openLog(config).keyed("ads") });
      open.push(replica);
      return replica;
    };
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => "resolved",
        (error: { code?: string }) => error.code ?? String(error),
      );

    it("gateways that race for the same ads agree, and so does one that starts after compaction", async () => {
      const config = newConfig();
      await makeTopics(config, COMPACT_AT_ONCE);
      const [a, b] = [await start(config), await start(config)];
      for (let round = 0; round < 10; round++) {
        const ad = (campaignId: bigint) =>
          exampleAd(BigInt(round + 1), { campaignId, title: `round ${round}` });
        const results = await Promise.all([
          codeOf(a.catalogue.put([ad(1n)])),
          codeOf(b.catalogue.put([ad(2n)])),
        ]);
        expect(results.toSorted()).toEqual(["CATALOGUE_CONFLICT", "resolved"]);
      }
      const ids = Array.from({ length: 10 }, (_, n) => n + 1);
      const owned = await a.catalogue.load(ids);
      for (let title = 0; title < 20; title++) {
        await a.catalogue.put([...owned.values()].map((ad) => ({ ...ad, title: `title ${title}` })));
      }
      await sleep(systemClock, 400);
      await a.catalogue.put([...owned.values()].map((ad) => ({ ...ad, title: "last" })));
      const log = openLog(config).keyed("ads");
      await compacted(config, async () => (await readAllKeyed(log)).length < 100);
      const c = await start(config);
      const expected = new Map([...owned].map(([key, ad]) => [key, { ...ad, title: "last" }]));
      for (const each of [a, b, c]) expect(await each.catalogue.load(ids)).toEqual(expected);
    });

    it("P4 a batch damaged on the broker's disk is quarantined, and the rest goes on", async () => {
      const config = newConfig();
      await makeTopics(config);
      const a = await start(config);
      for (let id = 1n; id <= 5n; id++) await a.catalogue.put([exampleAd(id)]);
      await flipBitOnDisk(broker.server.dataDir, topicName(config.topicPrefix, "ads"), 0, 2);
      const b = await start(config);
      expect(b.catalogue.replica.status()).toMatchObject({ quarantined: 1, progress: 5 });
      expect([...(await b.catalogue.load([1, 2, 3, 4, 5])).keys()]).toEqual([1, 2, 4, 5]);
    });

    it("with the broker killed, known ads are served; when it is back, so are new ones", async () => {
      const config = newConfig();
      await makeTopics(config);
      const [a, b] = [await start(config), await start(config)];
      await a.catalogue.put([exampleAd(1n)]);
      expect((await b.catalogue.load([1])).size).toBe(1);
      await broker.server.kill();
      expect((await b.catalogue.load([1])).get(1)).toEqual(exampleAd(1n));
      expect(await codeOf(b.catalogue.load([2]))).toBe("CATALOGUE_UNAVAILABLE");
      expect(await codeOf(a.catalogue.put([exampleAd(2n)]))).toBe("CATALOGUE_UNAVAILABLE");
      expect(b.catalogue.replica.status()).toMatchObject({ isReady: true, fault: expect.any(String) });
      const late = await openTestReplica({ log: openLog(config).keyed("ads") });
      open.push(late);
      expect(late.catalogue.replica.status().isReady).toBe(false);
      await broker.server.restart();
      await expect.poll(() => codeOf(a.catalogue.put([exampleAd(2n)])), { timeout: 15_000 }).toBe("resolved");
      await expect.poll(() => b.catalogue.replica.status().fault, { timeout: 15_000 }).toBeUndefined();
      await late.catalogue.replica.ready();
      for (const each of [b, late]) expect((await each.catalogue.load([1, 2])).size).toBe(2);
    }, 60_000);
  });

  it("topics are made once, and one that breaks a promise is refused by name", async () => {
    const config = newConfig();
    const names = ["ads", "keys"].map((name) => `${config.topicPrefix}${name}`);
    expect(await makeTopics(config)).toEqual({ created: names, differences: [] });
    expect(await makeTopics(config)).toEqual({ created: [], differences: [] });
    const expiring = newConfig();
    await expect(makeTopics(expiring, { "cleanup.policy": "delete" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("ads: cleanup.policy is delete, compact is needed"),
    });
  });
}
