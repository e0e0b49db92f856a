import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { Verdict } from "../../core/verdict.ts";
import { describeShardPort, submissionOf } from "../../ports/shard-port.conformance.ts";
import { systemClock, sleep } from "../../runtime/clock.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { seededRandom } from "../../sim/random.ts";
import { startTcpProxy } from "../../../testing/tcp-proxy.ts";
import { createShardRouterMetrics } from "./shard-router-metrics.ts";
import { assignmentOf, memoryShard, openRouter, startHost } from "./shard-router.fixture.ts";
import type { Limits } from "../../core/limits.ts";

const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  submitDeadlineMs: 1_500,
  reconnectMinMs: 10,
  reconnectMaxMs: 50,
  shardMoveGraceMs: 60,
  shardKeepaliveTimeMs: 100,
  shardKeepaliveTimeoutMs: 100,
  assignmentRefreshMinMs: 10,
  drainDeadlineMs: 400,
};

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const verdictOf = ({ outcomes }: { outcomes: Uint8Array }) => outcomes[0];
const ticket = (from: number) => submissionOf(0, from, 1);

/** Host "a" owns shard 0 and "b" may come to; `sharedLog`: both decide by one log, as shards do. */
async function pair({ limits = LIMITS, sharedLog = false, proxied = false } = {}) {
  const ofA = memoryShard(limits);
  const ofB = sharedLog ? ofA : memoryShard(limits);
  const a = await startHost(limits, [[0, ofA]]);
  const b = await startHost(limits, [[0, ofB]]);
  ends.push(a.drain, b.drain);
  const proxy = proxied ? await startTcpProxy({ targetPort: Number(a.address.split(":")[1]) }) : undefined;
  if (proxy !== undefined) ends.push(() => proxy.close());
  const hosts = { a: proxy?.address ?? a.address, b: b.address };
  const toA = (version: number) => assignmentOf(version, hosts, ["a"]);
  const toB = (version: number) => assignmentOf(version, hosts, ["b"]);
  const router = openRouter(limits);
  ends.push(() => router.close());
  router.setAssignment(toA(1));
  await expect.poll(() => router.hosts().every(({ isReachable }) => isReachable)).toBe(true);
  return { router, hosts, a, b, ofA, ofB, toA, toB, proxy: proxy! };
}

describeShardPort("router over two gRPC hosts", async (limits) => {
  const shards = [0, 1, 2].map(() => memoryShard(limits));
  const quick = { ...limits, drainDeadlineMs: 50 };
  const a = await startHost(quick, [
    [0, shards[0]!],
    [2, shards[2]!],
  ]);
  const b = await startHost(quick, [[1, shards[1]!]]);
  const router = openRouter(limits);
  router.setAssignment(assignmentOf(1, { a: a.address, b: b.address }, ["a", "b", "a"]));
  const close = async () => {
    router.close();
    await Promise.all([a.drain(), b.drain()]);
  };
  return { under: { port: router, close }, shard: (n) => shards[n]! };
});

