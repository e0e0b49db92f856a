import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { silentLogger } from "../../runtime/log.ts";
import { ensureTopics, type TopicWants } from "./ensure-topics.ts";
import { brokerLacks, openTestLog, startBroker, type TestBroker } from "./kafka.fixture.ts";

const lacks = await brokerLacks();
const wants: TopicWants = {
  partitions: 4,
  replication: 1,
  minInsyncReplicas: 1,
  retentionMs: DEFAULT_LIMITS.logRetentionMs,
};

describe.skipIf(lacks !== undefined)("the topics on a real broker", () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.close());
  const ensure = (topicPrefix: string, change: Partial<TopicWants> = {}) =>
    ensureTopics({
      config: { brokers: [broker.address], clientId: "adtally-test", topicPrefix },
      wants: { ...wants, ...change },
      limits: DEFAULT_LIMITS,
      logger: silentLogger,
    });

  it("are made once, by whoever of several comes first, and are right from then on", async () => {
    const made = await Promise.all([ensure("a."), ensure("a."), ensure("a.")]);
    expect(made.flatMap(({ differences }) => differences)).toEqual([]);
    expect(new Set(made.flatMap(({ created }) => created))).toEqual(
      new Set(["a.clicks", "a.clicks-spill", "a.clicks-dead-letter"]),
    );
    expect(await ensure("a.")).toEqual({ created: [], differences: [] });
  });

  it("with fewer partitions than shards, or a shorter retention, stop the start, each named", async () => {
    await ensure("b.");
    await expect(ensure("b.", { partitions: 5 })).rejects.toThrow(/b\.clicks: partitions is 4, 5 is needed/);
    await expect(ensure("b.", { partitions: 5 })).rejects.toThrow(/b\.clicks-spill: partitions is 4/);
    await expect(ensure("b.", { retentionMs: 1_000 })).rejects.toThrow(
      /retention 1000 ms is below the limit/,
    );
  });

  it("are extended where that is asked for, by whoever of several comes first, and nothing else of them changes", async () => {
    await ensure("e.");
    const change = { partitions: 6, retentionMs: 2 * wants.retentionMs, extends: true };
    const both = await Promise.allSettled([ensure("e.", change), ensure("e.", change)]);
    expect(both.some(({ status }) => status === "fulfilled")).toBe(true);
    // Nothing differs: not the settings that it was made with either.
    expect(await ensure("e.", change)).toEqual({ created: [], differences: [] });
    expect((await ensure("e.", { ...change, partitions: 4 })).differences[0]).toMatchObject({
      setting: "partitions",
      found: "6",
    });
  });

  it("with more than is wanted are left as they are, and the difference is told", async () => {
    await ensure("c.");
    const { differences } = await ensure("c.", { partitions: 3, retentionMs: wants.retentionMs * 2 });
    expect(
      differences.map(({ topic, setting, found, wanted }) => `${topic} ${setting} ${found} ${wanted}`),
    ).toEqual(
      ["c.clicks", "c.clicks-spill", "c.clicks-dead-letter"].flatMap((topic) => [
        `${topic} partitions 4 3`,
        `${topic} retention.ms ${wants.retentionMs} ${wants.retentionMs * 2}`,
      ]),
    );
  });

  it("more copies than brokers: the broker's own words come through", async () => {
    await expect(ensure("d.", { replication: 3 })).rejects.toMatchObject({ code: "LOG_UNAVAILABLE" });
    await expect(ensure("d.", { replication: 3 })).rejects.toThrow(/replication/i);
  });

  it("a log opened before its broker is there works once it is", async () => {
    const test = await openTestLog(broker.address);
    await broker.server.kill();
    await test.reopen();
    await expect(test.log.check()).rejects.toMatchObject({ code: "LOG_UNAVAILABLE" });
    await broker.server.restart();
    await expect
      .poll(() => test.log.check().then(() => "serves", String), { timeout: 10_000 })
      .toBe("serves");
    await test.close();
  });
});
