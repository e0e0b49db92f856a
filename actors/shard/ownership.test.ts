/** Shards that move, two owners at once, and what gateways spilled meanwhile. */
import { describe, expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { makeBlock } from "../block/block.ts";
import { Verdict } from "../core/verdict.ts";
import { rowsOf, type SimClick } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { click, SHARD, shardIn, START_MS } from "./shard.fixture.ts";

describe("ownership", () => {
  test("a shard that moves takes its counts along, and a repeat is a duplicate at its new owner", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const one = await shardIn({ clicks, sink, clock });
    const two = await shardIn({ clicks, sink, clock });
    await two.settled(two.host.release(SHARD));
    const seen = click();
    await one.verdicts([seen, click()]);
    await one.settled(one.host.release(SHARD), 1_000);
    expect(one.host.owned().size).toBe(0);
    await expect(one.submit([seen])).rejects.toMatchObject({ code: "NOT_OWNER" });
    expect(sink.counts().map((row) => row.clicks)).toEqual([2]);
    await two.settled(two.host.acquire(SHARD, 2), 1_000);
    expect([...two.host.owned()]).toEqual([[SHARD, 2]]);
    expect(await two.verdicts([seen, click()])).toEqual([Verdict.DUPLICATE, Verdict.ACCEPTED]);
    await two.settled(two.host.flushCounts());
    expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 3, duplicates: 1 })]);
  });

  test("handed over under clicks: the former owner answers until the next one has, and lets go then", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const former = await shardIn({ clicks, sink, clock });
    const next = await shardIn({ clicks, sink, clock });
    await next.settled(next.host.release(SHARD));
    let mayGo = false;
    void former.host.handOver(SHARD, new AbortController().signal).then(() => (mayGo = true));
    const seen = click();
    expect(await former.verdicts([seen])).toEqual([Verdict.ACCEPTED]);
    await next.settled(next.host.acquire(SHARD, 2), 1_000);
    expect(await former.verdicts([click()])).toEqual([Verdict.ACCEPTED]);
    expect(mayGo).toBe(false);
    expect(await next.verdicts([seen, click()])).toEqual([Verdict.DUPLICATE, Verdict.ACCEPTED]);
    await clock.advance(100);
    expect(mayGo).toBe(true);
    await former.settled(former.host.release(SHARD), 1_000);
    await next.settled(next.host.flushCounts());
    expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 3, duplicates: 1 })]);
  });

  test("a shard that is given back before it was let go writes under its new epoch", async () => {
    const { clicks, host, settled, submit } = await shardIn();
    await submit([click()]);
    await settled(host.acquire(SHARD, 7));
    expect(host.owned().get(SHARD)).toBe(7);
    await submit([click()]);
    const records = await clicks.read(SHARD, 0, Number.MAX_SAFE_INTEGER);
    expect(records.map(({ header }) => header.epoch)).toEqual([1, 7]);
  });

  test("let go while the count sink is down: in bounded time, and its next owner brings the counts", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const former = await shardIn({ clicks, sink, clock });
    await former.verdicts([click()]);
    await former.settled(former.host.flushCounts());
    for (let i = 0; i < 100; i++) sink.failNext("unavailable");
    await former.verdicts([click(), click()]);
    await former.settled(former.host.release(SHARD), former.limits.sinkDrainDeadlineMs);
    expect(former.host.owned().size).toBe(0);
    expect(sink.counts().map((row) => row.clicks)).toEqual([1]);
    const next = await shardIn({ clicks, sink, clock });
    await clock.advance(60 * 60_000);
    expect(next.state.stats.accepted).toBe(3);
    expect(sink.counts().map((row) => row.clicks)).toEqual([3]);
  });

  test("let go while the count sink hangs: no later than its deadline", async () => {
    const clock = virtualClock(START_MS);
    const sink = createMemoryCountSink();
    const { host, settled, verdicts, limits } = await shardIn({ clock, sink });
    await verdicts([click()]);
    sink.writeCounts = () => new Promise(() => undefined);
    await settled(host.release(SHARD), limits.sinkDrainDeadlineMs + 100);
    expect(host.owned().size).toBe(0);
  });

  test("acquire twice, release twice, and both at once in either order settle as the last one asked", async () => {
    const { host, settled } = await shardIn();
    await settled(Promise.all([host.acquire(7, 1), host.acquire(7, 1)]), 1_000);
    expect([...host.owned().keys()]).toEqual([SHARD, 7]);
    await settled(Promise.all([host.release(7), host.release(7), host.acquire(7, 2)]), 1_000);
    expect(host.owned().get(7)).toBe(2);
    await settled(Promise.all([host.acquire(7, 3), host.release(7)]), 1_000);
    expect(host.owned().has(7)).toBe(false);
  });

  test("a zombie's late block costs its successor nothing, and the zombie learns the truth", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const zombie = await shardIn({ clicks, sink, clock });
    await zombie.verdicts([click()]);
    const successor = await shardIn({ clicks, sink, clock });
    const shared = click();
    expect(await successor.verdicts([shared])).toEqual([Verdict.ACCEPTED]);
    expect(await zombie.verdicts([shared])).toEqual([Verdict.DUPLICATE]);
    await clock.advance(20_000);
    expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 2, duplicates: 1 })]);
  });
});

