import { describe, expect, test } from "vitest";
import { encodeAssignment, type Assignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { addGeneration, emptyTable, generationAt, tableOf } from "../../actors/routing/table.ts";
import { encodeTable } from "../../actors/routing/table-json.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import { followAssignment, followRouting } from "./followers.ts";

const START = 1_760_000_000_000;

/** A document that a test sets, with or without telling its watchers. */
function document() {
  let text: string | undefined;
  let isGone = false;
  const watchers = new Set<(text: string) => void>();
  const state: SharedState = {
    async read() {
      if (isGone) throw new AdtallyError("SHARED_STATE_UNAVAILABLE", "gone");
      return text;
    },
    async publish(next) {
      text = next;
      for (const watcher of watchers) watcher(next);
    },
    watch(onText) {
      watchers.add(onText);
      return { close: () => void watchers.delete(onText) };
    },
  };
  return { state, setGone: (gone: boolean) => (isGone = gone) };
}

const four = addGeneration(emptyTable(START), { shardCount: 4 }, START, limits);
const six = addGeneration(four, { shardCount: 6 }, START, limits);

describe("the routing table", () => {
  test("is named as not published, then read, and followed by notices", async () => {
    const clock = virtualClock(START);
    const { state } = document();
    const routing = followRouting({ state, limits, clock, logger });
    await expect(routing.refresh()).rejects.toThrow("nothing is published yet: run npm run assign");
    await state.publish(encodeTable(four));
    await routing.refresh();
    expect(routing.table.newestFirst[0]?.shardCount).toBe(4);
    await state.publish(encodeTable(six));
    await clock.advance(0);
    expect(routing.table.newestFirst[0]?.shardCount).toBe(6);
    routing.close();
  });

  test("grows old while its store is gone: it answers for tokens, and not for its own time", async () => {
    const clock = virtualClock(START);
    const { state, setGone } = document();
    await state.publish(encodeTable(four));
    const routing = followRouting({ state, limits, clock, logger });
    await routing.refresh();
    const now = () => generationAt(routing.table, clock.now(), clock.now(), limits);
    await clock.advance(limits.routingLeadMs);
    expect(now()).toMatchObject({ number: 1 });
    setGone(true);
    await clock.advance(limits.routingLeadMs);
    expect(now()).toBe("ROUTING_TABLE_STALE");
    expect(routing.table.generations.get(1)?.shardCount).toBe(4);
    setGone(false);
    await clock.advance(limits.routingLeadMs / 60);
    expect(now()).toMatchObject({ number: 1 });
    routing.close();
  });

  test("that left out what no click can name any more was refused for ever", async () => {
    const clock = virtualClock(START);
    const { state } = document();
    await state.publish(encodeTable(six));
    const routing = followRouting({ state, limits, clock, logger });
    await routing.refresh();
    await clock.advance(24 * 3_600_000);
    const next = addGeneration(six, { shardCount: 7 }, clock.now(), limits);
    expect([...next.generations.keys()]).toEqual([3, 2]);
    await state.publish(encodeTable(next));
    await routing.refresh();
    expect(routing.table.newestFirst[0]?.shardCount).toBe(7);
    routing.close();
  });

  test.each([
    ["forgot a generation", encodeTable(four), "lacks generation 2"],
    [
      "changed one",
      encodeTable(tableOf([...four.newestFirst, { ...six.newestFirst[0]!, shardCount: 5 }], 0)),
      "has changed generation 2",
    ],
    ["is damaged", "{", "not JSON"],
  ])("that %s is refused, and what is known stays", async (_, published, why) => {
    const clock = virtualClock(START);
    const { state } = document();
    await state.publish(encodeTable(six));
    const routing = followRouting({ state, limits, clock, logger });
    await routing.refresh();
    await state.publish(published);
    await expect(routing.refresh()).rejects.toThrow(why);
    expect(routing.table.newestFirst[0]?.shardCount).toBe(6);
    routing.close();
  });
});

describe("the assignment", () => {
  const of = (version: number, host: string): Assignment => ({
    version,
    hosts: new Map([[host, "127.0.0.1:1"]]),
    shards: new Map([[0, { host, epoch: version }]]),
  });

  test("is followed upwards alone; an older or damaged one changes nothing", async () => {
    const { state } = document();
    const seen: number[] = [];
    const following = followAssignment({ state, logger }, ({ version }) => void seen.push(version));
    await expect(following.refresh()).rejects.toThrow("nothing is published yet");
    for (const text of [of(2, "a"), of(1, "b"), of(2, "c"), of(5, "d")].map(encodeAssignment).concat("{")) {
      await state.publish(text);
    }
    expect(seen).toEqual([2, 5]);
    expect(following.assignment.shards.get(0)?.host).toBe("d");
    following.close();
  });
});
