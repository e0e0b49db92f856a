import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { AdtallyError, type ErrorCode } from "../core/errors.ts";
import { readImpressionId, rowEnd, RowAt } from "../block/row.ts";
import { DEFAULT_LIMITS as limits } from "../core/limits.ts";
import { Verdict } from "../core/verdict.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { ShardPort, Submission } from "../ports/shard-port.ts";
import { route } from "../routing/generation.ts";
import { addGeneration, emptyTable, type RoutingTable } from "../routing/table.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { virtualClock, type VirtualClock } from "../sim/virtual-clock.ts";
import { createSpillingShardPort } from "./spilling-shard-port.ts";
import { startSpoolDrainer } from "./spool-drainer.ts";
import { routeRows, unroutedPartition } from "./unrouted.ts";

const SHARD = 2;

function submission(count = 2): Submission {
  const clicks = Array.from({ length: count }, () => ({
    id: uuidV7(1_760_000_000_000, randomBytes(10)),
    adId: 7,
    clickMs: 1_760_000_000_000,
    receivedMs: 1_760_000_000_000,
  }));
  return { shard: SHARD, rows: rowsOf(clicks, SHARD), count };
}

/** A shard whose answers are given by hand: after a wait, or by a refusal. */
function stubbornShard(clock: VirtualClock) {
  const taken: Submission[] = [];
  const shard = {
    taken,
    answerAfterMs: 0,
    refusal: undefined as ErrorCode | undefined,
    submit: (given: Submission) =>
      new Promise<{ offset: number; outcomes: Uint8Array }>((resolve, reject) => {
        taken.push(given);
        const { refusal } = shard;
        clock.after(shard.answerAfterMs, () => {
          if (refusal !== undefined) reject(new AdtallyError(refusal, "as ordered"));
          else resolve({ offset: taken.length - 1, outcomes: new Uint8Array(given.count * 2).fill(1) });
        });
      }),
  };
  return shard satisfies ShardPort;
}

function spilling(given: { spool?: boolean; spill?: ClickLog; isReachable?: () => boolean } = {}) {
  const clock = virtualClock(1_760_000_000_000);
  const shard = stubbornShard(clock);
  const spill = createMemoryLog("spill");
  const spool = createMemoryLog("spool");
  const port = createSpillingShardPort({
    inner: shard,
    ...(given.isReachable && { isReachable: given.isReachable }),
    spill: given.spill ?? spill,
    ...(given.spool === false ? {} : { spool }),
    writer: 5,
    limits,
    clock,
    logger: silentLogger,
  });
  const settled = async <T>(promise: Promise<T>, ms = 1): Promise<T> => {
    promise.catch(() => undefined);
    await clock.advance(ms);
    return promise;
  };
  return { clock, shard, spill, spool, port, settled };
}

const next = async (log: ClickLog) => (await log.bounds(SHARD)).next;
const isDeferred = (outcomes: Uint8Array) =>
  outcomes.every((byte, i) => byte === (i % 2 === 0 ? Verdict.DEFERRED : 0));

