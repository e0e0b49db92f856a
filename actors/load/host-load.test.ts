import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { createRecentRate } from "../runtime/recent-rate.ts";
import { createHostLoad, LOAD_SPAN_MS } from "./host-load.ts";

const SHARD = 3;
const NOW_MS = 1_760_000_000_000;
const random = (count: number) => randomBytes(count);

function rowsFor(adIds: readonly number[]): Buffer {
  const id = uuidV7(NOW_MS, Buffer.alloc(10, 1));
  return rowsOf(
    adIds.map((adId) => ({ id, adId, clickMs: NOW_MS, receivedMs: NOW_MS })),
    SHARD,
  );
}

/** `blocks` of `rows` each over one span, every `hotEvery`th row of ad 1, the others of ads met once. */
async function loadOf(blocks: number, rows: number, hotEvery: number) {
  const clock = virtualClock(NOW_MS);
  const load = createHostLoad({ clock, random });
  let others = 1_000;
  for (let block = 0; block < blocks; block++) {
    const ads = Array.from({ length: rows }, (_, row) => (row % hotEvery === 0 ? 1 : ++others));
    load.offered(SHARD, rowsFor(ads), rows);
    await clock.advance(LOAD_SPAN_MS / blocks);
  }
  await clock.advance(1);
  return { clock, load, hot: Math.ceil(rows / hotEvery) * blocks };
}

describe("what a host's shards are offered", () => {
  it("L1 L2: small blocks are counted row by row: rates are exact", async () => {
    const { load } = await loadOf(10, 60, 2);
    expect(load.clicks).toBe(600);
    const [first] = load.topAds(5);
    expect(first).toMatchObject({ adId: 1, clicksPerSecond: 30, error: 0 });
  });

  it("L1 L2: of large blocks of ads met once and a hot one, its rate is within its error", async () => {
    for (const hotEvery of [2, 7, 16]) {
      const { load, hot } = await loadOf(20, 4_096, hotEvery);
      expect(load.clicks).toBe(20 * 4_096);
      const [first, second] = load.topAds(5);
      const real = hot / (LOAD_SPAN_MS / 1_000);
      expect(first!.adId, `every ${hotEvery}`).toBe(1);
      expect(Math.abs(first!.clicksPerSecond - real)).toBeLessThanOrEqual(first!.error * 1.5);
      expect(first!.error).toBeLessThan(real);
      // No ad that was met once could be taken for one that is surely hot.
      expect(second!.clicksPerSecond - second!.error).toBeLessThan(real / 10);
    }
  });

  it("L3 a shard that is offered nothing any more is told of no more", async () => {
    const { clock, load } = await loadOf(10, 60, 2);
    expect(load.topAds(1)).toHaveLength(1);
    await clock.advance(3 * LOAD_SPAN_MS);
    expect(load.topAds(1)).toEqual([]);
  });
});

describe("how fast a number rises", () => {
  it("is told of the last span, or since the beginning", async () => {
    const clock = virtualClock(NOW_MS);
    let value = 1_000;
    const rate = createRecentRate(clock, 10_000, () => value);
    expect(rate.perSecond()).toBe(0);
    await clock.advance(2_000);
    value += 100;
    expect(rate.perSecond()).toBe(50);
    await clock.advance(8_000);
    expect(rate.perSecond()).toBe(10);
    await clock.advance(10_000);
    expect(rate.perSecond()).toBe(0);
    rate.close();
  });
});
