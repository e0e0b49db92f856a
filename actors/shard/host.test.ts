/** The shard's rules one by one: verdicts, saves, the log's answers, bounds. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog, type MemoryLog } from "../adapters/memory/memory-log.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { click, SHARD, shardIn, START_MS } from "./shard.fixture.ts";

describe("deciding", () => {
  test("a repeat is a duplicate in the same block, in a later one, after a save, and after a restart", async () => {
    const one = click();
    const first = await shardIn();
    expect(await first.verdicts([one, one])).toEqual([Verdict.ACCEPTED, Verdict.DUPLICATE]);
    expect(await first.verdicts([one])).toEqual([Verdict.DUPLICATE]);
    first.host.actors.get(SHARD)!.save();
    expect(first.state.dedup.unsavedIds).toBe(0);
    expect(await first.verdicts([one])).toEqual([Verdict.DUPLICATE]);
    await first.host.abandon();
    const second = await shardIn(first);
    expect(await second.verdicts([one])).toEqual([Verdict.DUPLICATE]);
    expect(second.state.stats.accepted).toBe(0);
  });

  test("an id at the edge of what is remembered is decided; a slice older it is dead-lettered, never guessed", async () => {
    const { verdicts, submit, limits, state } = await shardIn();
    await verdicts([click()]);
    const floor =
      Math.floor((state.appendTimeMs - limits.dedupRetentionMs) / limits.dedupSliceMs) * limits.dedupSliceMs;
    expect(await verdicts([click({ id: uuidV7(floor, randomBytes(10)) })])).toEqual([Verdict.ACCEPTED]);
    const { outcomes } = await submit([click({ id: uuidV7(floor - 1, randomBytes(10)) })]);
    expect([...outcomes]).toEqual([Verdict.EXPIRED, Reason.HELD_PAST_RETENTION]);
  });

  test("a submission larger than a block is cut over several, and answered once in order", async () => {
    const { submit, state } = await shardIn({ limits: { blockMaxRows: 3 } });
    const one = click();
    const { outcomes } = await submit([click(), click(), one, click(), one, click(), click()]);
    expect([...outcomes].filter((_, i) => i % 2 === 0)).toEqual([1, 1, 1, 1, 2, 1, 1]);
    expect(state.stats.blocks).toBe(3);
  });
});

describe("saving", () => {
  test("dead letters that never ceased kept the state from being saved", async () => {
    const clock = virtualClock(START_MS);
    const slow = (log: MemoryLog): MemoryLog => ({
      ...log,
      append: async (partition, block) => {
        await new Promise<void>((resolve) => void clock.after(10, resolve));
        return log.append(partition, block);
      },
    });
    const { host, state, settled } = await shardIn({
      clock,
      clicks: slow(createMemoryLog()),
      deadLetters: slow(createMemoryLog()),
      limits: { stateSaveIntervalMs: 100 },
    });
    const answers: Promise<unknown>[] = [];
    const send = clock.every(3, () => {
      const batch = [click(), click({ clickMs: START_MS - 600_000 })];
      answers.push(host.submit({ shard: SHARD, rows: rowsOf(batch, SHARD), count: 2 }));
    });
    await clock.advance(10_000);
    send.cancel();
    await settled(Promise.all(answers), 200);
    expect(answers.length).toBeGreaterThan(3_000);
    expect(state.dedup.unsavedIds).toBeLessThan(1_000);
    expect(state.stats.late).toBe(answers.length);
  });
});

describe("the log's answers", () => {
  test("a log that stopped for good left its shard ready, and each click waiting for its deadline", async () => {
    const { clicks, clock, host, submit } = await shardIn();
    clicks.failNext(SHARD, "stopped");
    await expect(submit([click()])).rejects.toMatchObject({ code: "ABORTED" });
    expect(host.faults).toEqual([expect.stringContaining("stopped, as ordered")]);
    await expect(submit([click()])).rejects.toMatchObject({ code: "SHARD_HALTED" });
    const draining = host.drain();
    await clock.advance(10);
    await draining;
  });

  test("a sink that hangs held up the end of its program for minutes", async () => {
    const memory = createMemoryCountSink();
    const sink = { ...memory, writeCounts: () => new Promise<void>(() => undefined) };
    const { clock, host, limits, submit } = await shardIn({ sink });
    await submit([click()]);
    let drained = false;
    void host.drain().then(() => (drained = true));
    await clock.advance(limits.sinkDrainDeadlineMs + 100);
    expect(drained).toBe(true);
  });

  test("a drain waited for ever for dead letters that could not be written", async () => {
    const deadLetters = createMemoryLog();
    const { clock, host, limits, submit } = await shardIn({ deadLetters });
    for (let i = 0; i < 100; i++) deadLetters.failNext(SHARD, "unavailable");
    await submit([click({ clickMs: START_MS - 600_000 })]);
    let drained = false;
    void host.drain().then(() => (drained = true));
    await clock.advance(limits.drainDeadlineMs + 100);
    expect(drained).toBe(true);
  });

  test("an append whose answer was lost is found in the log, and counted once", async () => {
    const { clicks, submit, state } = await shardIn();
    clicks.failNext(SHARD, "answer-lost");
    const { offset, outcomes } = await submit([click(), click()]);
    expect([offset, [...outcomes]]).toEqual([0, [Verdict.ACCEPTED, 0, Verdict.ACCEPTED, 0]]);
    expect(state.stats).toMatchObject({ accepted: 2, blocks: 1, gaps: 1 });
    expect((await clicks.bounds(SHARD)).next).toBe(1);
  });

  test("a block that the log holds twice is counted once, duplicates in it too", async () => {
    const { clicks, verdicts, state } = await shardIn();
    const one = click();
    clicks.failNext(SHARD, "applied-twice");
    expect(await verdicts([one, one])).toEqual([Verdict.ACCEPTED, Verdict.DUPLICATE]);
    await verdicts([click()]);
    expect(state.stats).toMatchObject({ accepted: 2, duplicates: 1, repeatedBlocks: 1 });
  });

  test("the gap rule: what another owner wrote is folded first, and its click is not counted again", async () => {
    const clicks = createMemoryLog();
    const [one, two] = [await shardIn({ clicks }), await shardIn({ clicks })];
    const shared = click();
    expect(await one.verdicts([shared])).toEqual([Verdict.ACCEPTED]);
    const own = click();
    expect(await two.verdicts([shared, own])).toEqual([Verdict.DUPLICATE, Verdict.ACCEPTED]);
    expect(two.state.stats).toMatchObject({ accepted: 2, duplicates: 1, overruled: 1, gaps: 1 });
    await one.verdicts([click()]);
    expect(one.state.stats).toMatchObject({ accepted: 3, duplicates: 1, overruled: 1 });
  });

  test("a quiet owner learns within followIntervalMs of what another one wrote", async () => {
    const clicks = createMemoryLog();
    const [quiet, other] = [await shardIn({ clicks }), await shardIn({ clicks })];
    await other.verdicts([click()]);
    await quiet.clock.advance(quiet.limits.followIntervalMs + 2_000);
    expect(quiet.state.stats.accepted).toBe(1);
  });

  test("an unavailable log is tried again with the same block, and nobody is answered before it is there", async () => {
    const { clicks, host, settled, state } = await shardIn();
    for (let i = 0; i < 3; i++) clicks.failNext(SHARD, "unavailable");
    let answered = false;
    const answer = host.submit({ shard: SHARD, rows: rowsOf([click()], SHARD), count: 1 }).then((result) => {
      answered = true;
      return result;
    });
    await settled(Promise.resolve(), 10);
    expect(answered).toBe(false);
    expect((await settled(answer, 1_000)).offset).toBe(0);
    expect(state.sequence).toBe(1);
  });

  test("a caller whose deadline passes is told so, and its click, once taken, is counted all the same", async () => {
    const { clicks, clock, host, state, limits } = await shardIn();
    for (let i = 0; i < 100; i++) clicks.failNext(SHARD, "unavailable");
    const answer = host.submit({ shard: SHARD, rows: rowsOf([click()], SHARD), count: 1 });
    answer.catch(() => undefined);
    await clock.advance(limits.submitDeadlineMs + 2_000);
    await expect(answer).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await clock.advance(300_000);
    expect(state.stats.accepted).toBe(1);
  });
});

describe("bounds and refusals", () => {
  test("past the mailbox's bound a submission is refused whole, with a hint", async () => {
    const { host, state } = await shardIn({ limits: { mailboxMaxClicks: 10 } });
    const rows = rowsOf(
      Array.from({ length: 10 }, () => click()),
      SHARD,
    );
    void host.submit({ shard: SHARD, rows, count: 10 });
    await expect(
      host.submit({ shard: SHARD, rows: rowsOf([click()], SHARD), count: 1 }),
    ).rejects.toMatchObject({
      code: "OVERLOADED",
      retryAfterMs: DEFAULT_LIMITS.overloadRetryAfterMs,
    });
    expect(state.mailboxClicks).toBe(10);
  });

  test("rows that do not parse, or are another shard's, are refused by name", async () => {
    const { host } = await shardIn();
    const rows = rowsOf([click()], SHARD);
    const cases: [Buffer, number, RegExp][] = [
      [rows.subarray(0, rows.length - 1), 1, /row 0 of 1 is cut off/],
      [rows, 2, /row 1 of 2 is cut off/],
      [Buffer.concat([rows, rows]), 1, /bytes behind the last row/],
      [rowsOf([click()], 4), 1, /for shard 4, not 5/],
      [rows, 0, /without rows/],
    ];
    for (const [bytes, count, message] of cases) {
      await expect(host.submit({ shard: SHARD, rows: bytes, count })).rejects.toThrow(message);
    }
    await expect(host.submit({ shard: 9, rows, count: 1 })).rejects.toMatchObject({ code: "NOT_OWNER" });
  });
});

test("counts leave with the log offset as their version, and an older flush never wins", async () => {
  const { verdicts, settled, host, sink } = await shardIn();
  await verdicts([click()]);
  await settled(host.flushCounts());
  await verdicts([click()]);
  await settled(host.flushCounts());
  expect(sink.counts()).toEqual([
    expect.objectContaining({ clicks: 2, version: 1, shard: SHARD, adId: 1001n }),
  ]);
});