describe("a spilling port", () => {
  test("passes on what the shard answers in time, and spills nothing", async () => {
    const { port, settled, spill, shard } = spilling();
    shard.answerAfterMs = limits.spillAfterMs - 1;
    expect((await settled(port.submit(submission()), limits.spillAfterMs)).offset).toBe(0);
    expect(await next(spill)).toBe(0);
  });

  test.each<ErrorCode>(["OVERLOADED", "NOT_OWNER", "SHARD_HALTED", "DEADLINE_EXCEEDED", "ABORTED"])(
    "spills on %s, rows unchanged, and says DEFERRED",
    async (code) => {
      const { port, settled, spill, shard } = spilling();
      shard.refusal = code;
      const given = submission();
      const { offset, outcomes } = await settled(port.submit(given));
      expect(offset).toBeUndefined();
      expect(isDeferred(outcomes)).toBe(true);
      const [record] = await spill.read(SHARD, 0, 1);
      expect(record!.value.equals(given.rows)).toBe(true);
      expect(record!.header).toMatchObject({ rowCount: 2, writer: 5, sourceOffset: -1 });
    },
  );

  test("a patient caller is told of overload, and waits longer than spillAfterMs", async () => {
    const { port, settled, spill, shard } = spilling();
    shard.refusal = "OVERLOADED";
    await expect(settled(port.patient.submit(submission()))).rejects.toMatchObject({ code: "OVERLOADED" });
    shard.refusal = undefined;
    shard.answerAfterMs = 2_000;
    expect((await settled(port.patient.submit(submission()), 2_001)).offset).toBe(1);
    expect(await next(spill)).toBe(0);
    shard.refusal = "ABORTED";
    expect(isDeferred((await settled(port.patient.submit(submission()), 2_001)).outcomes)).toBe(true);
  });

  test("a hanging shard makes the first wait; the others are diverted at once until it answers", async () => {
    const { port, settled, shard, clock } = spilling();
    shard.answerAfterMs = 60_000;
    expect(isDeferred((await settled(port.submit(submission()), limits.spillAfterMs)).outcomes)).toBe(true);
    expect(shard.taken[0]!.signal?.aborted).toBe(true);
    for (let i = 0; i < 10; i++) {
      expect(isDeferred((await settled(port.submit(submission()), 1)).outcomes)).toBe(true);
    }
    expect(shard.taken).toHaveLength(1);
    await clock.advance(60_000);
    shard.answerAfterMs = 0;
    expect((await settled(port.submit(submission()))).offset).toBe(1);
  });

  test("while a shard stays away, one at a time asks for it and nobody else waits, patient or not", async () => {
    const { port, settled, shard, clock } = spilling();
    shard.answerAfterMs = limits.submitDeadlineMs;
    shard.refusal = "DEADLINE_EXCEEDED";
    await settled(port.submit(submission()), limits.spillAfterMs);
    await clock.advance(limits.submitDeadlineMs);
    const asking = port.patient.submit(submission());
    for (let i = 0; i < 5; i++) {
      expect(isDeferred((await settled(port.submit(submission()))).outcomes)).toBe(true);
      expect(isDeferred((await settled(port.patient.submit(submission()))).outcomes)).toBe(true);
    }
    expect(shard.taken).toHaveLength(2);
    expect(isDeferred((await settled(asking, limits.spillPatientAfterMs)).outcomes)).toBe(true);
    await clock.advance(limits.submitDeadlineMs);
    shard.refusal = undefined;
    shard.answerAfterMs = 0;
    expect((await settled(port.submit(submission()))).offset).toBe(2);
    const both = [port.submit(submission()), port.patient.submit(submission())];
    expect((await settled(Promise.all(both))).map(({ offset }) => offset)).toEqual([4, 4]);
  });

  test("no browser waits for a shard that cannot be reached; a patient caller does", async () => {
    const { port, settled, shard, spill } = spilling({ isReachable: () => false });
    shard.answerAfterMs = 1_000;
    expect(isDeferred((await settled(port.submit(submission()))).outcomes)).toBe(true);
    expect(shard.taken).toHaveLength(0);
    expect((await settled(port.patient.submit(submission()), 1_001)).offset).toBe(0);
    expect(await next(spill)).toBe(1);
  });

  test("rows at fault are refused as the shard refused them, and not spilled", async () => {
    const { port, settled, spill, shard } = spilling();
    shard.refusal = "INPUT_INVALID";
    await expect(settled(port.submit(submission()))).rejects.toMatchObject({ code: "INPUT_INVALID" });
    expect(await next(spill)).toBe(0);
  });

  test("with the spill down the spool takes the clicks; without a spool the shard's failure is told", async () => {
    const withSpool = spilling();
    withSpool.shard.refusal = "NOT_OWNER";
    withSpool.spill.failNext(SHARD, "unavailable");
    expect(isDeferred((await withSpool.settled(withSpool.port.submit(submission()))).outcomes)).toBe(true);
    expect(await next(withSpool.spool)).toBe(1);
    expect(withSpool.port.stats).toEqual({ spilled: 0, spooled: 2, notKept: 0 });
    const without = spilling({ spool: false });
    without.shard.refusal = "NOT_OWNER";
    without.spill.failNext(SHARD, "unavailable");
    await expect(without.settled(without.port.submit(submission()))).rejects.toMatchObject({
      code: "NOT_OWNER",
    });
  });

  test("what the spool refuses too is NOT_KEPT, patient or not, and counted; it is never told as deferred", async () => {
    const { port, settled, shard, spill, spool } = spilling();
    shard.refusal = "NOT_OWNER";
    for (const to of [port, port.patient]) {
      spill.failNext(SHARD, "unavailable");
      spool.failNext(SHARD, "unavailable");
      await expect(settled(to.submit(submission()))).rejects.toMatchObject({
        code: "NOT_KEPT",
        after: "retry",
        retryAfterMs: limits.spoolRetryAfterMs,
      });
    }
    expect(port.stats).toEqual({ spilled: 0, spooled: 0, notKept: 4 });
    spill.failNext(SHARD, "unavailable");
    expect(isDeferred((await settled(port.submit(submission()))).outcomes)).toBe(true);
  });

  test("a spill that hangs makes the first wait; the others are spooled at once", async () => {
    let appends = 0;
    const hanging: ClickLog = {
      ...createMemoryLog(),
      append: () => {
        appends += 1;
        return new Promise(() => undefined);
      },
    };
    const { port, settled, shard, spool } = spilling({ spill: hanging });
    shard.refusal = "NOT_OWNER";
    await settled(port.submit(submission()), limits.spillDeadlineMs + 1);
    for (let i = 0; i < 5; i++) await settled(port.submit(submission()));
    expect(appends).toBe(1);
    expect(await next(spool)).toBe(6);
  });
});