describe("a shard that moves", () => {
  it("N2 the former owner's answer is taken when it comes within the grace: nothing is sent twice", async () => {
    const { router, ofA, ofB, toB } = await pair();
    ofA.beSlow(30);
    const answer = router.submit(ticket(1));
    await expect.poll(() => ofA.rows.length).toBe(1);
    router.setAssignment(toB(2));
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    expect(ofB.rows).toHaveLength(0);
    expect(verdictOf(await router.submit(ticket(2)))).toBe(Verdict.ACCEPTED);
    expect([ofA.rows.length, ofB.rows.length]).toEqual([1, 1]);
  });

  it("N2 a former owner that does not answer is not waited for beyond the grace", async () => {
    const { router, ofA, toB } = await pair();
    ofA.die();
    const answer = router.submit(ticket(1));
    await expect.poll(() => ofA.rows.length).toBe(1);
    const startedAt = performance.now();
    router.setAssignment(toB(2));
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    expect(performance.now() - startedAt).toBeLessThan(LIMITS.submitDeadlineMs);
    expect(router.retries).toEqual(["moved"]);
  });

  it("a zombie that answers NOT_OWNER is left for the newest owner, which is asked for", async () => {
    const { router, a, ofB, toB } = await pair();
    a.shards.delete(0);
    const answer = router.submit(ticket(1));
    await expect.poll(() => router.refreshes()).toBeGreaterThan(0);
    router.setAssignment(toB(2));
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    expect(ofB.rows).toHaveLength(1);
  });

  it("N2 while its next owner gets ready, the former one answers at once; then it is asked no more", async () => {
    const { router, b, ofA, ofB, toB } = await pair();
    b.shards.delete(0);
    router.setAssignment(toB(2));
    for (let n = 0; n < 20; n++) expect(verdictOf(await router.submit(ticket(n)))).toBe(Verdict.ACCEPTED);
    expect([ofA.rows.length, ofB.rows.length, router.retries]).toEqual([20, 0, []]);
    b.shards.set(0, ofB);
    await router.submit(ticket(20));
    b.shards.delete(0);
    const late = router.submit(ticket(21));
    await expect.poll(() => router.retries).toContain("not_owner");
    b.shards.set(0, ofB);
    await late;
    expect([ofA.rows.length, ofB.rows.length]).toEqual([20, 2]);
  });

  it("N2 a former owner that is silent while the next one gets ready is given up after its grace", async () => {
    const { router, b, ofA, ofB, toB } = await pair();
    b.shards.delete(0);
    ofA.die();
    router.setAssignment(toB(2));
    const answers = [1, 2, 3].map((n) => router.submit(ticket(n)));
    await expect.poll(() => ofA.rows.length).toBe(3);
    await expect.poll(() => router.retries).toContain("not_owner");
    answers.push(router.submit(ticket(4)));
    b.shards.set(0, ofB);
    expect((await Promise.all(answers)).map(verdictOf)).toEqual([1, 1, 1, 1]);
    expect(ofA.rows).toHaveLength(3);
  });

  it("N2 a shard that goes round before anybody took it up is answered by who has it all the while", async () => {
    const { router, a, b, hosts, ofA } = await pair();
    b.shards.delete(0);
    for (const [version, host] of [
      [2, "b"],
      [3, "a"],
      [4, "b"],
    ] as const) {
      router.setAssignment(assignmentOf(version, { ...hosts, a: a.address }, [host]));
      await router.submit(ticket(version));
    }
    expect(ofA.rows).toHaveLength(3);
  });

  it("an owner that has yet to take the shard up is asked again", async () => {
    const { router, a, b, ofB, toB } = await pair();
    a.shards.delete(0);
    b.shards.delete(0);
    router.setAssignment(toB(2));
    const answer = router.submit(ticket(1));
    await expect.poll(() => router.retries.length).toBeGreaterThan(1);
    b.shards.set(0, ofB);
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    expect([...new Set(router.retries)]).toEqual(["moved", "not_owner"]);
  });

  it("N1 a version that goes back, or stays, is ignored", async () => {
    const { router, ofA, ofB, toA, toB } = await pair();
    expect(router.setAssignment(toB(5))).toBe(true);
    expect([router.setAssignment(toA(4)), router.setAssignment(toA(5))]).toEqual([false, false]);
    expect(router.assignment.version).toBe(5);
    await router.submit(ticket(1));
    expect([ofA.rows.length, ofB.rows.length]).toEqual([0, 1]);
  });

  it("N5 a host that is gone is left once its last answer and the next owner's first have come", async () => {
    const { router, ofA, hosts, proxy } = await pair({
      proxied: true,
      limits: { ...LIMITS, shardMoveGraceMs: 1_000 },
    });
    ofA.beSlow(150);
    const answer = router.submit(ticket(1));
    await expect.poll(() => ofA.rows.length).toBe(1);
    router.setAssignment(assignmentOf(2, { b: hosts.b }, ["b"]));
    expect(router.hosts().map(({ host }) => host)).toEqual(["b"]);
    expect(proxy.connections).toBe(1);
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    expect(proxy.connections).toBe(1);
    await router.submit(ticket(2));
    await expect.poll(() => proxy.connections).toBe(0);
  });

  it("N5 a host that is gone is left when the time to hand over is, though nobody clicks", async () => {
    const { router, hosts, proxy } = await pair({
      proxied: true,
      limits: { ...LIMITS, shardHandOverMs: 100 },
    });
    router.setAssignment(assignmentOf(2, { b: hosts.b }, ["b"]));
    expect(proxy.connections).toBe(1);
    await expect.poll(() => proxy.connections).toBe(0);
  });

  it("a host at a new address is another connection", async () => {
    const { router, hosts, ofB } = await pair();
    router.setAssignment(assignmentOf(2, { a: hosts.b }, ["a"]));
    await router.submit(ticket(1));
    expect(ofB.rows).toHaveLength(1);
  });
});

