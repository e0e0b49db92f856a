import { describe, expect, test } from "vitest";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { makeBlock } from "../block/block.ts";
import { AdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS as limits } from "../core/limits.ts";
import type { ClickLog } from "../ports/click-log.ts";
import { rowsOf } from "../sim/clicks.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { click, SHARD, START_MS } from "./shard.fixture.ts";
import { untilSucceeded } from "./succession.ts";

function handingOver(over: { log?: Pick<ClickLog, "read">; nextOffset?: number } = {}) {
  const clicks = createMemoryLog();
  const clock = virtualClock(START_MS);
  const withdrawal = new AbortController();
  let sequence = 0;
  const write = (epoch: number) =>
    clicks.append(
      SHARD,
      makeBlock(
        { epoch, writer: epoch, sequence: ++sequence, rowCount: 1, appendTimeMs: START_MS, sourceOffset: -1 },
        rowsOf([click()], SHARD),
      ),
    );
  let outcome: string | undefined;
  const begin = () => {
    const held = { shard: SHARD, epoch: 4, nextOffset: over.nextOffset ?? 0 };
    void untilSucceeded({ clicks: over.log ?? clicks, clock, limits }, held, withdrawal.signal).then(
      (told) => (outcome = told),
    );
  };
  return { begin, clock, write, withdraw: () => withdrawal.abort(), outcome: () => outcome };
}

describe("a shard's former owner", () => {
  test("serves on while it writes itself, and lets go at its successor's first block", async () => {
    const { begin, clock, outcome, write } = handingOver();
    begin();
    for (let i = 0; i < 8; i++) {
      await write(4);
      await clock.advance(limits.shardHandOverQuietMs / 2);
    }
    expect(outcome()).toBeUndefined();
    await write(5);
    await clock.advance(limits.shardHandOverLookMs);
    expect(outcome()).toBe("succeeded");
  });

  test("is not told by blocks of older owners", async () => {
    const { begin, clock, outcome, write } = handingOver();
    await write(3);
    begin();
    await clock.advance(limits.shardHandOverLookMs);
    expect(outcome()).toBeUndefined();
  });

  test("that woke late finds what was written meanwhile, at once", async () => {
    const { begin, clock, outcome, write } = handingOver({ nextOffset: 1 });
    for (const epoch of [4, 5, 5]) await write(epoch);
    begin();
    await clock.advance(0);
    expect(outcome()).toBe("succeeded");
  });

  test("waits for nobody where no click comes", async () => {
    const { begin, clock, outcome } = handingOver();
    begin();
    await clock.advance(limits.shardHandOverQuietMs - 1);
    expect(outcome()).toBeUndefined();
    await clock.advance(limits.shardHandOverLookMs + 1);
    expect(outcome()).toBe("quiet");
  });

  test("lets go in the end, though clicks come and no successor does; a log that is down is not quiet", async () => {
    const down = { read: () => Promise.reject(new AdtallyError("LOG_UNAVAILABLE", "no broker")) };
    const { begin, clock, outcome } = handingOver({ log: down });
    begin();
    await clock.advance(limits.shardHandOverMs - 1);
    expect(outcome()).toBeUndefined();
    await clock.advance(limits.shardHandOverLookMs + 1);
    expect(outcome()).toBe("late");
  });

  test("stops waiting when the shard is given back", async () => {
    const { begin, clock, outcome, withdraw } = handingOver();
    begin();
    withdraw();
    await clock.advance(limits.shardHandOverLookMs);
    expect(outcome()).toBe("withdrawn");
  });

  test("passes over a record that nobody can read", async () => {
    const log = {
      read: (_: number, offset: number) =>
        offset === 0
          ? Promise.reject(new AdtallyError("LOG_CORRUPT", "poison", { offset: 0 }))
          : Promise.resolve([
              {
                ...makeBlock(
                  { epoch: 5, writer: 1, sequence: 1, rowCount: 1, appendTimeMs: START_MS, sourceOffset: -1 },
                  rowsOf([click()], SHARD),
                ),
                offset: 1,
              },
            ]),
    };
    const { begin, clock, outcome } = handingOver({ log });
    begin();
    await clock.advance(limits.shardHandOverLookMs);
    expect(outcome()).toBe("succeeded");
  });
});
