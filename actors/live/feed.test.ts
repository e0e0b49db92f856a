import { describe, expect, test } from "vitest";
import { AdtallyError } from "../core/errors.ts";
import { encodeDelta } from "./delta.ts";
import { deltaOf, liveWorld, START_MS, START_S, textOf, watching, type LiveWorld } from "./live.fixture.ts";
import { liveChannel } from "./publisher.ts";
import { parseResume } from "./resume.ts";
import { liveAccessOf } from "./view.ts";

/** Clicks of the running second, as a shard would tell them. */
function teller({ bus, clock }: LiveWorld) {
  let offset = 0;
  return async (clicks: Readonly<Record<number, number>>) => {
    const second = Math.floor(clock.now() / 1_000);
    await bus.append(liveChannel(0), encodeDelta(deltaOf({ fromOffset: offset++, second, clicks })));
  };
}
const secondsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => textOf(first + at));

describe("a live stream", () => {
  test("tells the running second as it is counted, each second once it is over, also one without clicks", async () => {
    const world = liveWorld();
    const tell = teller(world);
    const client = watching(world.feed());
    await tell({ 1001: 2, 2002: 1 });
    await world.clock.advance(200);
    expect(client.told).toMatchObject([
      { second: textOf(START_S), clicks_per_second: 3, other_clicks: 0, over: false },
    ]);
    expect(client.told[0]!.ads).toEqual([
      { ad_id: "1001", campaign_id: "100", advertiser_id: "10", clicks: 2 },
      { ad_id: "2002", campaign_id: "200", advertiser_id: "20", clicks: 1 },
    ]);
    await tell({ 1001: 4 });
    await world.clock.advance(5_000);
    expect(client.seconds.get(textOf(START_S))).toMatchObject({ clicks_per_second: 7, over: true });
    expect(client.seconds.get(textOf(START_S + 1))).toMatchObject({
      clicks_per_second: 0,
      ads: [],
      over: true,
    });
    // Those of before the stream began are not told; each after it is.
    expect([...client.seconds.keys()].slice(0, 3)).toEqual(secondsFrom(START_S, 3));
    expect(client.sum()).toBe(7);
  });

  test("begins so many seconds ago where that is asked for", async () => {
    const world = liveWorld();
    const tell = teller(world);
    const feed = world.feed();
    for (let at = 0; at < 20; at += 1) {
      await tell({ 1001: 1 });
      await world.clock.advance(1_000);
    }
    const client = watching(feed, { recentSeconds: 10 });
    await world.clock.advance(3_000);
    expect([...client.seconds.keys()].slice(0, 11)).toEqual(secondsFrom(START_S + 10, 11));
    expect(client.sum()).toBe(10);
  });

  test("V1: shows of other advertisers neither a name nor a click; by campaign and ad less still", async () => {
    const world = liveWorld();
    const tell = teller(world);
    const feed = world.feed();
    const access = liveAccessOf(new Set([10n]));
    const own = watching(feed, { view: { access, filter: {} } });
    const other = watching(feed, { view: { access, filter: { adId: 2002n } } });
    const ad = watching(feed, { view: { access, filter: { adId: 1002n } } });
    const none = watching(feed, { view: { access: liveAccessOf(new Set()), filter: {} } });
    await tell({ 1001: 2, 1002: 3, 2002: 5 });
    await world.clock.advance(4_000);
    expect([own.sum(), other.sum(), ad.sum(), none.sum()]).toEqual([5, 0, 3, 0]);
    expect(JSON.stringify([own.told, other.told, none.told])).not.toMatch(/2002|"20"/);
  });

  test("names no more ads than an event holds, and counts the others", async () => {
    const world = liveWorld({ liveEventMaxAds: 2, liveSecondMaxAds: 3 });
    const tell = teller(world);
    const client = watching(world.feed());
    await tell({ 100: 9, 200: 8, 300: 7, 400: 6, 101: 5 });
    await world.clock.advance(3_000);
    const event = client.seconds.get(textOf(START_S))!;
    expect(event.ads.map(({ ad_id }) => ad_id)).toEqual(["100", "200"]);
    expect([event.clicks_per_second, event.other_clicks]).toEqual([35, 18]);
  });
});

