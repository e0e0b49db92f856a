import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bus } from "../ports/bus.ts";
import { silentLogger } from "../runtime/log.ts";
import { Verdict } from "../core/verdict.ts";
import { decodeDelta, encodeDelta, type LiveDelta } from "./delta.ts";
import { blockAt, deltaOf, liveWorld, START_MS, START_S } from "./live.fixture.ts";
import { createLivePublisher, liveChannel } from "./publisher.ts";
import { LiveSeconds } from "./seconds.ts";

const SHARD = 0;
const seed = process.env["ADTALLY_SEED"];

function world(bus?: Partial<Bus>) {
  const base = liveWorld();
  const told: LiveDelta[] = [];
  const all = { ...{ append: base.bus.append, newest: base.bus.newest }, ...bus };
  base.bus.follow(
    () => [liveChannel(SHARD)],
    0,
    (message) => told.push(decodeDelta(message)!),
  );
  const publisher = () =>
    createLivePublisher({ bus: all, limits: base.limits, clock: base.clock, logger: silentLogger });
  return { ...base, told, publisher, all };
}
const fold = (
  publisher: ReturnType<typeof createLivePublisher>,
  { record, outcomes }: ReturnType<typeof blockAt>,
) => publisher.folded(SHARD, 3, record, outcomes);

describe("a live delta", () => {
  test("is the same when decoded; other bytes are none", () => {
    const delta = deltaOf({ clicks: { 1001: 5, 2002: 1 }, unnamed: 9, throughOffset: 2 ** 40 });
    const ads = [...delta.ads, { adId: 2n ** 64n - 1n, campaignId: 2n ** 60n, advertiserId: 7, clicks: 2 }];
    const all = { ...delta, ads, advertisers: [{ advertiserId: 2n ** 63n, clicks: 4 }] };
    expect(decodeDelta(encodeDelta(all))).toEqual(all);
    for (const bytes of [[], [2], [...encodeDelta(all), 0], [...encodeDelta(all)].slice(0, -1)])
      expect(decodeDelta(Uint8Array.from(bytes))).toBeUndefined();
  });
});