describe("a block whose append got lost, behind another owner's", () => {
  test.each(["request-lost", "applied-late", "unavailable"] as const)(
    "%s: what was decided before is decided again, as every replay will",
    async (fault) => {
      const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
      const former = await shardIn({ clicks, sink, clock });
      await former.verdicts([click()]);
      const next = await shardIn({ clicks, sink, clock });
      const shared = click();
      expect(await next.verdicts([shared])).toEqual([Verdict.ACCEPTED]);
      clicks.failNext(SHARD, fault);
      expect(await former.verdicts([shared])).toEqual([Verdict.DUPLICATE]);
      expect(former.state.stats.accepted).toBe(2);
      await clock.advance(20_000);
      expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 2, duplicates: 1 })]);
      const replayed = await shardIn({ clicks, clock });
      expect(replayed.state.stats).toMatchObject({ accepted: 2, duplicates: 1 });
    },
  );
});

describe("the spill", () => {
  const spilledBlock = (batch: readonly SimClick[], sequence: number) =>
    makeBlock(
      { epoch: 0, writer: 77, sequence, rowCount: batch.length, appendTimeMs: START_MS, sourceOffset: -1 },
      rowsOf(batch, SHARD),
    );

  test("what gateways spilled is drained with the usual verdicts, and once, whatever restarts", async () => {
    const first = await shardIn();
    const [seen, late] = [click(), click({ clickMs: START_MS - 600_000 })];
    await first.verdicts([seen]);
    await first.spill.append(SHARD, spilledBlock([seen, click(), late], 1));
    await first.spill.append(SHARD, spilledBlock([click()], 2));
    await first.clock.advance(3_000);
    expect(first.state.stats).toMatchObject({ accepted: 3, duplicates: 1, late: 1, spilled: 4 });
    expect(first.state.spillOffset).toBe(2);
    await first.host.abandon();
    const second = await shardIn(first);
    await second.clock.advance(3_000);
    expect(second.state.stats).toMatchObject({ accepted: 3, duplicates: 1, spilled: 4 });
    expect(second.state.spillOffset).toBe(2);
    second.host.actors.get(SHARD)!.save();
    await second.host.abandon();
    expect((await shardIn(second)).state.spillOffset).toBe(2);
  });

  test("two owners that drain the same spill count it once, and one block of the two not at all", async () => {
    const [clicks, spill, clock] = [createMemoryLog(), createMemoryLog(), virtualClock(START_MS)];
    await spill.append(SHARD, spilledBlock([click(), click()], 1));
    const one = await shardIn({ clicks, spill, clock });
    const two = await shardIn({ clicks, spill, clock });
    await clock.advance(20_000);
    for (const { state } of [one, two]) {
      expect(state.stats).toMatchObject({ accepted: 2, duplicates: 0, spilled: 2 });
    }
  });

  test("clicks and spill take turns, so that neither waits for the other's end", async () => {
    const { clicks, spill, clock, host } = await shardIn({ limits: { blockMaxRows: 2 } });
    for (let i = 1; i <= 4; i++) await spill.append(SHARD, spilledBlock([click(), click()], i));
    for (let i = 0; i < 4; i++) {
      const rows = rowsOf([click(), click()], SHARD);
      void host.submit({ shard: SHARD, rows, count: 2 });
    }
    await clock.advance(5_000);
    const records = await clicks.read(SHARD, 0, Number.MAX_SAFE_INTEGER);
    const sources = records.map(({ header }) => header.sourceOffset);
    expect(sources.filter((offset) => offset >= 0)).toEqual([1, 2, 3, 4]);
    expect(sources).toHaveLength(8);
  });

  test("spilled clicks that retention took before they were drained are a halt with a name", async () => {
    const first = await shardIn();
    await first.verdicts([click()]);
    await first.settled(first.host.drain(), 1_000);
    for (let i = 1; i <= 3; i++) await first.spill.append(SHARD, spilledBlock([click()], i));
    first.spill.dropBefore(SHARD, 2);
    await expect(shardIn(first)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  });

  test("rows that their caller took elsewhere leave the mailbox uncounted", async () => {
    const { clicks, clock, host, state } = await shardIn();
    clicks.failNext(SHARD, "unavailable");
    const first = host.submit({ shard: SHARD, rows: rowsOf([click()], SHARD), count: 1 });
    await clock.advance(5);
    const gone = new AbortController();
    const rows = rowsOf([click()], SHARD);
    const second = host.submit({ shard: SHARD, rows, count: 1, signal: gone.signal });
    second.catch(() => undefined);
    gone.abort();
    await clock.advance(1_000);
    await first;
    await expect(second).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(state.stats.accepted).toBe(1);
  });
});
