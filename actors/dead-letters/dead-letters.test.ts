import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import { systemRandom } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { ShardHost } from "../shard/host.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { createDeadLetters } from "./dead-letters.ts";

const START_MS = 1_760_000_000_000;
const limits = DEFAULT_LIMITS;
const SINK = {
  writeCounts: () => Promise.resolve(),
  writeCheckpoints: () => Promise.resolve(),
  readCheckpoints: () => Promise.resolve([]),
  readWindows: () => Promise.resolve({ rowCount: 0, bytes: Buffer.alloc(0) }),
};

async function withShard(stores = memoryShardStores(), clicks = createMemoryLog(), log = createMemoryLog()) {
  const clock = virtualClock(START_MS);
  const starting = ShardHost.start({
    shards: [{ shard: 2, epoch: 1 }],
    limits,
    clicks,
    deadLetters: log,
    spill: createMemoryLog(),
    stores,
    sink: SINK,
    clock,
    random: systemRandom,
    logger: silentLogger,
    defer: (run) => void clock.after(0, run),
  });
  await clock.advance(10);
  const host = await starting;
  const submit = async (click: SimClick) => {
    const answer = host.submit({ shard: 2, rows: rowsOf([click], 2), count: 1 });
    await clock.advance(10);
    return (await answer).outcomes;
  };
  const settled = async <T>(promise: Promise<T>): Promise<T> => {
    promise.catch(() => undefined);
    await clock.advance(10);
    return promise;
  };
  const letters = createDeadLetters({ log, shardPort: host, shards: [2], limits, clock });
  return { clock, clicks, log, stores, host, submit, settled, letters };
}

const clickAt = (clickMs: number, receivedMs = START_MS): SimClick => ({
  id: uuidV7(clickMs, randomBytes(10)),
  adId: 1001,
  clickMs,
  receivedMs,
});

test("a click five minutes late is taken, one millisecond later it is a dead letter with its reason", async () => {
  const { submit, letters } = await withShard();
  expect([...(await submit(clickAt(START_MS - limits.allowedLatenessMs)))]).toEqual([Verdict.ACCEPTED, 0]);
  const late = clickAt(START_MS - limits.allowedLatenessMs - 1);
  expect([...(await submit(late))]).toEqual([Verdict.LATE, Reason.CLICK_TIME_TOO_OLD]);
  const [letter, ...rest] = await letters.list(10);
  expect(rest).toEqual([]);
  expect(letter).toMatchObject({
    id: "2-0-0",
    verdict: "LATE",
    reason: "CLICK_TIME_TOO_OLD",
    adId: 1001n,
    clickTimeMs: late.clickMs,
    logOffset: 1,
  });
});

test("a replayed letter counts once, however often it is replayed", async () => {
  const { submit, settled, letters, host } = await withShard();
  const late = clickAt(START_MS - 3_600_000);
  await submit(late);
  expect(await settled(letters.replay("2-0-0"))).toMatchObject({
    verdict: "ACCEPTED",
    reason: "REPLAYED_DEAD_LETTER",
  });
  // Without the reason a listing could not tell that this one was replayed.
  expect(await settled(letters.replay("2-0-0"))).toMatchObject({
    verdict: "DUPLICATE",
    reason: "REPLAYED_DEAD_LETTER",
  });
  expect([...(await submit({ ...late, clickMs: START_MS }))][0]).toBe(Verdict.DUPLICATE);
  expect(host.actors.get(2)!.state.stats).toMatchObject({ accepted: 1, duplicates: 2 });
});

test("a letter older than ids are remembered is refused by name, with the way out, and nothing is counted", async () => {
  const { submit, settled, letters, host } = await withShard();
  const old = clickAt(START_MS - limits.dedupRetentionMs);
  await submit(old);
  await expect(settled(letters.replay("2-0-0"))).rejects.toMatchObject({
    code: "INPUT_INVALID",
    message: expect.stringMatching(
      /older than counted ids are remembered \(150 minutes\).*GET \/v1\/clicks\/[0-9a-f-]{36} says/,
    ) as string,
  });
  expect(host.actors.get(2)!.state.stats.accepted).toBe(0);
});

test("unknown letters are NOT_FOUND, malformed ids INPUT_INVALID", async () => {
  const { letters } = await withShard();
  await expect(letters.replay("2-0-0")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(letters.replay("9-0-0")).rejects.toMatchObject({ code: "NOT_FOUND" });
  for (const id of ["", "2-0", "-1-0-0", "2-0-0 ", "02-0-0", "2-0-9999999999"]) {
    await expect(letters.replay(id)).rejects.toMatchObject({ code: "INPUT_INVALID" });
  }
});

test("a listing pages by cursor through blocks of several letters", async () => {
  const { host, clock, letters } = await withShard();
  const late = Array.from({ length: 7 }, (_, i) => clickAt(START_MS - 3_600_000 - i));
  for (const batch of [late.slice(0, 3), late.slice(3)]) {
    const answer = host.submit({ shard: 2, rows: rowsOf(batch, 2), count: batch.length });
    await clock.advance(10);
    await answer;
  }
  const seen: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await letters.list(2, after);
    if (page.length === 0) break;
    seen.push(...page.map((letter) => letter.id));
    after = page.at(-1)!.id;
  }
  expect(seen).toEqual(["2-0-0", "2-0-1", "2-0-2", "2-1-0", "2-1-1", "2-1-2", "2-1-3"]);
});

test("after a crash without a save, a replay of the log writes no letter a second time", async () => {
  const first = await withShard();
  await first.submit(clickAt(START_MS - 3_600_000));
  await first.submit(clickAt(START_MS));
  await first.host.abandon();
  const second = await withShard(first.stores, first.clicks, first.log);
  await second.submit(clickAt(START_MS - 3_600_000));
  expect(await second.letters.list(10)).toHaveLength(2);
});
