/** Publishes a cluster's assignment, as cmd/assign does: into its own folder, or its Redis. */
import path from "node:path";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import type { RedisConfig } from "../../actors/adapters/redis/config.ts";
import { createRedisConnection } from "../../actors/adapters/redis/connection.ts";
import { createRedisSharedState } from "../../actors/adapters/redis/shared-state.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock as clock } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import type { Wanted } from "../assign/plan.ts";
import { publishWanted } from "../assign/publish.ts";

const DEADLINE_MS = 10_000;
/** Whoever publishes can wait, where a click could not: a machine that runs a whole cluster is busy. */
const limits = { ...DEFAULT_LIMITS, redisDeadlineMs: DEADLINE_MS };

export async function publishInFiles(folder: string, wanted: Wanted): Promise<void> {
  const open = (name: string) =>
    createFileSharedState({
      path: path.join(folder, `${name}.json`),
      pollMs: DEADLINE_MS,
      deadlineMs: DEADLINE_MS,
      clock,
      logger,
    });
  await publishWanted({ routing: open("routing"), assignment: open("assignment"), clock, limits }, wanted);
}

export async function publishInRedis(config: RedisConfig, wanted: Wanted): Promise<void> {
  const redis = createRedisConnection({ config, limits, clock, logger });
  const open = (key: string) => createRedisSharedState({ redis, key, limits, clock, logger });
  const [routing, assignment] = [open("routing"), open("assignment")];
  try {
    await publishWanted({ routing, assignment, clock, limits }, wanted);
  } finally {
    routing.close();
    assignment.close();
    await redis.close();
  }
}