describe("the spool's drainer", () => {
  async function draining(
    target: ShardPort,
    spill = createMemoryLog(),
    saved = new Map<number, number>(),
    table?: () => RoutingTable,
  ) {
    const clock = virtualClock(1_760_000_000_000);
    const spool = createMemoryLog("spool");
    const progress = {
      load: () => Promise.resolve(new Map(saved)),
      save: (now: ReadonlyMap<number, number>) => {
        for (const [shard, offset] of now) saved.set(shard, offset);
        return Promise.resolve();
      },
    };
    const drainer = await startSpoolDrainer({
      spool,
      progress,
      target,
      spill,
      shards: () => [SHARD],
      ...(table && { table }),
      clock,
      logger: silentLogger,
    });
    return { clock, spool, spill, saved, drainer };
  }
  const blockOf = async () => {
    const { port, settled, shard, spool } = spilling();
    shard.refusal = "NOT_OWNER";
    const given = submission();
    const failing = spilling();
    failing.shard.refusal = "NOT_OWNER";
    failing.spill.failNext(SHARD, "unavailable");
    await failing.settled(failing.port.submit(given));
    await settled(port.submit(given));
    expect(await next(spool)).toBe(0);
    return (await failing.spool.read(SHARD, 0, 1))[0]!;
  };

  test("hands all blocks on in order, small ones as one, notes their place, and does not hand them on twice", async () => {
    const taken: Buffer[] = [];
    const target: ShardPort = {
      submit: ({ rows, count }) => {
        taken.push(rows);
        return Promise.resolve({ offset: 0, outcomes: new Uint8Array(count * 2) });
      },
    };
    const { clock, spool, saved, drainer } = await draining(target);
    const blocks = [await blockOf(), await blockOf(), await blockOf()];
    for (const block of blocks) await spool.append(SHARD, block);
    expect(await drainer.backlog()).toBe(3);
    await clock.advance(5_000);
    expect(taken).toEqual([Buffer.concat(blocks.map(({ value }) => value))]);
    expect(saved.get(SHARD)).toBe(3);
    expect(await drainer.backlog()).toBe(0);
    await drainer.stop();
  });

  test("what no shard takes goes to the spill; with both down it stays, and goes later", async () => {
    const down: ShardPort = { submit: () => Promise.reject(new AdtallyError("NOT_OWNER", "nobody")) };
    const { clock, spool, spill, saved, drainer } = await draining(down);
    spill.failNext(SHARD, "unavailable");
    await spool.append(SHARD, await blockOf());
    await clock.advance(1_500);
    expect(saved.get(SHARD)).toBeUndefined();
    await clock.advance(1_000);
    expect(await next(spill)).toBe(1);
    expect(saved.get(SHARD)).toBe(1);
    await drainer.stop();
  });

  test("D1 a spool that begins behind the note was drained up to there: nothing else drops a block", async () => {
    const taken: number[] = [];
    const target: ShardPort = {
      submit: ({ count }) => {
        taken.push(count);
        return Promise.resolve({ offset: 0, outcomes: new Uint8Array(count * 2) });
      },
    };
    const { clock, spool, drainer } = await draining(target);
    for (let n = 0; n < 3; n++) await spool.append(SHARD, await blockOf());
    spool.dropBefore(SHARD, 2);
    expect(await drainer.backlog()).toBe(1);
    await clock.advance(1_500);
    expect(taken).toEqual([2]);
    expect(await drainer.backlog()).toBe(0);
    await drainer.stop();
  });

  test("D4 rows of an unknown generation wait for a table that has it, and go where it says", async () => {
    const taken: Submission[] = [];
    const target: ShardPort = {
      submit: (submission) => {
        taken.push(submission);
        return Promise.resolve({ offset: 0, outcomes: new Uint8Array(submission.count * 2) });
      },
    };
    const four = addGeneration(emptyTable(0), { shardCount: 4 }, 0, limits);
    let table = emptyTable(0);
    const { clock, spool, saved, drainer } = await draining(target, undefined, undefined, () => table);
    const partition = unroutedPartition(limits);
    const kept = spilling();
    const rows = unroutedRows(200);
    const { outcomes } = await kept.settled(kept.port.submit({ shard: partition, rows, count: 200 }));
    expect(isDeferred(outcomes)).toBe(true);
    // Neither a shard nor the spill topic was asked: they have no such partition.
    expect(kept.shard.taken).toEqual([]);
    await spool.append(partition, (await kept.spool.read(partition, 0, 1))[0]!);
    await clock.advance(3_000);
    expect(taken).toEqual([]);
    expect(await drainer.backlog()).toBe(1);
    table = four;
    await clock.advance(1_500);
    expect(taken.map(({ shard }) => shard).toSorted()).toEqual([0, 1, 2, 3]);
    expect(taken.reduce((sum, { count }) => sum + count, 0)).toBe(200);
    for (const { shard, rows: routed } of taken) {
      for (let at = 0; at < routed.length; at = rowEnd(routed, at)) {
        const id = readImpressionId(routed, at);
        const [adHigh, adLow] = [
          routed.readUInt32LE(at + RowAt.adId + 4),
          routed.readUInt32LE(at + RowAt.adId),
        ];
        const words = [0, 4, 8, 12].map((word) => id.readUInt32BE(word)) as [number, number, number, number];
        expect(route(four.generations.get(1)!, adHigh, adLow, ...words)).toBe(shard);
        expect(routed.readUInt16LE(at + RowAt.shard)).toBe(shard);
      }
    }
    expect(saved.get(partition)).toBe(1);
    await drainer.stop();
  });

  test("V2 rows that nothing remembers any more wait for no generation: the newest table's shards have them", () => {
    const table = addGeneration(emptyTable(0), { shardCount: 4 }, 0, limits);
    const rows = unroutedRows(20);
    for (let at = 0; at < rows.length; at = rowEnd(rows, at)) rows.writeUInt16LE(9, at + RowAt.generation);
    const receivedMs = 1_760_000_000_000;
    const age = limits.tokenLifeMs + limits.dedupRetentionMs + limits.clockSkewMs;
    expect(routeRows(rows, table, receivedMs + age, limits)).toBeUndefined();
    const parts = routeRows(rows, table, receivedMs + age + 1, limits) ?? [];
    expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(20);
  });
});

/** Of many ads, that pin generation 1; as an intake writes them that does not know it. */
function unroutedRows(count: number): Buffer {
  const clicks = Array.from({ length: count }, (_, n) => ({
    id: uuidV7(1_760_000_000_000, randomBytes(10)),
    adId: n + 1,
    clickMs: 1_760_000_000_000,
    receivedMs: 1_760_000_000_000,
  }));
  const rows = rowsOf(clicks, 0xffff);
  for (let at = 0; at < rows.length; at = rowEnd(rows, at)) rows.writeUInt16LE(1, at + RowAt.generation);
  return rows;
}
