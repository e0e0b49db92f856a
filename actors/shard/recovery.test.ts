/** Where a fold begins: after a crash, with the store damaged or lost, with the log's beginning gone. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { AdtallyError } from "../core/errors.ts";
import { minuteOf } from "../core/time.ts";
import { Verdict } from "../core/verdict.ts";
import { sampleBlock } from "../ports/click-log.sample.ts";
import { encodeCountRows } from "../ports/count-rows.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { uuidV7, type SimClick } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { click, SHARD, shardIn, START_MS } from "./shard.fixture.ts";

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

  test("count tables dropped and made anew in mid-run: each shard sends all of its counts again, not only what changes", async () => {
    const sink = createMemoryCountSink();
    const { clock, settled, host, verdicts } = await shardIn({ sink });
    await verdicts([click(), click({ adId: 7 })]);
    await settled(host.flushCounts());
    sink.failNext("unavailable");
    await verdicts([click({ adId: 8 })]);
    await expect(settled(host.flushCounts())).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
    sink.forget();
    await clock.advance(1_000);
    await settled(host.flushCounts());
    expect(
      sink
        .counts()
        .map(({ adId }) => Number(adId))
        .sort(),
    ).toEqual([1001, 7, 8]);
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

describe("with the store lost", () => {
  const hour = 3_600_000;
  const clickAt = (timeMs: number) =>
    click({ id: uuidV7(timeMs, randomBytes(10)), clickMs: timeMs, receivedMs: timeMs });

  test("windows come from the sink, ids from the hours they are remembered, and counting goes on", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const first = await shardIn({ clicks, sink, clock });
    for (let i = 0; i < 20; i++) {
      await first.verdicts([clickAt(clock.now()), clickAt(clock.now())]);
      await clock.advance(hour / 2);
    }
    const seen = clickAt(clock.now());
    await first.verdicts([seen]);
    await first.settled(first.host.flushCounts());
    // Counted after the last checkpoint.
    const unflushed = clickAt(clock.now());
    await first.verdicts([unflushed]);
    await first.host.abandon();
    const before = sink.counts().length;
    const second = await shardIn({ clicks, sink, clock, stores: memoryShardStores() });
    // Only as much as ids are remembered was read again, and none of it counted twice.
    expect(second.state.stats.blocks).toBeLessThan(10);
    expect(await second.verdicts([seen, unflushed, clickAt(clock.now())])).toEqual([
      Verdict.DUPLICATE,
      Verdict.DUPLICATE,
      Verdict.ACCEPTED,
    ]);
    await second.settled(second.host.flushCounts());
    const anew = createMemoryCountSink();
    const replayed = await shardIn({ clicks, sink: anew, clock, stores: memoryShardStores() });
    await replayed.settled(replayed.host.flushCounts());
    const plain = (from: typeof sink) =>
      from
        .counts()
        .map((row) => `${row.minute} ${row.clicks} ${row.duplicates}`)
        .sort();
    expect(plain(sink)).toEqual(plain(anew));
    expect(sink.counts().length).toBeGreaterThanOrEqual(before);
  });

  test("a long replay held all its ids in memory: it saves as it goes, with windows from the sink and without", async () => {
    const limits = { dedupRunIds: 8 };
    const first = await shardIn({ limits });
    const sent: SimClick[] = [];
    for (let i = 0; i < 40; i++) {
      sent.push(click(), click());
      await first.verdicts(sent.slice(-2));
    }
    await first.settled(first.host.flushCounts());
    await first.host.abandon();
    const { clicks, sink } = first;
    for (const from of [sink, createMemoryCountSink()]) {
      // The log hands out a block at a time.
      const slow = { ...clicks, read: (shard: number, at: number) => clicks.read(shard, at, 1) };
      const again = await shardIn({ clicks: slow, sink: from, stores: memoryShardStores(), limits });
      expect(again.state.dedup.unsavedIds).toBeLessThan(8);
      expect(again.state.stats.accepted).toBe(80);
      expect(new Set(await again.verdicts(sent))).toEqual(new Set([Verdict.DUPLICATE]));
      await again.settled(again.host.flushCounts());
      expect(from.counts().map((row) => row.clicks)).toEqual([80]);
      await again.host.abandon();
    }
  });

  test("a rebuild that was cut short begins anew", async () => {
    const first = await shardIn();
    const sent = [click(), click()];
    await first.verdicts(sent);
    await first.settled(first.host.flushCounts());
    await first.host.abandon();
    const stores = memoryShardStores();
    const cut = await stores.open(SHARD);
    cut.saveIds([
      {
        slice: 1,
        run: 1,
        bucketBits: 0,
        ids: 1,
        filter: Buffer.alloc(0),
        replaces: [],
        buckets: [Buffer.alloc(24)],
      },
    ]);
    await cut.close();
    const again = await shardIn({ ...first, stores });
    expect(again.state.dedup.stats).toMatchObject({ ids: 2, slices: 1 });
    expect(await again.verdicts(sent)).toEqual([Verdict.DUPLICATE, Verdict.DUPLICATE]);
  });

  test("a window that was flushed after the last checkpoint counts no block twice", async () => {
    const [clicks, sink, clock] = [createMemoryLog(), createMemoryCountSink(), virtualClock(START_MS)];
    const first = await shardIn({ clicks, sink, clock });
    await first.verdicts([clickAt(START_MS)]);
    await first.settled(first.host.flushCounts());
    const forgetful = {
      ...sink,
      writeCheckpoints: () => Promise.reject(new AdtallyError("COUNT_SINK_UNAVAILABLE", "gone")),
    };
    await first.host.abandon();
    const second = await shardIn({ ...first, sink: forgetful });
    await second.verdicts([clickAt(START_MS), clickAt(START_MS)]);
    await second.settled(second.host.flushCounts().catch(() => undefined));
    await second.verdicts([clickAt(START_MS)]);
    await second.host.abandon();
    expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 3, version: 1 })]);
    const third = await shardIn({ clicks, sink, clock, stores: memoryShardStores() });
    await third.settled(third.host.flushCounts());
    expect(sink.counts()).toEqual([expect.objectContaining({ clicks: 4, version: 2 })]);
  });

  test("a checkpoint ahead of the log, or behind what retention kept, is a halt with a name", async () => {
    const first = await shardIn();
    for (let i = 0; i < 3; i++) await first.verdicts([click()]);
    await first.settled(first.host.flushCounts());
    const { sink } = first;
    for (let i = 0; i < 20; i++) sink.failNext("unavailable");
    await first.verdicts([click()]);
    await first.verdicts([click()]);
    await first.host.abandon();
    await expect(shardIn({ sink })).rejects.toMatchObject({ code: "LOG_BEHIND_STATE" });
    first.clicks.dropBefore(SHARD, 4);
    const lost = { clicks: first.clicks, sink };
    await expect(shardIn(lost)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  });
});

describe("a log that lost what ClickHouse was told of it", () => {
  /** One block in the log and in the store; ClickHouse was told of ten. */
  async function told() {
    const first = await shardIn();
    await first.verdicts([click()]);
    await first.settled(first.host.drain(), 1_000);
    await first.sink.writeCheckpoints([{ shard: SHARD, epoch: 1, offset: 9, watermarkMs: 0 }]);
    return first;
  }

  test("is refused by name before the shard serves, also where its store is whole", async () => {
    await expect(shardIn(await told())).rejects.toMatchObject({
      code: "LOG_BEHIND_STATE",
      message: expect.stringContaining("ends at 1, what ClickHouse has of it is at 10"),
    });
  });

  test("is refused by name where only a window of ClickHouse says so", async () => {
    const { clicks, clock, settled, host, sink } = await shardIn();
    await settled(host.drain(), 1_000);
    const row = { advertiserId: 1n, campaignId: 1n, adId: 1n, minute: minuteOf(START_MS), shard: SHARD };
    const counts = { clicks: 1, invalid: 0, duplicates: 0, version: 7 };
    await clicks.append(SHARD, sampleBlock(1));
    await sink.writeCheckpoints([{ shard: SHARD, epoch: 1, offset: 0, watermarkMs: 0 }]);
    await sink.writeCounts(encodeCountRows([{ ...row, ...counts }]));
    const lost = { clicks, sink, clock, stores: memoryShardStores() };
    await expect(shardIn(lost)).rejects.toMatchObject({ code: "LOG_BEHIND_STATE" });
  });

  test.each(["down", "silent"])(
    "with ClickHouse %s, the shard serves, and halts before it sends a count",
    async (how) => {
      const first = await told();
      const before = first.sink.counts();
      const failure = new AdtallyError("COUNT_SINK_UNAVAILABLE", "down");
      const givenUp: (() => void)[] = [];
      let up = false;
      const readCheckpoints = () => {
        if (up) return first.sink.readCheckpoints();
        return new Promise<never>((_, reject) => {
          if (how === "down") reject(failure);
          else givenUp.push(() => reject(failure));
        });
      };
      const { stores, clicks, clock } = first;
      const world = { stores, clicks, clock, sink: { ...first.sink, readCheckpoints } };
      const { host, verdicts } = await shardIn({ ...world, startWithinMs: how === "down" ? 100 : 600 });
      expect(await verdicts([click()])).toEqual([Verdict.ACCEPTED]);
      await clock.advance(5_000);
      expect(host.faults).toEqual([]);
      up = true;
      for (const giveUp of givenUp) giveUp();
      await clock.advance(20_000);
      expect(host.faults).toEqual([expect.stringMatching(/shard 5: .*ends at 2, what ClickHouse .* at 10/)]);
      expect(first.sink.counts()).toEqual(before);
      await host.abandon();
    },
  );
});

test("fault 21: a record that nobody can read is quarantined with its offset, and the rest is counted", async () => {
  const first = await shardIn();
  for (let i = 0; i < 3; i++) await first.verdicts([click()]);
  await first.host.abandon();
  const { clicks } = first;
  const poisoned = {
    ...clicks,
    read: async (partition: number, from: number, bytes: number) => {
      if (from === 1) throw new AdtallyError("LOG_CORRUPT", "offset 1 is no block", { offset: 1 });
      const records = await clicks.read(partition, from, bytes);
      return from > 1 ? records : records.slice(0, 1);
    },
  };
  const second = await shardIn({ clicks: poisoned });
  expect(second.state.stats).toMatchObject({ accepted: 2, quarantined: 1 });
  expect(await second.verdicts([click()])).toEqual([Verdict.ACCEPTED]);
});
