import { describe, expect, test } from "vitest";
import { createMemoryCountSink } from "../../actors/adapters/memory/memory-count-sink.ts";
import { createMemoryLog } from "../../actors/adapters/memory/memory-log.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { sampleBlock } from "../../actors/ports/click-log.sample.ts";
import { addGeneration, emptyTable, shardsEver } from "../../actors/routing/table.ts";
import { holdsClicks, shardsToServe } from "./shards.ts";

const START = 1_760_000_000_000;
const LONG_AFTER = START + 24 * 3_600_000;
const four = addGeneration(emptyTable(START), { shardCount: 4 }, START, limits);
const routing = addGeneration(four, { shardCount: 2 }, START, limits);

/** Shard 3 holds three blocks; ClickHouse has its counts and rows up to the offsets given. */
async function served(countedTo: number, rawTo: number, nowMs = LONG_AFTER) {
  const clicks = createMemoryLog();
  const sink = createMemoryCountSink();
  for (let n = 0; n < 3; n++) await clicks.append(3, sampleBlock(n));
  await sink.writeCheckpoints([{ shard: 3, epoch: 1, offset: countedTo - 1, watermarkMs: 0 }]);
  const rawProgress = new Map([[3, rawTo]]);
  return (await shardsToServe({ routing, nowMs, limits, clicks, sink, rawProgress })).serve;
}

describe("shardsToServe", () => {
  test("shards that clicks can still reach, and no others once ClickHouse has all of them", async () => {
    expect(await served(3, 3, START)).toEqual([0, 1, 2, 3]);
    expect(await served(3, 3)).toEqual([0, 1]);
    expect(shardsEver(routing)).toEqual([0, 1, 2, 3]);
  });

  test("a shard was let go before its acknowledged clicks were in ClickHouse", async () => {
    expect(await served(2, 3)).toEqual([0, 1, 3]);
    expect(await served(3, 2)).toEqual([0, 1, 3]);
  });

  test("a log that lost its end was taken up, and its new counts passed for old ones", async () => {
    const refused = { code: "LOG_BEHIND_STATE" };
    await expect(served(4, 3)).rejects.toMatchObject(refused);
    await expect(served(3, 4)).rejects.toMatchObject(refused);
  });
});

test("minutes older than the stores remember were missing once ClickHouse's folder was lost", async () => {
  const clicks = createMemoryLog();
  const sink = createMemoryCountSink();
  for (const shard of [0, 1]) await clicks.append(shard, sampleBlock(1));
  await sink.writeCheckpoints([{ shard: 1, epoch: 1, offset: 0, watermarkMs: 0 }]);
  const asked = { routing, nowMs: START, limits, clicks, sink, rawProgress: new Map<number, number>() };
  expect(await shardsToServe(asked)).toEqual({ serve: [0, 1, 2, 3], foldAnew: [0] });
});

test("a log holds clicks from its first block on, in whichever partition", async () => {
  const clicks = createMemoryLog();
  expect(await holdsClicks(clicks, limits)).toBe(false);
  await clicks.append(7, sampleBlock(1));
  expect(await holdsClicks(clicks, limits)).toBe(true);
});