describe("W1 W2: a client that takes nothing", () => {
  test("fault 20: is told once, merged, what it missed; nothing is queued for it meanwhile", async () => {
    const world = liveWorld();
    const tell = teller(world);
    const client = watching(world.feed());
    client.takes = false;
    for (let at = 0; at < 40; at += 1) {
      await tell({ 1001: 1 });
      await world.clock.advance(250);
    }
    expect(client.told).toHaveLength(1);
    client.takes = true;
    client.watch.ready();
    // Forty changes of ten seconds: each second once.
    expect(client.told.length).toBeLessThanOrEqual(14);
    await world.clock.advance(3_000);
    expect(client.sum()).toBe(40);
    expect(client.ended).toBeUndefined();
  });

  test("fault 20: is cut off by name after its time; the others are not", async () => {
    const world = liveWorld();
    const tell = teller(world);
    const feed = world.feed();
    const [slow, other] = [watching(feed), watching(feed)];
    slow.takes = false;
    for (let at = 0; at < 20; at += 1) {
      await tell({ 1001: 1 });
      await world.clock.advance(1_000);
    }
    expect([slow.ended, other.ended]).toEqual(["SLOW_CLIENT", undefined]);
    expect([feed.clients, feed.ended.SLOW_CLIENT]).toEqual([1, 1]);
    expect(other.sum()).toBe(20);
  });
});

describe("W3: a client that comes back", () => {
  async function interrupted(awayMs: number, isAnother: boolean, isHistoryShared = true) {
    const world = liveWorld({}, isHistoryShared);
    const tell = teller(world);
    let feed = world.feed({
      minutes: async (from, through) =>
        new Map(
          Array.from({ length: through - from + 1 }, (_, at) => [
            from + at,
            [
              { adId: 1001n, campaignId: 100n, advertiserId: 10n, clicks: clicksOf(from + at) },
              { adId: 9001n, campaignId: 900n, advertiserId: 90n, clicks: 0 },
            ],
          ]),
        ),
    });
    let counted = 0;
    const byMinute = new Map<number, number>();
    const clicksOf = (minute: number) => byMinute.get(minute) ?? 0;
    const run = async (ms: number) => {
      for (let at = 0; at < ms; at += 1_000) {
        const minute = Math.floor(world.clock.now() / 60_000);
        byMinute.set(minute, clicksOf(minute) + 1);
        counted += 1;
        await tell({ 1001: 1 });
        await world.clock.advance(1_000);
      }
    };
    const first = watching(feed);
    await run(20_000);
    first.watch.close();
    const { lastId } = first;
    if (isAnother) feed.close();
    await run(awayMs);
    const minutes = async (from: number, through: number) =>
      new Map(
        Array.from({ length: through - from + 1 }, (_, at) => [
          from + at,
          [{ adId: 1001n, campaignId: 100n, advertiserId: 10n, clicks: clicksOf(from + at) }],
        ]),
      );
    if (isAnother) feed = world.feed({ minutes });
    await world.clock.advance(300);
    const second = watching(feed, { resume: lastId! });
    await world.clock.advance(300);
    await run(5_000);
    await world.clock.advance(3_000);
    return { first, second, counted, world };
  }
  /** As a client would: a minute takes the place of its seconds, a second that of the same. */
  function joined(...clients: ReturnType<typeof watching>[]) {
    const spans = new Map<number, number>();
    for (const { told } of clients)
      for (const event of told) {
        if (event.kind === "second") spans.set(Date.parse(event.second), event.clicks_per_second);
        else {
          const [from, until] = [Date.parse(event.minute), Date.parse(event.until)];
          for (let at = from; at < until; at += 1_000) spans.set(at, 0);
          spans.set(from, event.clicks);
        }
      }
    const times = [...spans.keys()].filter((at) => at >= START_MS).sort((a, b) => a - b);
    const missing = times.filter((at, index) => index > 0 && at - times[index - 1]! !== 1_000);
    return { sum: [...spans.values()].reduce((sum, clicks) => sum + clicks, 0), missing };
  }

  test.each([
    ["to the same server", false],
    ["to another, or the same started again", true],
  ])("within two minutes, %s, misses no second and no click", async (_where, isAnother) => {
    const { first, second, counted } = await interrupted(30_000, isAnother);
    expect(joined(first, second)).toEqual({ sum: counted, missing: [] });
    expect(second.minutes.size).toBe(0);
    if (!isAnother)
      expect(second.told.filter((event) => event.kind === "second" && event.over).length).toBeLessThan(41);
  });

  test.each([
    ["to the same server", false, true],
    ["to another", true, true],
    ["to one whose bus began with it", true, false],
  ])(
    "later, %s, is told minutes, and seconds from where they are kept",
    async (_where, isAnother, isShared) => {
      const { first, second, counted } = await interrupted(300_000, isAnother, isShared);
      expect(joined(first, second)).toEqual({ sum: counted, missing: [] });
      expect(second.minutes.size).toBeGreaterThanOrEqual(3);
    },
  );

  test("goes on without the minutes where the counts do not answer", async () => {
    const world = liveWorld();
    const feed = world.feed({ minutes: () => new Promise(() => undefined) });
    await world.clock.advance(300_000);
    const client = watching(feed, { resume: `${START_S}-0123456789ab-4` });
    await world.clock.advance(world.limits.liveMinutesDeadlineMs + 500);
    expect(client.minutes.size).toBe(0);
    expect(client.seconds.size).toBeGreaterThan(100);
  });

  test("with what is no id is refused by name", () => {
    const feed = liveWorld().feed();
    for (const resume of ["1", "x-y-z", "1-0123456789ab", "99999999999-0123456789ab-1", "1-0123456789ab-1\n"])
      expect(() => watching(feed, { resume })).toThrow(/no id of a live event/);
    expect(parseResume("17-0123456789ab-3")).toEqual({ second: 17, generation: "0123456789ab", version: 3 });
  });
});

