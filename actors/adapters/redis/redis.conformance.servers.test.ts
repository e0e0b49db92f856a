import { afterAll, beforeAll } from "vitest";
import { describeBus } from "../../ports/bus.conformance.ts";
import { describeSharedState } from "../../ports/shared-state.conformance.ts";
import { createRedisBus } from "./bus.ts";
import { common, describeWithRedis, startTestRedis, TEST_LIMITS, type TestRedis } from "./redis.fixture.ts";
import { createRedisSharedState } from "./shared-state.ts";

const SOON_MS = 6_000;
const HOOKED = ["cut", "heal"] as const;

await describeWithRedis(() => {
  let redis: TestRedis;
  let documents = 0;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.close());

  const faults = {
    cut: async () => redis.proxy.refuse(),
    hang: async () => redis.proxy.hold("to-client"),
    heal: async () => redis.proxy.heal(),
  };

  describeBus("Redis", {
    hooks: [...HOOKED, "hang", "loseAnswer"],
    deadlineMs: TEST_LIMITS.redisDeadlineMs,
    soonMs: SOON_MS,
    pendingMaxBytes: TEST_LIMITS.busPendingMaxBytes,
    historyMaxMessages: TEST_LIMITS.busHistoryMaxMessages,
    // XADD trims by whole nodes of its tree.
    historySlack: 100,
    async make() {
      await redis.command("FLUSHALL");
      return {
        ...faults,
        async open() {
          const connection = redis.connect();
          await connection.run("ping", (client) => client.ping());
          return createRedisBus({ ...common, redis: connection });
        },
        loseAnswer: () => redis.proxy.loseAnswer((chunk) => chunk.includes("INCRBY")),
        async close() {
          redis.proxy.heal();
          await redis.closeConnections();
        },
      };
    },
  });

  describeSharedState("Redis", {
    hooks: [...HOOKED, "forget"],
    deadlineMs: TEST_LIMITS.redisDeadlineMs,
    soonMs: SOON_MS,
    runs: 8,
    async make() {
      const key = `document-${(documents += 1)}`;
      const states: { close(): void }[] = [];
      return {
        ...faults,
        open() {
          const state = createRedisSharedState({ ...common, redis: redis.connect(), key });
          states.push(state);
          return state;
        },
        forget: async () => void (await redis.command("FLUSHALL")),
        async close() {
          redis.proxy.heal();
          for (const state of states) state.close();
          await redis.closeConnections();
        },
      };
    },
  });
});
