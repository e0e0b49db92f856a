/**
 * What every Bus adapter must do: U1 to U4 of bus.ts, under faults. A fault that an adapter has no
 * hook for is skipped, and the test's name says so.
 */
import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "./bus.ts";

export interface BusHarness {
  /** The bus as one more program sees it; resolves when it is connected. */
  open(): Promise<Bus>;
  /** Makes the bus unreachable. */
  cut?(): Promise<void>;
  /** The bus takes everything and answers nothing. */
  hang?(): Promise<void>;
  heal?(): Promise<void>;
  /** The next count is done, but its answer is lost. */
  loseAnswer?(): void;
  close(): Promise<void>;
}

export interface BusFactory {
  readonly hooks: readonly (keyof BusHarness)[];
  /** The longest that a call may take with the bus gone. */
  readonly deadlineMs: number;
  /** The longest until messages flow again, the bus being well. */
  readonly soonMs: number;
  /** Bytes that may wait at the most. */
  readonly pendingMaxBytes: number;
  /** Messages of a channel's history, and how many more may be there. */
  readonly historyMaxMessages: number;
  readonly historySlack?: number;
  make(): Promise<BusHarness>;
}

const MARGIN_MS = 400;

export function describeBus(name: string, factory: BusFactory): void {
  const { hooks, deadlineMs, soonMs } = factory;
  const withHooks = (needed: readonly (keyof BusHarness)[]) => {
    const lacking = needed.filter((hook) => !hooks.includes(hook));
    return (title: string, run: () => Promise<void>): void => {
      if (lacking.length === 0) it(title, run);
      else it.skip(`${title} (skipped: this adapter has no ${lacking.join(", ")} hook)`, run);
    };
  };
  const eventually = (what: string, value: () => unknown) =>
    expect.poll(value, { message: what, interval: 5, timeout: soonMs });

  /** Resolves when what `from` publishes reaches a subscriber on `to`. */
  const untilFlowing = async (from: Bus, to: Bus): Promise<void> => {
    let reached = 0;
    const probe = to.subscribe("probe", () => (reached += 1));
    const knock = () => {
      from.publish("probe", Buffer.from("?"));
      return reached;
    };
    await expect.poll(knock, { message: "messages flow", interval: 20, timeout: soonMs }).toBeGreaterThan(0);
    probe.close();
  };

  describe(`${name} is a Bus`, () => {
    let harness: BusHarness;
    let near: Bus;
    let far: Bus;
    beforeEach(async () => {
      harness = await factory.make();
      [near, far] = await Promise.all([harness.open(), harness.open()]);
      await untilFlowing(near, far);
      await untilFlowing(far, near);
    });
    afterEach(() => harness.close());

    const listening = async (bus: Bus, channel: string) => {
      const messages: string[] = [];
      let isMarked = false;
      const subscription = bus.subscribe(channel, (message) => {
        const text = Buffer.from(message).toString("latin1");
        if (text === "mark") isMarked = true;
        else messages.push(text);
      });
      // A subscription takes hold some time after the call.
      const mark = () => {
        if (!isMarked) near.publish(channel, Buffer.from("mark"));
        return isMarked;
      };
      await expect.poll(mark, { message: "subscribed", interval: 20, timeout: soonMs }).toBe(true);
      return { messages, subscription };
    };

    describe("U1: a message reaches those connected, in a publisher's order, at most once", () => {
      it("reaches each subscriber of its channel, in every program, and no other channel", async () => {
        const heard = await Promise.all([
          listening(near, "a"),
          listening(near, "a"),
          listening(far, "a"),
          listening(far, "ab"),
        ]);
        near.publish("a", Buffer.from("1"));
        far.publish("a", Buffer.from("2"));
        near.publish("ab", Buffer.from("3"));
        await eventually("all heard", () => heard.map(({ messages }) => messages.length)).toEqual([
          2, 2, 2, 1,
        ]);
        expect(heard.slice(0, 3).map(({ messages }) => [...messages].sort())).toEqual(
          Array.from({ length: 3 }, () => ["1", "2"]),
        );
        expect(heard[3]!.messages).toEqual(["3"]);
      });

      it("keeps a publisher's order and each byte", async () => {
        const { messages } = await listening(far, "order");
        const sent = Array.from({ length: 2_000 }, (_, at) => Buffer.from([at & 255, at >> 8]));
        sent.push(Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_, at) => at)));
        for (const message of sent) near.publish("order", message);
        await eventually("all arrived", () => messages.length).toBe(sent.length);
        expect(messages).toEqual(sent.map((message) => message.toString("latin1")));
      });

      it("takes the bytes as they are at the call", async () => {
        const { messages } = await listening(far, "copy");
        const buffer = Buffer.from("as it was");
        near.publish("copy", buffer);
        buffer.fill(0);
        await eventually("arrived", () => messages).toEqual(["as it was"]);
      });

      it("ends with the subscription's close, for that one alone", async () => {
        const [leaves, stays] = [await listening(far, "close"), await listening(far, "close")];
        leaves.subscription.close();
        leaves.subscription.close();
        near.publish("close", Buffer.from("1"));
        await eventually("arrived", () => stays.messages).toEqual(["1"]);
        expect(leaves.messages).toEqual([]);
        stays.subscription.close();
        const again = await listening(far, "close");
        near.publish("close", Buffer.from("2"));
        await eventually("arrived", () => again.messages).toEqual(["2"]);
        expect(stays.messages).toEqual(["1"]);
      });

      it("goes on when a subscriber throws", async () => {
        far.subscribe("throws", () => {
          throw new Error("thrown by a subscriber on purpose");
        });
        const { messages } = await listening(far, "throws");
        near.publish("throws", Buffer.from("1"));
        near.publish("throws", Buffer.from("2"));
        await eventually("both arrived", () => messages).toEqual(["1", "2"]);
      });
    });

    describe("U2: nothing waits for the bus; what cannot be sent is dropped and counted", () => {
      it("drops what is beyond its bound in one go, and delivers the rest", async () => {
        const { messages } = await listening(far, "flood");
        const kilobyte = Buffer.alloc(1_024, 120);
        const sent = Math.ceil(factory.pendingMaxBytes / 1_024) + 1_000;
        const before = near.dropped;
        for (let at = 0; at < sent; at += 1) near.publish("flood", kilobyte);
        await eventually("all are delivered or dropped", () => messages.length + near.dropped - before).toBe(
          sent,
        );
        expect(near.dropped - before).toBeGreaterThanOrEqual(1_000);
        expect(messages.length).toBeGreaterThan(factory.pendingMaxBytes / 1_024 / 2);
      });

      for (const fault of ["cut", "hang"] as const) {
        withHooks([fault, "heal"])(`returns at once and counts what it drops: ${fault}`, async () => {
          const { messages } = await listening(far, "gone");
          await harness[fault]!();
          const before = near.dropped;
          const started = performance.now();
          for (let at = 0; at < 10; at += 1) near.publish("gone", Buffer.from("lost?"));
          expect(performance.now() - started).toBeLessThan(MARGIN_MS / 4);
          expect(await near.count("gone", 1, 60_000)).toBeUndefined();
          expect(performance.now() - started).toBeLessThan(deadlineMs + MARGIN_MS);
          await eventually("all are counted", () => near.dropped - before).toBe(11);
          await harness.heal!();
          await untilFlowing(near, far);
          await untilFlowing(far, near);
          // The subscription from before came back by itself.
          const back = () => {
            near.publish("gone", Buffer.from("back"));
            return messages.includes("back");
          };
          await expect.poll(back, { interval: 20, timeout: soonMs }).toBe(true);
          expect(messages.filter((text) => text === "lost?").length).toBeLessThanOrEqual(10);
          expect(await near.count("back", 2, 60_000)).toBe(2);
        });
      }

      it("does nothing more once closed", async () => {
        await near.close();
        const before = near.dropped;
        near.publish("closed", Buffer.from("1"));
        expect(await near.count("closed", 1, 1_000)).toBeUndefined();
        expect(near.dropped).toBeGreaterThan(before);
      });
    });

    describe("U4: what was appended reaches each follower, also one that comes later", () => {
      const following = (bus: Bus, channels: readonly string[]) => {
        const messages: string[] = [];
        const subscription = bus.follow(
          () => channels,
          0,
          (message) => messages.push(Buffer.from(message).toString("latin1")),
        );
        return { messages, subscription };
      };

      it("in order, once, those from before and those from after, of its channels alone", async () => {
        const early = following(far, ["h1", "h2"]);
        const sent = Array.from({ length: 10 }, (_, at) => `message ${at}`);
        for (const text of sent.slice(0, 5)) expect(await near.append("h1", Buffer.from(text))).toBe(true);
        const late = following(near, ["h1"]);
        for (const text of sent.slice(5)) expect(await near.append("h1", Buffer.from(text))).toBe(true);
        await near.append("h2", Buffer.from("of another"));
        await near.append("h3", Buffer.from("unheard"));
        await eventually("both heard", () => [early.messages.length, late.messages.length]).toEqual([11, 10]);
        expect(early.messages.filter((text) => text !== "of another")).toEqual(sent);
        expect(late.messages).toEqual(sent);
        late.subscription.close();
        await near.append("h1", Buffer.from("after the close"));
        await eventually("heard", () => early.messages.length).toBe(12);
        expect(late.messages).toEqual(sent);
      });

      it("tells the newest, and that there is none", async () => {
        expect(await near.newest("empty")).toBeNull();
        await near.append("two", Buffer.from("1"));
        await near.append("two", Buffer.from([0, 255]));
        expect([...(await far.newest("two"))!]).toEqual([0, 255]);
      });

      it("keeps no more than its bound", async () => {
        const { historyMaxMessages, historySlack = 0 } = factory;
        const most = historyMaxMessages + historySlack;
        for (let at = 0; at <= most; at += 1) await near.append("bound", Buffer.from(String(at)));
        const { messages } = following(far, ["bound"]);
        await eventually("the last is heard", () => messages.at(-1)).toBe(String(most));
        expect(messages.length).toBeLessThanOrEqual(most);
        expect(messages.length).toBeGreaterThanOrEqual(historyMaxMessages);
      });

      withHooks(["cut", "heal"])("says what it could not add, and goes on where it was: cut", async () => {
        const { messages } = following(far, ["broken"]);
        await near.append("broken", Buffer.from("before"));
        await eventually("heard", () => messages).toEqual(["before"]);
        await harness.cut!();
        expect(await near.append("broken", Buffer.from("lost?"))).toBe(false);
        expect(await near.newest("broken")).toBeUndefined();
        await harness.heal!();
        await untilFlowing(near, far);
        expect(await near.append("broken", Buffer.from("after"))).toBe(true);
        await eventually("heard", () => messages.filter((text) => text !== "lost?")).toEqual([
          "before",
          "after",
        ]);
      });

      it("appends nothing once closed", async () => {
        await near.close();
        expect(await near.append("closed", Buffer.from("1"))).toBe(false);
      });
    });

    describe("U3: a counter is approximate, and never doubled", () => {
      it("adds up what all programs add, each key for itself", async () => {
        const counts = Array.from({ length: 100 }, (_, at) =>
          (at % 2 === 0 ? near : far).count("sum", 3, 60_000),
        );
        const sums = (await Promise.all(counts)).map(Number).sort((a, b) => a - b);
        expect(sums).toEqual(Array.from({ length: 100 }, (_, at) => 3 * (at + 1)));
        expect(await near.count("other", 7, 60_000)).toBe(7);
        expect(await far.count("sum", 0, 60_000)).toBe(300);
      });

      it("forgets itself after its time, counted from its first increment", async () => {
        const ttlMs = 300;
        const started = performance.now();
        expect(await near.count("brief", 1, ttlMs)).toBe(1);
        const again = async () => {
          const sum = await near.count("brief", 1, ttlMs);
          return sum === 1 ? performance.now() - started : 0;
        };
        // Increments do not prolong it.
        await expect.poll(again, { interval: 20, timeout: 3_000 }).toBeGreaterThan(ttlMs - 20);
      });

      withHooks(["loseAnswer"])("is counted once when the answer is lost", async () => {
        expect(await near.count("lost", 1, 60_000)).toBe(1);
        harness.loseAnswer!();
        expect(await near.count("lost", 1, 60_000)).toBeUndefined();
        await untilFlowing(near, far);
        expect(await far.count("lost", 0, 60_000)).toBe(2);
      });
    });
  });
}
