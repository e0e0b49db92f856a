import { systemClock } from "../../runtime/clock.ts";
import { describeShardPort } from "../../ports/shard-port.conformance.ts";
import { MemoryShard } from "../memory/memory-shard.ts";
import { createDirectShardPort } from "./direct-shard-port.ts";

describeShardPort("direct", (limits) => {
  const shards = new Map([0, 1, 2].map((n) => [n, new MemoryShard(systemClock, limits.mailboxMaxClicks)]));
  const port = createDirectShardPort({ shards, clock: systemClock, limits });
  return Promise.resolve({ under: { port, close: () => Promise.resolve() }, shard: (n) => shards.get(n)! });
});