describe("a server of live streams", () => {
  test("W4: refuses one client more than it has room for", () => {
    const feed = liveWorld({ liveMaxClients: 2 }).feed();
    const [one] = [watching(feed), watching(feed)];
    expect(() => watching(feed)).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
    one!.watch.close();
    expect(watching(feed).ended).toBeUndefined();
  });

  test("W5: ends a stream soon after its key was revoked; an error that is none of the key's ends none", async () => {
    const world = liveWorld();
    const feed = world.feed();
    const [revoked, away] = [watching(feed), watching(feed)];
    await world.clock.advance(60_000);
    revoked.refused = new AdtallyError("UNAUTHENTICATED", "the API key is not known");
    away.refused = new AdtallyError("OVERLOADED", "too many calls");
    await world.clock.advance(world.limits.keyRecheckMs + 1_000);
    expect([revoked.ended, away.ended]).toEqual(["ACCESS_ENDED", undefined]);
  });

  test("ends all streams when it stops, and takes none", () => {
    const feed = liveWorld().feed();
    const client = watching(feed);
    feed.close();
    expect(client.ended).toBe("DRAINING");
    expect(() => watching(feed)).toThrow(/stopping/);
  });

  test("forgets what is older than two minutes, and what a wrong clock says of the future", async () => {
    const world = liveWorld();
    const feed = world.feed();
    const client = watching(feed);
    for (const second of [START_S - 500, START_S + 86_400])
      await world.bus.append(
        liveChannel(1),
        encodeDelta(deltaOf({ shard: 1, fromOffset: second, second, clicks: { 1: 9 } })),
      );
    await world.clock.advance(5_000);
    expect(client.sum()).toBe(0);
  });
});
