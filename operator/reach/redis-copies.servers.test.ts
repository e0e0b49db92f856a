/** The fast copy on a real Redis, behind a proxy that fails. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  common,
  describeWithRedis,
  startTestRedis,
  type TestRedis,
} from "../../actors/adapters/redis/redis.fixture.ts";
import { createRedisSharedState } from "../../actors/adapters/redis/shared-state.ts";
import { encodeAssignment } from "../../actors/assignment/assignment.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { encodeTable } from "../../actors/routing/table-json.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { createRedisCopies, type RedisCopies } from "./redis-copies.ts";

const SOON = { timeout: 20_000, interval: 50 };
const START = 1_790_000_000_000;
const first = addGeneration(emptyTable(START), { shardCount: 4 }, START, DEFAULT_LIMITS);
const second = addGeneration(first, { shardCount: 8 }, START + 60_000, DEFAULT_LIMITS);
const textsOf = (table: typeof first, version: number) => ({
  routing: encodeTable(table),
  assignment: encodeAssignment({ version, hosts: new Map(), shards: new Map() }),
});

await describeWithRedis(() => {
  describe("the fast copy", () => {
    let redis: TestRedis;
    let copies: RedisCopies;
    const outcomes: string[] = [];
    const cluster = { metadata: { namespace: "shop", name: "clicks" } } as ClickCluster;
    const make = () =>
      createRedisCopies({
        ...common,
        placeOf: () => Promise.resolve({ url: redis.url }),
        onCopy: (outcome) => void outcomes.push(outcome),
      });
    beforeAll(async () => {
      redis = await startTestRedis();
    });
    afterAll(() => redis.close());
    afterEach(async () => {
      await copies.close();
      await redis.command("FLUSHALL");
      outcomes.length = 0;
    });

    const standing = (key: string) => async () => {
      const connection = redis.connect();
      const state = createRedisSharedState({ ...common, redis: connection, key });
      try {
        return await state.read();
      } finally {
        state.close();
        await connection.close();
      }
    };

    it("is brought up to what was offered, and written no second time", async () => {
      copies = make();
      const texts = textsOf(first, 3);
      for (let i = 0; i < 5; i += 1) {
        copies.offer(cluster, texts);
        await expect.poll(standing("assignment"), SOON).toBe(texts.assignment);
      }
      expect(await standing("routing")()).toBe(texts.routing);
      expect(outcomes).toEqual(["written", "written"]);
      expect(await copies.isReachable(cluster)).toBe(true);
    });

    it("fault 14: is written when Redis is back, by the next offer; meanwhile Redis is said to be away", async () => {
      copies = make();
      redis.proxy.refuse();
      copies.offer(cluster, textsOf(first, 3));
      expect(await copies.isReachable(cluster)).toBe(false);
      await expect.poll(() => outcomes, SOON).toContain("failed");
      redis.proxy.heal();
      const text = async () => {
        copies.offer(cluster, textsOf(first, 4));
        return standing("assignment")();
      };
      await expect.poll(text, SOON).toBe(textsOf(first, 4).assignment);
    });

    it("Y1 is not put back by a leader that was held up, whose ConfigMap was read long ago", async () => {
      copies = make();
      copies.offer(cluster, textsOf(second, 9));
      await expect.poll(standing("assignment"), SOON).toBe(textsOf(second, 9).assignment);
      const late = make();
      late.offer(cluster, textsOf(first, 8));
      await expect.poll(() => outcomes.filter((each) => each === "newer"), SOON).toHaveLength(2);
      expect(await standing("routing")()).toBe(encodeTable(second));
      await late.close();
    });
  });
});
