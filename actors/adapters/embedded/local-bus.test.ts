import { Buffer } from "node:buffer";
import { expect, it } from "vitest";
import { describeBus } from "../../ports/bus.conformance.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createLocalBus } from "./local-bus.ts";

const limits = { busPendingMaxBytes: 1024 * 1024, busHistoryMaxMessages: 20 };
const open = () => createLocalBus({ clock: systemClock, limits, logger: silentLogger });

describeBus("the bus of one process", {
  hooks: [],
  deadlineMs: 100,
  soonMs: 2_000,
  pendingMaxBytes: limits.busPendingMaxBytes,
  historyMaxMessages: limits.busHistoryMaxMessages,
  async make() {
    // One process is one program.
    const bus = open();
    return { open: async () => bus, close: () => bus.close() };
  },
});

it("a subscriber that publishes finishes first", async () => {
  const bus = open();
  const order: string[] = [];
  bus.subscribe("a", (message) => {
    order.push(`begins ${message.length}`);
    if (message.length < 3) bus.publish("a", Buffer.alloc(message.length + 1));
    order.push(`ends ${message.length}`);
  });
  bus.publish("a", Buffer.alloc(1));
  expect(order).toEqual([]);
  await expect.poll(() => order.length).toBe(6);
  expect(order).toEqual(["begins 1", "ends 1", "begins 2", "ends 2", "begins 3", "ends 3"]);
});
