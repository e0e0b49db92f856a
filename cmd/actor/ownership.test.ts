import { describe, expect, test } from "vitest";
import type { Assignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import { createOwnership } from "./ownership.ts";

const assignment = (version: number, shards: Record<number, string>): Assignment => ({
  version,
  hosts: new Map(["me", "other"].map((host) => [host, "127.0.0.1:1"])),
  shards: new Map(Object.entries(shards).map(([shard, host]) => [Number(shard), { host, epoch: version }])),
});

function host() {
  const clock = virtualClock(1_760_000_000_000);
  const owned = new Map<number, number>();
  const failing = new Set<number>();
  const tried: string[] = [];
  /** Lets a hand-over end, by shard. */
  const succeed = new Map<number, () => void>();
  const parts = {
    owned: () => owned,
    async acquire(shard: number, epoch: number) {
      tried.push(`+${shard}`);
      if (failing.has(shard)) throw new AdtallyError("LOG_UNAVAILABLE", "no broker answers");
      owned.set(shard, epoch);
    },
    handOver(shard: number, signal: AbortSignal) {
      tried.push(`>${shard}`);
      return new Promise<void>((resolve) => {
        succeed.set(shard, resolve);
        signal.addEventListener("abort", () => resolve());
      });
    },
    async release(shard: number) {
      tried.push(`-${shard}`);
      owned.delete(shard);
    },
  };
  const ownership = createOwnership({ name: "me", host: parts, limits, clock, logger });
  return { clock, owned, failing, tried, succeed, ownership };
}

describe("an actor host", () => {
  test("acquires what it is given with its epoch, and releases what it is not once that is served", async () => {
    const { clock, owned, ownership, succeed } = host();
    ownership.follow(assignment(1, { 0: "me", 1: "me", 2: "other" }));
    await clock.advance(0);
    expect([...owned]).toEqual([
      [0, 1],
      [1, 1],
    ]);
    ownership.follow({
      ...assignment(2, { 0: "other", 2: "me" }),
      shards: new Map([
        [0, { host: "other", epoch: 2 }],
        [1, { host: "me", epoch: 1 }],
        [2, { host: "me", epoch: 2 }],
      ]),
    });
    await clock.advance(60_000);
    expect([...owned.keys()]).toEqual([0, 1, 2]);
    succeed.get(0)!();
    await clock.advance(0);
    expect([...owned]).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(ownership.faults).toEqual([]);
  });

  test("a shard that is given back before another served it was never away; its epoch rises", async () => {
    const { clock, owned, ownership, tried } = host();
    ownership.follow(assignment(1, { 0: "me" }));
    await clock.advance(0);
    ownership.follow(assignment(2, { 0: "other" }));
    await clock.advance(0);
    ownership.follow(assignment(3, { 0: "me" }));
    await clock.advance(0);
    expect(tried).toEqual(["+0", ">0", "+0"]);
    expect([...owned]).toEqual([[0, 3]]);
  });

  test("a shard that nobody is to have is released at once", async () => {
    const { clock, owned, ownership, tried } = host();
    ownership.follow(assignment(1, { 0: "me", 1: "me" }));
    await clock.advance(0);
    ownership.follow({ ...assignment(2, { 1: "me" }), shards: new Map([[1, { host: "me", epoch: 1 }]]) });
    await clock.advance(0);
    expect([...owned]).toEqual([[1, 1]]);
    expect(tried.slice(2)).toEqual(["-0"]);
  });

  test("an older assignment is never obeyed, nor the same version with other owners", async () => {
    const { clock, owned, ownership, tried } = host();
    ownership.follow(assignment(5, { 0: "me" }));
    await clock.advance(0);
    for (const version of [1, 4, 5]) ownership.follow(assignment(version, { 0: "other", 1: "me" }));
    await clock.advance(60_000);
    expect(tried).toEqual(["+0"]);
    expect([...owned]).toEqual([[0, 5]]);
  });

  test("a hand-over of one shard holds up no other's moves of a later assignment", async () => {
    const { clock, owned, ownership, succeed } = host();
    ownership.follow(assignment(1, { 0: "me" }));
    await clock.advance(0);
    ownership.follow(assignment(2, { 0: "other" }));
    await clock.advance(0);
    ownership.follow(assignment(3, { 0: "other", 1: "me" }));
    await clock.advance(0);
    expect([...owned.keys()]).toEqual([0, 1]);
    succeed.get(0)!();
    await clock.advance(0);
    expect([...owned.keys()]).toEqual([1]);
  });

  test("goes on trying a shard that it cannot have, names it, and holds up no other", async () => {
    const { clock, owned, failing, ownership } = host();
    failing.add(0);
    ownership.follow(assignment(1, { 0: "me", 1: "me" }));
    await clock.advance(10_000);
    expect([...owned.keys()]).toEqual([1]);
    expect(ownership.faults).toEqual(["shard 0: no broker answers"]);
    failing.clear();
    await clock.advance(limits.reconnectMaxMs);
    expect([...owned.keys()]).toEqual([1, 0]);
    expect(ownership.faults).toEqual([]);
  });

  test("a newer assignment cuts the waiting short; a shard given to another is tried no more", async () => {
    const { clock, failing, tried, ownership } = host();
    failing.add(0);
    ownership.follow(assignment(1, { 0: "me" }));
    await clock.advance(60_000);
    const before = tried.length;
    expect(before).toBeGreaterThan(10);
    ownership.follow(assignment(2, { 0: "other", 1: "me" }));
    await clock.advance(0);
    expect(tried.slice(before)).toEqual(["+1"]);
    expect(ownership.faults).toEqual([]);
  });

  test("stops trying when it is told to", async () => {
    const { clock, failing, tried, ownership } = host();
    failing.add(0);
    ownership.follow(assignment(1, { 0: "me" }));
    await clock.advance(0);
    await ownership.stop();
    const before = tried.length;
    await clock.advance(60_000);
    expect(tried.length).toBe(before);
  });
});
