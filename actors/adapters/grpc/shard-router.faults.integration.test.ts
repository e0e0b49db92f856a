/**
 * Fault 19: a gateway's router cut off from a real shard's host, behind a proxy that holds bytes,
 * forgets connections and loses answers; and submissions that come twice and out of order.
 */
import { afterEach, describe, expect, it } from "vitest";
import { startTcpProxy, type TcpProxy } from "../../../testing/tcp-proxy.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { Verdict } from "../../core/verdict.ts";
import { sleep, systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { ShardHost } from "../../shard/host.ts";
import { rowsOf, uuidV7 } from "../../sim/clicks.ts";
import { seededRandom } from "../../sim/random.ts";
import { createMemoryCountSink } from "../memory/memory-count-sink.ts";
import { createMemoryLog } from "../memory/memory-log.ts";
import { memoryShardStores } from "../memory/memory-shard-stores.ts";
import { createGrpcServer } from "./server.ts";
import { assignmentOf, openRouter, type TestRouter } from "./shard-router.fixture.ts";
import { createShardService } from "./shard-service.ts";
import type { Submission } from "../../ports/shard-port.ts";
import type { Clock } from "../../runtime/clock.ts";

const LIMITS = {
  ...DEFAULT_LIMITS,
  submitDeadlineMs: 8_000,
  reconnectMinMs: 10,
  reconnectMaxMs: 50,
  shardKeepaliveTimeMs: 150,
  shardKeepaliveTimeoutMs: 150,
  shardConnectDeadlineMs: 300,
  drainDeadlineMs: 200,
  countFlushIntervalMs: 50,
};
const SHARD = 0;
const seed = Number(process.env["ADTALLY_SEED"]);
const random = seededRandom(seed);

const ends: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function openHost(clock: Clock = systemClock) {
  const [clicks, sink] = [createMemoryLog(), createMemoryCountSink()];
  const host = await ShardHost.start({
    shards: [{ shard: SHARD, epoch: 1 }],
    limits: LIMITS,
    clicks,
    deadLetters: createMemoryLog(),
    spill: createMemoryLog(),
    stores: memoryShardStores(),
    sink,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    defer: (run) => void setImmediate(run),
  });
  const service = createShardService({ shards: host, limits: LIMITS, clock, logger: silentLogger });
  const server = createGrpcServer({ services: [service], limits: LIMITS, clock: systemClock });
  const port = await server.listen("127.0.0.1", 0);
  const proxy = await startTcpProxy({ targetPort: port });
  ends.push(
    () => host.abandon(),
    () => server.drain(),
    () => proxy.close(),
  );
  return { host, clicks, sink, proxy };
}

async function openGateway(hosts: Readonly<Record<string, string>>): Promise<TestRouter> {
  const router = openRouter(LIMITS);
  ends.push(() => router.close());
  router.setAssignment(assignmentOf(1, hosts, [Object.keys(hosts)[0]!]));
  await expect.poll(() => router.hosts().every(({ isReachable }) => isReachable)).toBe(true);
  return router;
}

/** Clicks on as many new impressions, in one submission. */
function submissionOf(count: number): Submission {
  const nowMs = systemClock.now();
  const clicks = Array.from({ length: count }, () => {
    return { id: uuidV7(nowMs, random.bytes(10)), adId: 1001, clickMs: nowMs, receivedMs: nowMs };
  });
  return { shard: SHARD, rows: rowsOf(clicks, SHARD), count };
}
/** The rows are the shard's to stamp: each sending has its own, as on the wire. */
const copyOf = ({ shard, rows, count }: Submission): Submission => ({
  shard,
  rows: Buffer.from(rows),
  count,
});

const CUTS: readonly (readonly [string, (proxy: TcpProxy) => void])[] = [
  ["both ways", (proxy) => proxy.hold("both")],
  ["on the way to it", (proxy) => proxy.hold("to-server")],
  ["on the way back", (proxy) => proxy.hold("to-client")],
  ["half open", (proxy) => proxy.forget()],
];

describe("fault 19: a gateway and an actor host that lose each other", () => {
  it.each(CUTS)(
    "cut off %s under clicks: it is found out, all are answered, each counts once",
    async (_, cut) => {
      const { host, sink, proxy } = await openHost();
      const router = await openGateway({ a: proxy.address });
      const answers: Promise<unknown>[] = [];
      let sent = 0;
      const send = async (ms: number) => {
        for (const until = performance.now() + ms; performance.now() < until; await sleep(systemClock, 5)) {
          answers.push(router.submit(submissionOf(3)));
          sent += 3;
        }
      };
      await send(50);
      cut(proxy);
      await send(50);
      // Found by keepalive; what is sent meanwhile waits.
      await expect.poll(() => router.retries, { timeout: 20_000 }).toContain("unreachable");
      await send(50);
      proxy.heal();
      await send(50);
      await Promise.all(answers);
      await host.drain();
      expect(sink.counts().reduce((sum, { clicks }) => sum + clicks, 0)).toBe(sent);
    },
  );

  it("answers lost again and again: what was taken is found to be a repeat", async () => {
    const { host, sink, proxy } = await openHost();
    const router = await openGateway({ a: proxy.address });
    for (let n = 1; n <= 5; n++) {
      proxy.loseAnswer((chunk) => chunk.length > 100);
      const { outcomes } = await router.submit(submissionOf(1));
      expect(proxy.lostAnswers).toBe(n);
      expect(outcomes[0]).toBe(Verdict.DUPLICATE);
      await expect.poll(() => router.isReachable(SHARD)).toBe(true);
    }
    await host.drain();
    const [row] = sink.counts();
    expect([row!.clicks, row!.duplicates]).toEqual([5, 5]);
  });

  it("submissions twice, thrice and out of order, by two gateways whose connections break: each counts once", async () => {
    const { host, sink, proxy } = await openHost();
    const routers = [await openGateway({ a: proxy.address }), await openGateway({ a: proxy.address })];
    const each = Array.from({ length: 120 }, () => submissionOf(1 + random.below(4)));
    const all = each.flatMap((submission) => Array.from({ length: 1 + random.below(3) }, () => submission));
    for (let i = all.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    const answers: Promise<unknown>[] = [];
    for (const [n, submission] of all.entries()) {
      answers.push(random.pick(routers).submit(copyOf(submission)));
      if (n % 40 === 20) proxy.breakAll();
      if (n % 10 === 0) await sleep(systemClock, 2);
    }
    await Promise.all(answers);
    await host.drain();
    const [clicks, duplicates] = ["clicks", "duplicates"].map((name) =>
      sink.counts().reduce((sum, row) => sum + row[name as "clicks" | "duplicates"], 0),
    );
    const sum = (of: readonly Submission[]) => of.reduce((total, { count }) => total + count, 0);
    expect(clicks, `seed ${seed}`).toBe(sum(each));
    // Those whose answers were lost came once more.
    expect(duplicates, `seed ${seed}`).toBeGreaterThanOrEqual(sum(all) - sum(each));
    expect(routers.some(({ retries }) => retries.includes("unreachable"))).toBe(true);
  });
});

describe("fault 15: clocks that disagree", () => {
  it.each([
    ["right", 0],
    ["an hour behind", -3_600_000],
    ["an hour ahead", 3_600_000],
  ])("a host whose clock is %s tells it when the stream opens", async (_, offsetMs) => {
    const { proxy } = await openHost({ ...systemClock, now: () => systemClock.now() + offsetMs });
    const router = await openGateway({ a: proxy.address });
    const lead = router.hosts()[0]!.clockLeadMs!;
    // As near as the opening took.
    expect(Math.abs(lead + offsetMs)).toBeLessThan(1_000);
  });
});
