import { describe, expect, test } from "vitest";
import { encodeAssignment, type Assignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import type { LocalCopy } from "../../actors/replica/local-copy.ts";
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
    async replace(current, next) {
      if (text !== current) return false;
      await state.publish(next);
      return true;
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

describe("copies of what is published (W3)", () => {
  function copyOf(text: string | undefined) {
    const saved: string[] = [];
    const setAside: string[] = [];
    const copy: LocalCopy = {
      text,
      save: async (next) => void saved.push(next),
      setAside: async (why) => void setAside.push(why),
    };
    return { copy, saved, setAside };
  }

  test("a table's copy routes what tokens pin, answers for no time, and gives way to what is published", async () => {
    const clock = virtualClock(START);
    const { state, setGone } = document();
    const { copy, saved, setAside } = copyOf(encodeTable(four));
    setGone(true);
    const routing = followRouting({ state, copy, limits, clock, logger });
    await routing.begin();
    expect(routing.table.generations.get(1)?.shardCount).toBe(4);
    expect(generationAt(routing.table, START, START, limits)).toBe("ROUTING_TABLE_STALE");
    setGone(false);
    await state.publish(encodeTable(six));
    await clock.advance(limits.routingLeadMs / 60);
    expect(generationAt(routing.table, clock.now(), clock.now(), limits)).toMatchObject({ number: 1 });
    expect(saved).toEqual([encodeTable(six)]);
    expect(setAside).toEqual([]);
    routing.close();
  });

  test("a table that does not succeed the copy shows it to be another cluster's: set aside by name", async () => {
    const clock = virtualClock(START);
    const { state } = document();
    const other = addGeneration(emptyTable(START), { shardCount: 9 }, START, limits);
    const { copy, saved, setAside } = copyOf(encodeTable(other));
    await state.publish(encodeTable(four));
    const routing = followRouting({ state, copy, limits, clock, logger });
    await routing.begin();
    expect(routing.table.newestFirst[0]?.shardCount).toBe(4);
    expect(setAside).toEqual([expect.stringContaining("has changed generation 1")]);
    expect(saved).toEqual([encodeTable(four)]);
    routing.close();
  });

  test("without a copy a program waits for what is published", async () => {
    const clock = virtualClock(START);
    const { state, setGone } = document();
    setGone(true);
    const { copy } = copyOf(undefined);
    const routing = followRouting({ state, copy, limits, clock, logger });
    await expect(routing.begin()).rejects.toMatchObject({ code: "SHARED_STATE_UNAVAILABLE" });
    const following = followAssignment({ state, copy, logger }, () => undefined);
    await expect(following.begin()).rejects.toMatchObject({ code: "SHARED_STATE_UNAVAILABLE" });
    routing.close();
    following.close();
  });

  test("an assignment's copy serves while the published one cannot be read, and is kept up to date", async () => {
    const { state, setGone } = document();
    const assignmentOf = (version: number): Assignment => {
      const hosts = new Map([["a", "127.0.0.1:1"]]);
      return { version, hosts, shards: new Map([[0, { host: "a", epoch: 1 }]]) };
    };
    const { copy, saved } = copyOf(encodeAssignment(assignmentOf(3)));
    setGone(true);
    const seen: number[] = [];
    const following = followAssignment({ state, copy, logger }, ({ version }) => void seen.push(version));
    await following.begin();
    setGone(false);
    await state.publish(encodeAssignment(assignmentOf(4)));
    expect(seen).toEqual([3, 4]);
    expect(saved).toEqual([encodeAssignment(assignmentOf(4))]);
    following.close();
  });
});