describe("what a host tells of its shards", () => {
  test("a quarter of a second's blocks are one message, of valid clicks alone, with their offsets and second", async () => {
    const { clock, publisher, told } = world();
    const one = publisher();
    // Until the bus has said what was told before, each block is by itself.
    fold(one, blockAt(5, START_MS - 500, [1001]));
    await clock.advance(1);
    fold(one, blockAt(10, START_MS, [1001, 1001, 2002]));
    fold(one, blockAt(11, START_MS + 100, [1001]));
    fold(one, blockAt(12, START_MS + 150, [1001], Verdict.DUPLICATE));
    expect(told).toEqual([]);
    await clock.advance(290);
    expect(told.shift()).toMatchObject({ fromOffset: 5, throughOffset: 5, second: START_S - 1 });
    fold(one, blockAt(13, START_MS + 300, [2002]));
    await clock.advance(1_000);
    expect(told).toMatchObject([
      { epoch: 3, fromOffset: 10, throughOffset: 11, second: START_S },
      {
        fromOffset: 13,
        throughOffset: 13,
        ads: [{ adId: 2002, campaignId: 200, advertiserId: 20, clicks: 1 }],
      },
    ]);
    expect(told[0]!.ads.map(({ adId, clicks }) => [adId, clicks])).toEqual([
      [1001, 3],
      [2002, 1],
    ]);
    await clock.advance(5_000);
    expect(told).toHaveLength(2);
  });

  test("more ads than a message may name are named by advertiser, and their advertisers not at all past the bound", async () => {
    const { clock, limits, bus, told } = world();
    const small = { ...limits, liveSlotMaxAds: 2, liveSlotMaxAdvertisers: 1 };
    const publisher = createLivePublisher({ bus, limits: small, clock, logger: silentLogger });
    fold(publisher, blockAt(0, START_MS, [100, 100, 100, 200, 200, 301, 302, 400]));
    await clock.advance(1_000);
    expect(told[0]!.ads.map(({ adId }) => adId)).toEqual([100, 200]);
    expect(told[0]!.advertisers).toEqual([{ advertiserId: 3, clicks: 2 }]);
    expect(told[0]!.unnamed).toBe(1);
  });

  test("B2: after a kill the next owner tells what was counted and not told, and nothing again", async () => {
    const { clock, publisher, told } = world();
    const killed = publisher();
    const blocks = [0, 1, 2, 3].map((offset) => blockAt(offset, START_MS + offset * 400, [1001]));
    fold(killed, blocks[0]!);
    await clock.advance(400);
    fold(killed, blocks[1]!);
    await clock.advance(400);
    // Killed before it told of these: only the log has them.
    const next = publisher();
    for (const block of blocks) fold(next, block);
    await clock.advance(2_000);
    expect(told.map(({ fromOffset }) => fromOffset)).toEqual([0, 1, 2, 3]);
  });

  test("B2: a replay of what is older than streams go back tells nothing", async () => {
    const { clock, limits, publisher, told } = world();
    await clock.advance(limits.liveHistoryMs + 5_000);
    fold(publisher(), blockAt(0, START_MS, [1001]));
    await clock.advance(2_000);
    expect(told).toEqual([]);
  });

  test("fault 14: what was counted while the bus was away is told when it is back, in its own seconds; past the bound it is lost and counted", async () => {
    let isAway = true;
    const base = world();
    const bus = {
      newest: async (channel: string) => (isAway ? undefined : base.bus.newest(channel)),
      append: async (channel: string, message: Uint8Array) => !isAway && base.bus.append(channel, message),
    };
    const publisher = createLivePublisher({
      bus,
      limits: base.limits,
      clock: base.clock,
      logger: silentLogger,
    });
    for (let at = 0; at < 20; at += 1) {
      fold(publisher, blockAt(at, START_MS + at * 1_000, [1001]));
      await base.clock.advance(1_000);
    }
    expect(base.told).toEqual([]);
    isAway = false;
    await base.clock.advance(3_000);
    expect(base.told.map(({ second }) => second - START_S)).toEqual(
      Array.from({ length: 20 }, (_, at) => at),
    );
    expect(publisher.lost).toBe(0);

    isAway = true;
    const { liveMaxWaitingSlots: most } = base.limits;
    const nowMs = base.clock.now();
    for (let at = 0; at < most + 7; at += 1) fold(publisher, blockAt(100 + at, nowMs + at * 250, [1001]));
    expect(publisher.lost).toBe(7);
    await publisher.stop();
  });

  test("fault 14: what a bus without its memory no longer has, and may not have passed on, is told again", async () => {
    const [before, after] = [world(), world()];
    const { clock, limits } = before;
    let bus: Pick<Bus, "append" | "newest"> | undefined = before.bus;
    const publisher = createLivePublisher({
      bus: {
        newest: async (channel) => bus?.newest(channel),
        append: async (channel, message) => (await bus?.append(channel, message)) ?? false,
      },
      limits: { ...limits, liveKeptSlots: 3 },
      clock,
      logger: silentLogger,
    });
    const count = async (offset: number) => {
      fold(publisher, blockAt(offset, clock.now(), [1001]));
      await clock.advance(1_000);
    };
    for (let at = 0; at < 5; at += 1) await count(at);
    expect(before.told.map(({ fromOffset }) => fromOffset)).toEqual([0, 1, 2, 3, 4]);
    bus = undefined;
    await count(5);
    bus = after.bus;
    await clock.advance(2_000);
    await count(6);
    await after.clock.advance(0);
    expect(after.told.map(({ fromOffset }) => fromOffset)).toEqual([2, 3, 4, 5, 6]);
    expect(publisher.lost).toBe(0);
  });

  test("B1: owners that overlap, replays and messages sent again add up to each click once", async () => {
    const owner = fc.record({
      from: fc.nat(30),
      length: fc.integer({ min: 1, max: 30 }),
      lagMs: fc.nat(120),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 180 }), { minLength: 30, maxLength: 30 }),
        fc.array(owner, { maxLength: 3 }),
        fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
        async (gapsMs, owners, losesAnswer) => {
          const base = world();
          let appends = 0;
          const bus = {
            newest: base.bus.newest,
            // The answer is lost, the message is there.
            append: async (channel: string, message: Uint8Array) => {
              await base.bus.append(channel, message);
              return losesAnswer[appends++] !== true;
            },
          };
          let atMs = START_MS;
          const blocks = gapsMs.map((gapMs, offset) => blockAt(offset, (atMs += gapMs), [1001, 2002]));
          const all = [{ from: 0, length: 30, lagMs: 0 }, ...owners];
          for (const { from, length, lagMs } of all) {
            const publisher = createLivePublisher({
              bus,
              limits: base.limits,
              clock: base.clock,
              logger: silentLogger,
            });
            for (const block of blocks.slice(from, from + length))
              base.clock.after(block.record.header.appendTimeMs - START_MS + 5 + lagMs, () =>
                fold(publisher, block),
              );
          }
          await base.clock.advance(40_000);
          const seconds = new LiveSeconds(base.limits, START_MS);
          for (const delta of base.told) seconds.add(delta, base.clock.now());
          seconds.advance(base.clock.now());
          const bySecond = new Map<number, number>();
          for (const { record } of blocks) {
            const second = Math.floor(record.header.appendTimeMs / 1_000);
            bySecond.set(second, (bySecond.get(second) ?? 0) + 2);
          }
          for (const [second, clicks] of bySecond) {
            const told = [...(seconds.get(second)?.advertisers.values() ?? [])];
            const sum = told.reduce((total, advertiser) => total + advertiser.clicks, 0);
            if (owners.length === 0) expect(sum).toBe(clicks);
            expect(sum).toBeLessThanOrEqual(clicks);
          }
        },
      ),
      { numRuns: 12, ...(seed !== undefined && { seed: Number(seed) }) },
    );
  });
});
