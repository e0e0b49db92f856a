/** The end of a gateway's spool (D5): emptied where it can be, in the time that there is. */
import { describe, expect, test } from "vitest";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { makeBlock } from "../block/block.ts";
import { AdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import type { ShardPort } from "../ports/shard-port.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { virtualClock, type VirtualClock } from "../sim/virtual-clock.ts";
import { startSpoolDrainer } from "./spool-drainer.ts";

const SHARD = 3;
const START_MS = 1_760_000_000_000;

const down: ShardPort = { submit: () => Promise.reject(new AdtallyError("NOT_OWNER", "nobody")) };
const slow = (clock: VirtualClock, ms: number): ShardPort => ({
  submit: ({ count }) =>
    new Promise((resolve) => {
      clock.after(ms, () => resolve({ offset: 0, outcomes: new Uint8Array(count * 2) }));
    }),
});

const click = () => ({
  id: uuidV7(START_MS, Buffer.alloc(10, 7)),
  adId: 7,
  clickMs: START_MS,
  receivedMs: START_MS,
});

/** A spool of so many blocks, each of one click and each handed on by itself. */
async function spooled(blocks: number, targetOf: (clock: VirtualClock) => ShardPort, failures = 0) {
  const clock = virtualClock(START_MS);
  const [spool, spill] = [createMemoryLog("spool"), createMemoryLog("spill")];
  const saved = new Map<number, number>();
  for (let sequence = 1; sequence <= blocks; sequence++) {
    const header = { epoch: 0, writer: 1, sequence, rowCount: 1, appendTimeMs: START_MS, sourceOffset: -1 };
    await spool.append(SHARD, makeBlock(header, rowsOf([click()], SHARD)));
  }
  for (let n = 0; n < failures; n++) spill.failNext(SHARD, "unavailable");
  const drainer = await startSpoolDrainer({
    spool,
    spill,
    progress: {
      load: () => Promise.resolve(new Map()),
      save(now) {
        for (const [shard, offset] of now) saved.set(shard, offset);
        return Promise.resolve();
      },
    },
    target: targetOf(clock),
    shards: () => [SHARD],
    limits: { ...DEFAULT_LIMITS, blockMaxRows: 1 },
    clock,
    logger: silentLogger,
  });
  const spilled = async () => (await spill.bounds(SHARD)).next;
  return { clock, drainer, saved, spilled };
}

describe("D5 a spool whose gateway ends", () => {
  test("is emptied first, trying again while there is time", async () => {
    const { clock, drainer, saved, spilled } = await spooled(1, () => down, 1);
    const left = drainer.end(5_000);
    await clock.advance(3_000);
    expect(await left).toBe(0);
    expect(saved.get(SHARD)).toBe(1);
    expect(await spilled()).toBe(1);
  });

  test("keeps what nobody takes in that time for the next start, and says how much", async () => {
    const { clock, drainer, saved, spilled } = await spooled(1, () => down, 100);
    const left = drainer.end(5_000);
    await clock.advance(10_000);
    expect(await left).toBe(1);
    expect(saved.get(SHARD)).toBeUndefined();
    await clock.advance(10_000);
    expect(await spilled()).toBe(0);
  });

  test("is left in that time also while a shard takes its clicks, slowly", async () => {
    const { clock, drainer, saved } = await spooled(20, (of) => slow(of, 1_000));
    const left = drainer.end(3_500);
    await clock.advance(5_000);
    expect(await left).toBe(16);
    expect(saved.get(SHARD)).toBe(4);
  });

  test("is left at once where it is told to stop meanwhile", async () => {
    const { clock, drainer } = await spooled(1, () => down, 100);
    const left = drainer.end(60_000);
    await clock.advance(100);
    await drainer.stop();
    expect(await left).toBe(1);
  });
});
