/** When a block's verdicts hold as they stand (F4), and when each id is looked up again (F2). */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { makeBlock, type LogRecord } from "../block/block.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Verdict } from "../core/verdict.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { foldRecord } from "./fold.ts";
import { click, SHARD, START_MS } from "./shard.fixture.ts";
import { createShardState, type ShardState } from "./state.ts";

const [A, B] = [1, 2];
const [x, y] = [uuidV7(START_MS, randomBytes(10)), uuidV7(START_MS, randomBytes(10))];

async function emptyState(): Promise<ShardState> {
  const store = await memoryShardStores().open(SHARD);
  return createShardState({ shard: SHARD, epoch: 1, writer: 9 }, DEFAULT_LIMITS, store);
}

/** The block `sequence` of `writer`, which accepted one id. */
function accepted(writer: number, sequence: number, id: Buffer): Omit<LogRecord, "offset"> {
  const value = rowsOf([click({ id, verdict: Verdict.ACCEPTED })], SHARD);
  return makeBlock(
    { epoch: 1, writer, sequence, rowCount: 1, appendTimeMs: START_MS, sourceOffset: -1 },
    value,
  );
}

function verdicts(state: ShardState, log: readonly Omit<LogRecord, "offset">[]): (number | undefined)[] {
  return log.map((block, offset) => foldRecord(state, { ...block, offset }, false)[0]);
}

describe("a block of another owner", () => {
  test("behind another's block: its ids are looked up", async () => {
    const log = [accepted(A, 1, x), accepted(B, 1, x), accepted(A, 2, y)];
    expect(verdicts(await emptyState(), log)).toEqual([
      Verdict.ACCEPTED,
      Verdict.DUPLICATE,
      Verdict.ACCEPTED,
    ]);
  });

  test("behind a repeat of its writer's block before it, with another's in between: its ids are looked up", async () => {
    const [first, other] = [accepted(A, 1, x), accepted(B, 1, y)];
    expect(verdicts(await emptyState(), [first, other, first, accepted(A, 2, y)])).toEqual([
      Verdict.ACCEPTED,
      Verdict.ACCEPTED,
      0,
      Verdict.DUPLICATE,
    ]);
  });

  test("behind a record that nobody can read, or first of a replay: its ids are looked up", async () => {
    const state = await emptyState();
    verdicts(state, [accepted(A, 1, x)]);
    state.previous = undefined;
    expect(foldRecord(state, { ...accepted(A, 2, x), offset: 1 }, false)[0]).toBe(Verdict.DUPLICATE);
  });

  test("right behind its writer's block before it: its verdicts hold, and no id is looked up", async () => {
    const state = await emptyState();
    const log = Array.from({ length: 50 }, (_, i) => accepted(A, i + 1, uuidV7(START_MS, randomBytes(10))));
    state.dedup.find = () => {
      throw new Error("looked up");
    };
    state.previous = { writer: A, sequence: 0 };
    expect(new Set(verdicts(state, log))).toEqual(new Set([Verdict.ACCEPTED]));
    expect(state.stats.accepted).toBe(50);
  });
});
