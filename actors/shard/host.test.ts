/** The shard's rules one by one, on a virtual clock over the memory log and store. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeBlock } from "../block/block.ts";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog, type MemoryLog } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { AdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { ShardHost } from "./host.ts";

const START_MS = 1_760_000_000_000;
const SHARD = 5;

interface World {
  readonly clicks?: MemoryLog;
  readonly deadLetters?: MemoryLog;
  readonly spill?: MemoryLog;
  readonly stores?: ShardStores;
  readonly sink?: ReturnType<typeof createMemoryCountSink>;
  readonly limits?: Partial<Limits>;
  readonly clock?: ReturnType<typeof virtualClock>;
}

async function shardIn(world: World = {}) {
  const {
    clicks = createMemoryLog(),
    deadLetters = createMemoryLog(),
    spill = createMemoryLog(),
    stores = memoryShardStores(),
    sink = createMemoryCountSink(),
    clock = virtualClock(START_MS),
  } = world;
  const limits = { ...DEFAULT_LIMITS, ...world.limits };
  const starting = ShardHost.start({
    shards: [{ shard: SHARD, epoch: 1 }],
    limits,
    clicks,
    deadLetters,
    spill,
    stores,
    sink,
    clock,
    random: (count) => randomBytes(count),
    logger: silentLogger,
    defer: (run) => void clock.after(0, run),
  });
  starting.catch(() => undefined);
  await clock.advance(100);
  const host = await starting;
  const settled = async <T>(promise: Promise<T>, ms = 50): Promise<T> => {
    promise.catch(() => undefined);
    await clock.advance(ms);
    return promise;
  };
  const submit = (batch: readonly SimClick[], ms?: number) =>
    settled(host.submit({ shard: SHARD, rows: rowsOf(batch, SHARD), count: batch.length }), ms);
  const verdicts = async (batch: readonly SimClick[]) => {
    const { outcomes } = await submit(batch);
    return batch.map((_, i) => outcomes[i * 2]);
  };
  const { state } = host.actors.get(SHARD)!;
  return { spill, clicks, stores, sink, clock, host, settled, submit, verdicts, state, limits };
}

const click = (over: Partial<SimClick> = {}): SimClick => ({
  id: uuidV7(START_MS, randomBytes(10)),
  adId: 1001,
  clickMs: START_MS,
  receivedMs: START_MS,
  ...over,
});

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

describe("recovery", () => {
  test("an offset that retention took is a halt with a name, never a jump", async () => {
    const first = await shardIn();
    await first.verdicts([click()]);
    first.host.actors.get(SHARD)!.save();
    await first.verdicts([click()]);
    await first.verdicts([click()]);
    await first.host.abandon();
    first.clicks.dropBefore(SHARD, 2);
    await expect(shardIn(first)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  });

  test("a log that ends before the state is a halt with a name", async () => {
    const first = await shardIn();
    await first.verdicts([click()]);
    await first.host.drain();
    await expect(shardIn({ stores: first.stores })).rejects.toMatchObject({ code: "LOG_BEHIND_STATE" });
  });

  test("a new state on a log whose beginning is gone leaves windows of that time as they are", async () => {
    const first = await shardIn();
    const minute = 60_000;
    await first.verdicts([click(), click()]);
    await first.verdicts([click()]);
    await first.settled(first.host.flushCounts());
    first.clicks.dropBefore(SHARD, 1);
    const second = await shardIn({ clicks: first.clicks, sink: first.sink, clock: first.clock });
    await second.clock.advance(10 * minute);
    await second.verdicts([click({ clickMs: START_MS + 9 * minute, receivedMs: START_MS + 9 * minute })]);
    await second.settled(second.host.flushCounts());
    expect(second.sink.counts().map((row) => row.clicks)).toEqual([3, 1]);
  });

  test("a sink that was emptied gets all counts of the retained windows again", async () => {
    const first = await shardIn();
    await first.verdicts([click(), click({ adId: 7 })]);
    await first.settled(first.host.drain(), 1_000);
    const second = await shardIn({ ...first, sink: createMemoryCountSink() });
    await second.settled(second.host.flushCounts());
    expect(second.sink.counts()).toHaveLength(2);
  });

  test("a store that fails in mid-run is destroyed, and the shard comes back from the log", async () => {
    const stores = memoryShardStores();
    let damaged = false;
    const failing: ShardStores = {
      destroy: (shard) => {
        damaged = false;
        return stores.destroy(shard);
      },
      open: async (shard) => {
        const store = await stores.open(shard);
        const read = store.readBuckets.bind(store);
        store.readBuckets = (keys) => {
          if (damaged) throw new AdtallyError("STORE_CORRUPT", "a flipped bit");
          return read(keys);
        };
        return store;
      },
    };
    const { host, clock, clicks, verdicts, submit } = await shardIn({ stores: failing });
    const one = click();
    await verdicts([one]);
    host.actors.get(SHARD)!.save();
    damaged = true;
    await expect(submit([one])).rejects.toMatchObject({ code: "ABORTED" });
    expect(host.faults).toEqual([expect.stringMatching(/shard 5: .*a flipped bit/)]);
    await clock.advance(5_000);
    expect(host.faults).toEqual([]);
    expect(await verdicts([one])).toEqual([Verdict.DUPLICATE]);
    expect((await clicks.bounds(SHARD)).next).toBe(2);
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
