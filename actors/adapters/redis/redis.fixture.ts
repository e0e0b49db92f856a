/** A real Redis behind a proxy that fails on demand, and connections of programs to it. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { describe, it } from "vitest";
import { startRedis, redisLacks, type RedisServer } from "../../../testing/servers/redis.ts";
import { startTcpProxy, type TcpProxy } from "../../../testing/tcp-proxy.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import type { RedisConfig } from "./config.ts";
import { createRedisConnection, type RedisConnection } from "./connection.ts";

/** Short, so that faults are over soon. */
export const TEST_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  redisDeadlineMs: 500,
  sharedStateRereadMs: 300,
  reconnectMinMs: 20,
  reconnectMaxMs: 200,
  busPendingMaxBytes: 1024 * 1024,
  busHistoryMaxMessages: 20,
  busHistoryPollMs: 20,
};

export const common = { limits: TEST_LIMITS, clock: systemClock, logger: silentLogger };

/** Lays the suite out where Redis can be had; says so loudly where not, and fails in CI. */
export async function describeWithRedis(lay: () => void): Promise<void> {
  const lacks = await redisLacks();
  if (lacks === undefined) return lay();
  if (process.env["CI"] === "true") throw new Error(`REDIS: not available: ${lacks}`);
  process.stderr.write(`REDIS: not available: ${lacks}\n`);
  describe("Redis", () => it.skip(`REDIS: not available: ${lacks}`));
}

export interface TestRedis {
  readonly server: RedisServer;
  readonly proxy: TcpProxy;
  readonly url: string;
  /** One more program; closed with the server. */
  connect(config?: Partial<RedisConfig>): RedisConnection;
  /** A command of the test itself, past the proxy. */
  command(...words: string[]): Promise<unknown>;
  closeConnections(): Promise<void>;
  close(): Promise<void>;
}

export async function startTestRedis(args: readonly string[] = []): Promise<TestRedis> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-redis-"));
  const server = await startRedis({ dir, args });
  const proxy = await startTcpProxy({ targetPort: server.port });
  const url = `redis://${proxy.address}`;
  const connections = new Set<RedisConnection>();
  const connect = (config: Partial<RedisConfig> = {}): RedisConnection => {
    const connection = createRedisConnection({ ...common, config: { url, ...config } });
    connections.add(connection);
    return connection;
  };
  const direct = createRedisConnection({ ...common, config: { url: server.url } });
  const closeConnections = async () => {
    await Promise.all([...connections].map((connection) => connection.close()));
    connections.clear();
  };
  return {
    server,
    proxy,
    url,
    connect,
    command: (name, ...words) => direct.run(name!, (client) => client.call(name!, ...words)),
    closeConnections,
    async close() {
      await Promise.all([closeConnections(), direct.close()]);
      await server.kill();
      await proxy.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
