/**
 * The raw ingester over Kafka, put together: all shards that any routing generation has had.
 * Beside it, what else is made in ClickHouse from what is there: the rollup, and the ads' copy.
 */
import { startAdsProjector } from "../../actors/adapters/clickhouse/ads-projector.ts";
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { migrate } from "../../actors/adapters/clickhouse/migrations.ts";
import { startRollups } from "../../actors/adapters/clickhouse/rollups.ts";
import { startRawIngester, type RawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import { DEFAULT_RETENTION } from "../../actors/adapters/clickhouse/schema.ts";
import type { KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { messageOf } from "../../actors/core/errors.ts";
import { shardsEver, shardsInUse } from "../../actors/routing/table.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import { openClickHouse, openKafka, openSharedStates } from "../lib/connections.ts";
import { followRouting } from "../lib/followers.ts";
import type { Program } from "../lib/program.ts";
import { assertFollowing, openCatalogue } from "../lib/replicas.ts";
import { serveAdmin } from "../lib/serve.ts";
import { observeRawTable } from "../lib/shard-metrics.ts";
import type { IngestConfig } from "./config.ts";

/** How often new shards are looked for, and the log's ends, which the lag is told from. */
const LOOK_MS = 5_000;
const STOP_DEADLINE_MS = 1_000;

export async function startIngest(program: Program<IngestConfig>): Promise<Record<string, number>> {
  const { clock, config, life, limits, logger, metrics } = program;
  const { dataDir } = config;
  const adminPort = await serveAdmin(program);
  life.comeUp();
  const certificates = await openProgramCertificates(program);
  const states = openSharedStates(program, certificates.redis);
  const clickhouse = openClickHouse(program, certificates.clickhouse);
  const log = openKafka(program, certificates.kafka);
  const clicks = log.topic("clicks");

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
    // An insert that hangs ends with this process; the next start sends its rows again.
    await withDeadline(clock, STOP_DEADLINE_MS, "the last insert", ingester.stop()).catch(leave);
  });
  const inUse = () => shardsInUse(routing.table, clock.now(), limits);
  const rollups = startRollups({ clickhouse, shards: inUse, limits, clock, logger });
  // A statement that hangs ends with this process; its hours are made by the next pass of anybody.
  life.onStop("the rollup", () =>
    withDeadline(clock, STOP_DEADLINE_MS, "the rollup's statement", rollups.stop()).catch(() => {}),
  );
  observeRawTable(
    metrics,
    shards,
    (shard) => ends.get(shard),
    () => ingester.progress(),
  );
  if (dataDir !== undefined) await copyAds(program, log, clickhouse, dataDir);
  return { adminPort };
}

/**
 * The catalogue's ads, for those who ask ClickHouse: nothing of adtally's own waits for it. A folder
 * that was lost is made again from the log, and all is copied once more (V3 of ads-projector.ts);
 * not before it is whole, or an ad's older state would be shown for a while.
 */
async function copyAds(
  program: Program<IngestConfig>,
  log: KafkaLog,
  clickhouse: ClickHouse,
  dataDir: string,
): Promise<void> {
  const { clock, life, limits, logger } = program;
  const { replica, store } = await openCatalogue(program, log, dataDir);
  await life.waitFor("the catalogue", () => assertFollowing(replica));
  const projector = await life.waitFor("ClickHouse's copy of the ads", () =>
    startAdsProjector({ changes: store, clickhouse, limits, clock, logger }),
  );
  life.onStop("the copy of the ads", () => projector.stop());
}
