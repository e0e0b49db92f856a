import { expect, it } from "vitest";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import type { ShardActor } from "../../actors/shard/actor.ts";
import type { ShardHost } from "../../actors/shard/host.ts";
import { observeShards } from "./shard-metrics.ts";

const served = {
  state: {
    stats: { accepted: 5, duplicates: 1, invalid: 0, late: 0, expired: 0, misdated: 0 },
    mailboxClicks: 2,
    nextOffset: 7,
    windows: { unflushed: 3 },
    spillOffset: 4,
    watermarkMs: 60_000,
  },
} as ShardActor;

it("says nothing of a shard that the host has let go: the next owner's figures would be summed with it", async () => {
  const metrics = createMetrics({ process: false });
  const actors = new Map([[1, served]]);
  observeShards(metrics, { actors, down: new Map() } as unknown as ShardHost, [0, 1]);
  const valuesOf = async () => {
    const lines = (await metrics.text()).split("\n").filter((line) => line.includes('shard="1"'));
    return lines.map((line) => Number(line.slice(line.lastIndexOf(" ")))).filter((value) => value !== 0);
  };
  expect((await valuesOf()).toSorted()).toEqual([1, 1, 2, 3, 4, 5, 60, 7].toSorted());
  actors.delete(1);
  expect(await valuesOf()).toEqual([]);
});
