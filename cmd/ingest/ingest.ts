/** The raw ingester over Kafka, put together: all shards that any routing generation has had. */
import { migrate } from "../../actors/adapters/clickhouse/migrations.ts";
import { startRawIngester, type RawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import { DEFAULT_RETENTION } from "../../actors/adapters/clickhouse/schema.ts";
import { messageOf } from "../../actors/core/errors.ts";
import { shardsEver } from "../../actors/routing/table.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import { openClickHouse, openKafka, openSharedStates } from "../lib/connections.ts";
import { followRouting } from "../lib/followers.ts";
import type { Program } from "../lib/program.ts";
import { serveAdmin } from "../lib/serve.ts";
import { observeRawTable } from "../lib/shard-metrics.ts";
import type { IngestConfig } from "./config.ts";

/** How often new shards are looked for, and the log's ends, which the lag is told from. */
const LOOK_MS = 5_000;

export async function startIngest(program: Program<IngestConfig>): Promise<Record<string, number>> {
  const { clock, life, limits, logger, metrics } = program;
  const adminPort = await serveAdmin(program);
  const states = openSharedStates(program);
  const clickhouse = await openClickHouse(program);
  const clicks = openKafka(program).topic("clicks");

  const routing = followRouting({ state: states.routing, limits, clock, logger });
  life.onStop("the routing table", () => routing.close());
  await life.waitFor("the routing table", () => routing.refresh());
  await life.waitFor("ClickHouse", () => migrate(clickhouse, DEFAULT_RETENTION));

  let shards = shardsEver(routing.table);
  const begin = (served: readonly number[]) =>
    startRawIngester({ log: clicks, clickhouse, shards: served, limits, clock, logger });
  let ingester: RawIngester = await life.waitFor("the log and ClickHouse", () => begin(shards));
  const ends = new Map<number, number>();
  life.check(() => [...ingester.halted()].map(([shard, why]) => `shard ${shard}: ${why}`));

  async function look(): Promise<void> {
    const now = shardsEver(routing.table);
    if (now.length > shards.length) {
      await ingester.stop();
      ingester = await begin(now);
      shards = now;
    }
    for (const shard of shards) ends.set(shard, (await clicks.bounds(shard)).next);
  }
  let looking: Promise<void> | undefined;
  const lookSoon = () => {
    looking ??= look()
      .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "the log could not be looked at"))
      .finally(() => (looking = undefined));
  };
  lookSoon();
  const timer = clock.every(LOOK_MS, lookSoon);
  life.onStop("the ingester", async () => {
    timer.cancel();
    await looking;
    const leave = (error: unknown) =>
      logger.warn({ error: messageOf(error) }, "rows left for the next start");
    await withDeadline(clock, limits.sinkDrainDeadlineMs, "the raw table", ingester.drain()).catch(leave);
    await ingester.stop();
  });
  observeRawTable(
    metrics,
    shards,
    (shard) => ends.get(shard),
    () => ingester.progress(),
  );
  return { adminPort };
}
