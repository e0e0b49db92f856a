/** Fault 6 on three brokers: leaders die, come back, and are too few. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codeOf } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import {
  appendThrough,
  brokerLacks,
  expectKept,
  openTestLog,
  PARTITIONS,
  startCluster,
  type TestCluster,
  type Tried,
} from "./kafka.fixture.ts";

const lacks = await brokerLacks();
const THREE_COPIES = { replication: 3, minInsyncReplicas: 2, partitions: 12 };
const LIMITS = { appendDeadlineMs: 2_000 };

describe.skipIf(lacks !== undefined)("the log on three brokers", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster(3);
  });
  afterAll(() => cluster.close());

  const sum = (tried: readonly Tried[], what: "unknown" | "refused") =>
    tried.reduce((total, each) => total + each[what], 0);

  it("fault 6: a leader killed under appends: another takes over, every acknowledged block is kept", async () => {
    const test = await openTestLog(cluster.address, { ...THREE_COPIES, limits: LIMITS });
    let isOn = true;
    const partitions = [0, 1, 2, 3, 4, 5];
    const running = partitions.map((partition) => appendThrough(test, partition, () => isOn));
    const appended = () =>
      Promise.all(partitions.map(async (each) => (await test.log.topic("clicks").bounds(each)).next));
    for (const killed of [cluster.nodes[1]!, cluster.nodes[2]!]) {
      await sleep(systemClock, 500);
      await killed.kill();
      // While it is gone, every partition goes on: those that it led by another leader.
      await sleep(systemClock, 4_000);
      const before = await appended();
      await expect
        .poll(async () => (await appended()).every((next, i) => next > before[i]!), { timeout: 15_000 })
        .toBe(true);
      await killed.restart();
      await sleep(systemClock, 2_000);
    }
    isOn = false;
    const tried = await Promise.all(running);
    expect(sum(tried.flat(), "unknown") + sum(tried.flat(), "refused")).toBeGreaterThan(0);
    for (const [i, partition] of partitions.entries()) await expectKept(test, partition, tried[i]!);
    await test.close();
  });

  it("K3: partitions without a leader are refused, and do not keep the others from theirs", async () => {
    const test = await openTestLog(cluster.address, { limits: LIMITS });
    const log = test.log.topic("clicks");
    const append = (partition: number) => codeOf(log.append(partition, sampleBlock(partition + 1)));
    const each = Array.from({ length: PARTITIONS }, (_, partition) => partition);
    expect(await Promise.all(each.map(append))).toEqual(each.map(() => "resolved"));
    await cluster.nodes[1]!.kill();
    await sleep(systemClock, 4_000);
    await test.reopen();
    const reopened = test.log.topic("clicks");
    const codes = await Promise.all(
      each.map((partition) => codeOf(reopened.append(partition, sampleBlock(100)))),
    );
    expect(codes.filter((code) => code === "resolved").length).toBeGreaterThanOrEqual(PARTITIONS / 2);
    expect(codes.filter((code) => code === "LOG_UNAVAILABLE").length).toBeGreaterThanOrEqual(PARTITIONS / 4);
    expect(new Set(codes).size).toBe(2);
    await cluster.nodes[1]!.restart();
    const all = () =>
      Promise.all(each.map((partition) => codeOf(reopened.append(partition, sampleBlock(101)))));
    await expect.poll(async () => new Set(await all()), { timeout: 15_000 }).toEqual(new Set(["resolved"]));
    await test.close();
  });

  it("too few replicas: nothing is acknowledged, and what is refused is not in the log", async () => {
    const test = await openTestLog(cluster.address, { ...THREE_COPIES, limits: LIMITS });
    let isOn = true;
    const tried: Tried[] = [];
    const running = appendThrough(test, 0, () => isOn, tried);
    await sleep(systemClock, 300);
    await cluster.nodes[1]!.kill();
    await cluster.nodes[2]!.kill();
    // Until the controller has found out, appends wait for the dead, and are unknown.
    await expect.poll(() => sum(tried, "refused"), { timeout: 30_000 }).toBeGreaterThan(0);
    const acked = () => tried.filter((each) => each.acked.length > 0).length;
    const before = acked();
    await sleep(systemClock, 2_000);
    expect(acked()).toBe(before);
    await cluster.nodes[1]!.restart();
    await cluster.nodes[2]!.restart();
    await sleep(systemClock, 2_000);
    isOn = false;
    await running;
    expect(acked()).toBeGreaterThan(before);
    await expectKept(test, 0, tried);
    await test.close();
  });
});
