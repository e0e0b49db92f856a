/**
 * Long outages in virtual time: the log away for ten minutes before a gateway's spill and spool
 * (fault 7), ClickHouse away for an hour behind a shard (fault 10).
 */
import { expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog, type MemoryLog } from "../adapters/memory/memory-log.ts";
import { AdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { minuteOf } from "../core/time.ts";
import { Verdict } from "../core/verdict.ts";
import { COUNT_ROW_BYTES } from "../ports/count-sink.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { seededRandom } from "../sim/random.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { createSpillingShardPort } from "../spill/spilling-shard-port.ts";
import { startSpoolDrainer } from "../spill/spool-drainer.ts";
import { watchedSink } from "./count-outage.fixture.ts";
import { SHARD, shardIn, START_MS } from "./shard.fixture.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const seed = Number(process.env["ADTALLY_SEED"]);
const context = `seed ${seed}`;
const random = seededRandom(seed);
const ADS = 40;

/** New clicks of this moment, the ads unevenly clicked. */
const clicksAt = (nowMs: number, count: number, ads = ADS): SimClick[] =>
  Array.from({ length: count }, () => ({
    id: uuidV7(nowMs - random.below(30 * MINUTE_MS), random.bytes(10)),
    adId: 100 + Math.min(random.below(ads), random.below(ads)),
    clickMs: nowMs,
    receivedMs: nowMs,
  }));

/** Refuses what is asked of it while `down()`, and keeps count. */
function failingLog(log: MemoryLog, down: () => boolean) {
  const fired = { refused: 0 };
  const refuse = () => {
    fired.refused += 1;
    return Promise.reject(new AdtallyError("LOG_UNAVAILABLE", "no broker answers"));
  };
  const failing: MemoryLog = {
    ...log,
    append: (partition, block) => (down() ? refuse() : log.append(partition, block)),
    read: (partition, from, bytes) => (down() ? refuse() : log.read(partition, from, bytes)),
    bounds: (partition) => (down() ? refuse() : log.bounds(partition)),
  };
  return { failing, fired };
}

test("fault 7: the log is down for ten minutes: browsers are let go at once, nothing is called counted, then the spool drains", async () => {
  const clock = virtualClock(START_MS);
  let isDown = false;
  const down = () => isDown;
  const clicks = failingLog(createMemoryLog("clicks"), down);
  const spill = failingLog(createMemoryLog("spill"), down);
  const spool = createMemoryLog("the gateway's disk");
  const world = await shardIn({ clicks: clicks.failing, spill: spill.failing, clock });
  const common = { spill: spill.failing, clock, logger: silentLogger };
  const port = createSpillingShardPort({
    ...common,
    inner: world.host,
    spool,
    writer: 9,
    limits: DEFAULT_LIMITS,
  });
  const progress = { load: () => Promise.resolve(new Map<number, number>()), save: () => Promise.resolve() };
  const drainer = await startSpoolDrainer({
    ...common,
    spool,
    progress,
    target: world.host,
    shards: () => [SHARD],
  });

  const told = new Map<number, number>();
  const waits: number[] = [];
  let sent = 0;
  let underWay = 0;
  let acceptedWhileDown = 0;
  const send = (to: typeof port | typeof port.patient) => {
    const batch = clicksAt(clock.now(), 1 + random.below(20));
    sent += batch.length;
    underWay += 1;
    const beganAt = clock.monotonic();
    void to.submit({ shard: SHARD, rows: rowsOf(batch, SHARD), count: batch.length }).then(({ outcomes }) => {
      underWay -= 1;
      if (to === port) waits.push(clock.monotonic() - beganAt);
      for (let at = 0; at < outcomes.length; at += 2) {
        told.set(outcomes[at]!, (told.get(outcomes[at]!) ?? 0) + 1);
        if (isDown && outcomes[at] === Verdict.ACCEPTED) acceptedWhileDown += 1;
      }
    });
  };
  const sendFor = async (ms: number) => {
    for (const until = clock.monotonic() + ms; clock.monotonic() < until;) {
      send(random.chance(0.7) ? port : port.patient);
      await clock.advance(50 + random.below(400));
    }
  };

  await sendFor(5 * SECOND_MS);
  await clock.advance(SECOND_MS);
  isDown = true;
  await sendFor(10 * MINUTE_MS);
  expect([acceptedWhileDown, clicks.fired.refused > 0, spill.fired.refused > 0], context).toEqual([
    0,
    true,
    true,
  ]);
  const backlog = await drainer.backlog();
  expect(backlog, context).toBeGreaterThan(1_000);
  // I4: the shard holds what callers wait for, and one block of the drain.
  expect(world.state.mailboxClicks, context).toBeLessThan(DEFAULT_LIMITS.blockMaxRows + 1_000);

  isDown = false;
  await sendFor(5 * SECOND_MS);
  await clock.advance(2 * MINUTE_MS);
  expect([underWay, await drainer.backlog()], context).toEqual([0, 0]);
  const { spillAfterMs, spillDeadlineMs } = DEFAULT_LIMITS;
  expect(Math.max(...waits), context).toBeLessThanOrEqual(spillAfterMs + spillDeadlineMs);
  const overdue = waits.filter((ms) => ms > 0).length;
  expect(overdue / waits.length, context).toBeLessThan(0.2);
  expect([...told.keys()].sort(), context).toEqual([Verdict.ACCEPTED, Verdict.DEFERRED]);

  // I1: each click once, whatever became of its first sending.
  await world.settled(world.host.flushCounts(), 1_000);
  expect(
    world.sink.counts().reduce((sum, row) => sum + row.clicks, 0),
    context,
  ).toBe(sent);
  await drainer.stop();
});

test("fault 10: ClickHouse is down for an hour: counting goes on, memory holds a row a window, and it catches up", async () => {
  const clock = virtualClock(START_MS);
  const watched = watchedSink(clock);
  const { sink } = watched;
  const limits = { dedupRunIds: 512, stateSaveIntervalMs: 5_000 };
  const world = await shardIn({ sink, clock, limits });
  const expected = new Map<string, number>();
  let sent = 0;
  const clickFor = async (ms: number) => {
    for (const until = clock.monotonic() + ms; clock.monotonic() < until;) {
      const batch = clicksAt(clock.now(), 20 + random.below(20));
      const outcomes = await world.verdicts([...batch, batch[0]!]);
      expect(outcomes.filter((verdict) => verdict === Verdict.ACCEPTED).length, context).toBe(batch.length);
      for (const { adId, clickMs } of batch) {
        const key = `${adId}@${minuteOf(clickMs)}`;
        expected.set(key, (expected.get(key) ?? 0) + 1);
      }
      sent += batch.length;
      await clock.advance(2 * SECOND_MS);
    }
  };
  await clickFor(10 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  const before = world.state.windows.stats;
  const seen = sink.counts().length;

  watched.isDown = true;
  await clickFor(60 * MINUTE_MS);
  expect(watched.refused, context).toBeGreaterThan(100);
  expect(sink.counts().length, context).toBe(seen);
  expect(world.host.faults, context).toEqual([]);
  // I4: one row for each ad and minute, however many clicks.
  expect(sent, context).toBeGreaterThan(10 * ADS * 60);
  expect(world.state.windows.unflushed, context).toBeLessThanOrEqual(ADS * 62);

  watched.isDown = false;
  await clickFor(2 * MINUTE_MS);
  expect(world.state.windows.unflushed, context).toBeLessThanOrEqual(ADS);
  await clickFor(10 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  const after = world.state.windows.stats;
  expect([after.windows, after.bytes], context).toEqual([
    expect.toSatisfy((windows: number) => windows <= before.windows + ADS),
    expect.toSatisfy((bytes: number) => bytes <= 1.2 * before.bytes),
  ]);
  await world.settled(world.host.flushCounts(), 1_000);
  const counted = new Map(sink.counts().map(({ adId, minute, clicks }) => [`${adId}@${minute}`, clicks]));
  expect(counted, context).toEqual(expected);
  expect(watched.fallen, context).toEqual([]);
  // I2: a replay of the log into an empty sink comes to the same.
  const anew = createMemoryCountSink();
  const second = await shardIn({ clicks: world.clicks, sink: anew, clock });
  await second.settled(second.host.flushCounts(), 1_000);
  const plain = (from: typeof anew) => from.counts().map((row) => `${row.adId} ${row.minute} ${row.clicks}`);
  expect(plain(anew).sort(), context).toEqual(plain(sink).sort());
}, 60_000);

test("fault 10: ClickHouse is down for an hour and ads are many: memory keeps its bound through crashes, and all of it is counted", async () => {
  const clock = virtualClock(START_MS);
  const watched = watchedSink(clock, 200);
  const limits = {
    dedupRunIds: 512,
    stateSaveIntervalMs: 5_000,
    windowMemoryMaxRows: 2_000,
    countFlushMaxRows: 2_048,
  };
  let world = await shardIn({ sink: watched.sink, clock, limits });
  const { clicks, spill, stores } = world;
  const expected = new Map<string, number>();
  /** Offset of the first click of each window. */
  const begunAt = new Map<string, number>();
  const byMinute = new Map<number, Set<number>>();
  const largest = { inMemory: 0, parked: 0, reopened: 0 };
  /** Windows of minutes that clicks may still change: what memory has to hold besides its bound. */
  const openWindows = () => {
    const from = minuteOf(clock.now() - DEFAULT_LIMITS.allowedLatenessMs - 5 * SECOND_MS);
    let windows = 0;
    for (const [minute, ads] of byMinute) if (minute >= from) windows += ads.size;
    return windows;
  };
  const clickFor = async (ms: number) => {
    for (const until = clock.monotonic() + ms; clock.monotonic() < until;) {
      // Now and then one that a gateway took long ago: its minute is read back.
      const heldMs = random.chance(0.05) ? random.below(40 * MINUTE_MS) : 0;
      if (heldMs > 10 * MINUTE_MS) largest.reopened += 1;
      const batch = clicksAt(clock.now(), 30, 10_000).concat(clicksAt(clock.now() - heldMs, 1, 10_000));
      const { offset, outcomes } = await world.submit(batch);
      expect(new Set(outcomes.filter((_, i) => i % 2 === 0)), context).toEqual(new Set([Verdict.ACCEPTED]));
      for (const { adId, clickMs } of batch) {
        const minute = minuteOf(clickMs);
        byMinute.set(minute, (byMinute.get(minute) ?? new Set()).add(adId));
        const key = `${adId}@${minute}`;
        expected.set(key, (expected.get(key) ?? 0) + 1);
        if (!begunAt.has(key)) begunAt.set(key, offset!);
      }
      await clock.advance(2 * SECOND_MS);
      const { stats, unflushed } = world.state.windows;
      largest.parked = Math.max(largest.parked, unflushed - stats.windows);
      const bound = 2 * limits.windowMemoryMaxRows + openWindows();
      expect(stats.windows, `${context}, minute ${(clock.now() - START_MS) / MINUTE_MS}`).toBeLessThan(bound);
    }
  };
  const crash = async () => {
    await world.host.abandon();
    world = await shardIn({ clicks, spill, stores, sink: watched.sink, clock, limits });
  };
  const counts = () =>
    new Map(watched.sink.counts().map(({ adId, minute, clicks }) => [`${adId}@${minute}`, clicks]));

  await clickFor(10 * MINUTE_MS);
  watched.isDown = true;
  await clickFor(30 * MINUTE_MS);
  await crash();
  await clickFor(30 * MINUTE_MS);
  expect([watched.refused > 100, largest.reopened > 10], context).toEqual([true, true]);
  // I5: what waits is many times what memory may hold.
  expect(largest.parked, context).toBeGreaterThan(10 * limits.windowMemoryMaxRows);

  // No checkpoint before everything that it covers: each window of the log is there when the first comes.
  const [missing, behind]: [string[], number[]] = [[], []];
  watched.onCheckpoint = ({ offset }) => {
    const seen = counts();
    for (const [key, begun] of begunAt) if (begun <= offset && !seen.has(key)) missing.push(key);
    watched.onCheckpoint = () => undefined;
  };
  const before = counts().size;
  watched.isDown = false;
  for (let crashes = 0; crashes < 2; crashes++) {
    const [arrived, until] = [counts().size, clock.monotonic() + MINUTE_MS];
    while (counts().size < arrived + 8_000 && clock.monotonic() < until) await clock.advance(100);
    behind.push(expected.size - counts().size);
    await crash();
  }
  expect(Math.min(...behind), `${context}, ${before} of ${expected.size}`).toBeGreaterThan(10_000);
  await clickFor(2 * MINUTE_MS);
  expect([missing, world.state.windows.unflushed < 100], context).toEqual([[], true]);
  await clickFor(10 * MINUTE_MS);
  await world.settled(world.host.flushCounts(), 1_000);
  expect(counts(), context).toEqual(expected);
  expect(watched.fallen, context).toEqual([]);
  expect(watched.largest, context).toBeLessThanOrEqual(limits.countFlushMaxRows * COUNT_ROW_BYTES);
  // I4.
  expect(world.state.windows.stats.windows, context).toBeLessThan(
    2 * limits.windowMemoryMaxRows + openWindows(),
  );
}, 120_000);
