/** Actor hosts on loopback with shards in memory, and a router over them: what its tests drive. */
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createDirectShardPort } from "../direct/direct-shard-port.ts";
import { MemoryShard } from "../memory/memory-shard.ts";
import { loadProtos } from "./protos.ts";
import { createGrpcServer } from "./server.ts";
import { createShardClient } from "./shard-client.ts";
import { createShardRouter } from "./shard-router.ts";
import { createShardService } from "./shard-service.ts";
import type { Assignment } from "../../assignment/assignment.ts";
import type { Limits } from "../../core/limits.ts";
import type { RetryReason, ShardRouter } from "./shard-router.ts";

export const protos = loadProtos();

export interface TestHost {
  /** The shards it owns: change them as a move does. */
  readonly shards: Map<number, MemoryShard>;
  readonly address: string;
  /** Closes the server, with or without an end to its streams. */
  drain(): Promise<void>;
}

export async function startHost(
  limits: Limits,
  shards: readonly (readonly [number, MemoryShard])[],
  port = 0,
): Promise<TestHost> {
  const own = new Map(shards);
  const direct = createDirectShardPort({ shards: own, clock: systemClock, limits: DEFAULT_LIMITS });
  const service = createShardService({ shards: direct, limits, clock: systemClock, logger: silentLogger });
  const server = createGrpcServer({ services: [service], limits, clock: systemClock });
  const bound = await server.listen("127.0.0.1", port);
  return { shards: own, address: `127.0.0.1:${bound}`, drain: () => server.drain() };
}

export const memoryShard = (limits: Limits) => new MemoryShard(systemClock, limits.mailboxMaxClicks);

export interface TestRouter extends ShardRouter {
  readonly retries: RetryReason[];
  /** How often it asked for a fresh assignment. */
  readonly refreshes: () => number;
}

export function openRouter(limits: Limits, onRefresh: (router: ShardRouter) => void = () => {}): TestRouter {
  const retries: RetryReason[] = [];
  const shared = { limits, clock: systemClock, random: systemRandom, logger: silentLogger };
  let refreshes = 0;
  const router = createShardRouter({
    ...shared,
    connect: (address) => createShardClient({ ...shared, address, protos }),
    refresh: () => {
      refreshes += 1;
      onRefresh(router);
    },
    onRetry: (why) => void retries.push(why),
  });
  // By prototype, as a spread would read `assignment` once and for all.
  return Object.assign(Object.create(router) as ShardRouter, { retries, refreshes: () => refreshes });
}

/** `shards`: the host of shard 0, of shard 1, … */
export function assignmentOf(
  version: number,
  hosts: Readonly<Record<string, string>>,
  shards: readonly string[],
): Assignment {
  const owners = shards.map((host, shard) => [shard, { host, epoch: version }] as const);
  return { version, hosts: new Map(Object.entries(hosts)), shards: new Map(owners) };
}