describe("a host that fails", () => {
  it("dies with clicks in flight: they are answered by the next owner, counted once", async () => {
    const { router, a, ofA, toB, proxy } = await pair({ sharedLog: true, proxied: true });
    ofA.beSlow(1_000);
    const answers = Promise.all([1, 2, 3].map((n) => router.submit(ticket(n))));
    await expect.poll(() => ofA.rows.length).toBe(3);
    ofA.beWell();
    proxy.refuse();
    await expect.poll(() => router.hosts()[0]?.isReachable).toBe(false);
    void a.drain();
    router.setAssignment(toB(2));
    expect((await answers).map(verdictOf)).toEqual([1, 2, 3].map(() => Verdict.DUPLICATE));
    expect(ofA.accepted()).toBe(3);
  });

  it("restarts at its address: submissions wait for it", async () => {
    const { router, a, ofA } = await pair();
    await a.drain();
    const answer = router.submit(ticket(1));
    await expect.poll(() => router.retries.length).toBeGreaterThan(1);
    const again = await startHost(LIMITS, [[0, ofA]], Number(a.address.split(":")[1]));
    ends.push(again.drain);
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    await expect.poll(() => router.hosts()[0]?.isReachable).toBe(true);
  });

  it("hangs: DEADLINE_EXCEEDED, on time, and a fresh assignment is asked for", async () => {
    const { router, ofA } = await pair();
    ofA.die();
    const startedAt = performance.now();
    await expect(router.submit(ticket(1))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(performance.now() - startedAt).toBeLessThan(3 * LIMITS.submitDeadlineMs);
    expect(router.refreshes()).toBe(1);
  });

  it("is half open: keepalive finds it, well before the deadline, and what was sent goes again", async () => {
    const { router, ofA, proxy } = await pair({ proxied: true });
    proxy.forget();
    const startedAt = performance.now();
    expect(verdictOf(await router.submit(ticket(1)))).toBe(Verdict.ACCEPTED);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(router.retries).toContain("unreachable");
    expect(ofA.rows).toHaveLength(1);
  });

  it("is cut off: keepalive finds it, and the next owner answers", async () => {
    const { router, toB, proxy } = await pair({ sharedLog: true, proxied: true });
    proxy.hold("both");
    const answer = router.submit(ticket(1));
    await expect.poll(() => router.hosts()[0]?.isReachable).toBe(false);
    router.setAssignment(toB(2));
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
  });

  it("takes connections and says nothing: out of reach, and nothing waits for the deadline there", async () => {
    const silent = createServer((socket) => socket.on("error", () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    ends.push(() => void silent.close());
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const limits = { ...LIMITS, shardConnectDeadlineMs: 100 };
    const { router, a, hosts } = await pair({ limits });
    a.shards.delete(0);
    router.setAssignment(assignmentOf(2, { ...hosts, c: address }, ["c"]));
    const answer = router.submit(ticket(1));
    await expect.poll(() => router.retries).toContain("unreachable");
    expect(router.hosts().map(({ isReachable }) => isReachable)).toEqual([true, true, false]);
    router.setAssignment(assignmentOf(3, hosts, ["b"]));
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
  });

  it("loses an answer: the same rows are sent again and counted once", async () => {
    const { router, ofA, proxy } = await pair({ proxied: true });
    proxy.loseAnswer((chunk) => chunk.includes("agent"));
    expect(verdictOf(await router.submit(ticket(1)))).toBe(Verdict.DUPLICATE);
    expect(proxy.lostAnswers).toBe(1);
    expect([ofA.rows.length, ofA.accepted()]).toEqual([2, 1]);
    expect(router.retries).toContain("unreachable");
  });

  it("N3 after a lost answer, NOT_OWNER is not told as 'nothing was taken'", async () => {
    const { router, a, ofA, proxy } = await pair({ proxied: true });
    ofA.die();
    const lost = router.submit(ticket(1));
    const told = expect(lost).rejects.toMatchObject({
      after: "retry",
      code: expect.stringMatching(/^(ABORTED|DEADLINE_EXCEEDED)$/),
    });
    await expect.poll(() => ofA.rows.length).toBe(1);
    a.shards.delete(0);
    proxy.breakAll();
    await told;
    expect(new Set(router.retries)).toContain("not_owner");
  });

  it("drains: what it has is answered, what comes goes to the next owner", async () => {
    const { router, a, ofA, ofB, toB } = await pair();
    ofA.beSlow(150);
    const early = router.submit(ticket(1));
    await expect.poll(() => ofA.rows.length).toBe(1);
    const drained = a.drain();
    const late = router.submit(ticket(2));
    expect(verdictOf(await early)).toBe(Verdict.ACCEPTED);
    await drained;
    router.setAssignment(toB(2));
    expect(verdictOf(await late)).toBe(Verdict.ACCEPTED);
    expect([ofA.rows.length, ofB.rows.length]).toEqual([1, 1]);
  });

  it("drains with one that never ends: cut off at the deadline", async () => {
    const { router, a, ofA } = await pair();
    ofA.die();
    const lost = router.submit(ticket(1)).catch(() => "lost");
    await expect.poll(() => ofA.rows.length).toBe(1);
    const startedAt = performance.now();
    await a.drain();
    expect(performance.now() - startedAt).toBeLessThan(10 * LIMITS.drainDeadlineMs);
    expect(await lost).toBe("lost");
  });
});

describe("bounds", () => {
  it("N4 clicks that wait for a dead host count: past the bound, OVERLOADED at once", async () => {
    const { router, a } = await pair({ limits: { ...LIMITS, mailboxMaxClicks: 10 } });
    await a.drain();
    const waiting = router.submit(submissionOf(0, 0, 10)).catch(() => "failed");
    await expect(router.submit(ticket(99))).rejects.toMatchObject({ code: "OVERLOADED" });
    expect(router.hosts()[0]?.clicks).toBe(10);
    expect(await waiting).toBe("failed");
    expect(router.hosts()[0]?.clicks).toBe(0);
  });

  it("before the first assignment submissions wait for one, within the bound", async () => {
    const { hosts } = await pair();
    const router = openRouter({ ...LIMITS, mailboxMaxClicks: 1 });
    ends.push(() => router.close());
    const waiting = router.submit(ticket(1));
    await expect(router.submit(ticket(2))).rejects.toMatchObject({ code: "OVERLOADED" });
    router.setAssignment(assignmentOf(1, hosts, ["a"]));
    expect(verdictOf(await waiting)).toBe(Verdict.ACCEPTED);
  });

  it("drain waits for what it holds; close does not", async () => {
    const { router, ofA } = await pair();
    ofA.beSlow(80);
    const answer = router.submit(ticket(1));
    await router.drain();
    expect(verdictOf(await answer)).toBe(Verdict.ACCEPTED);
    await expect(router.submit(ticket(2))).rejects.toMatchObject({ code: "ABORTED" });
    const other = (await pair()).router;
    const lost = other.submit(submissionOf(7, 1, 1));
    other.close();
    await expect(lost).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("metrics tell hosts, those within reach, version and retries", async () => {
    const { router, b } = await pair();
    const metrics = createMetrics({ process: false });
    const told = createShardRouterMetrics(metrics);
    told.observe(router);
    told.onRetry("moved");
    await b.drain();
    await expect.poll(() => router.hosts()[1]?.isReachable).toBe(false);
    const text = await metrics.text();
    expect(text).toContain("adtally_gateway_actor_hosts 2");
    expect(text).toContain("adtally_gateway_actor_hosts_reachable 1");
    expect(text).toContain("adtally_gateway_assignment_version 1");
    expect(text).toContain('adtally_gateway_submission_retries_total{why="moved"} 1');
  });
});

it("through random moves, breaks and pauses every submission is answered and counted once", async () => {
  const random = seededRandom(Number(process.env["ADTALLY_SEED"]));
  const { router, ofA, toA, toB, proxy } = await pair({
    sharedLog: true,
    proxied: true,
    limits: { ...LIMITS, submitDeadlineMs: 10_000 },
  });
  const answers: Promise<unknown>[] = [];
  let version = 1;
  for (let n = 0; n < 300; n++) {
    answers.push(router.submit(ticket(n)));
    const dice = random.below(40);
    if (dice === 0) router.setAssignment(toA(++version));
    if (dice === 1) router.setAssignment(toB(++version));
    if (dice === 2) proxy.breakAll();
    if (dice === 3) proxy.hold("to-client");
    if (dice === 4) proxy.heal();
    if (dice < 8) await sleep(systemClock, random.below(30));
  }
  proxy.heal();
  await Promise.all(answers);
  expect(ofA.accepted()).toBe(300);
  expect(version).toBeGreaterThan(1);
});
