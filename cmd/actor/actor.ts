/**
 * An actor host, put together: the log outwards at start, from the gRPC server inwards at the stop,
 * so that whatever was taken in is decided, written down and answered.
 *
 * ClickHouse is not waited for: shards with a store of their own count without it. Its tables are
 * made as soon as it is there; until then /readyz names it.
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { migrate } from "../../actors/adapters/clickhouse/migrations.ts";
import { DEFAULT_RETENTION } from "../../actors/adapters/clickhouse/schema.ts";
import { createGrpcServer } from "../../actors/adapters/grpc/server.ts";
import { createHostService } from "../../actors/adapters/grpc/report-service.ts";
import { createShardService } from "../../actors/adapters/grpc/shard-service.ts";
import { grpcServerCredentials } from "../../actors/adapters/tls/grpc.ts";
import { ensureTopics } from "../../actors/adapters/kafka/ensure-topics.ts";
import { rocksShardStores } from "../../actors/adapters/rocksdb/shard-store.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { createHostLoad } from "../../actors/load/host-load.ts";
import { sleep } from "../../actors/runtime/clock.ts";
import { ShardHost } from "../../actors/shard/host.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import { kafkaConfigOf, openClickHouse, openKafka, openSharedStates } from "../lib/connections.ts";
import { followAssignment } from "../lib/followers.ts";
import { openBus, openPublisher } from "../lib/live.ts";
import type { Program } from "../lib/program.ts";
import { serveAdmin } from "../lib/serve.ts";
import { observeShards } from "../lib/shard-metrics.ts";
import type { ActorConfig } from "./config.ts";
import { createOwnership } from "./ownership.ts";
import { createHostReporter } from "./report.ts";

const TABLES_HEAD_START_MS = 1_000;
/** Who may call what: each by its certificate. */
const CALLERS = { ShardService: ["gateway", "query"], HostService: ["operator"] } as const;

export async function startActor(program: Program<ActorConfig>): Promise<Record<string, number>> {
  const { clock, config, life, limits, logger, metrics, random } = program;
  const adminPort = await serveAdmin(program);
  const { dataDir, hostName, kafkaPartitions: partitions } = config;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const certificates = await openProgramCertificates(program, "actor");
  const states = openSharedStates(program, certificates.redis);
  const clickhouse = openClickHouse(program, certificates.clickhouse);
  const log = openKafka(program, certificates.kafka);

  await life.waitFor("Kafka", () =>
    ensureTopics({
      config: kafkaConfigOf(config, certificates.kafka),
      wants: {
        partitions,
        replication: config.kafkaReplication,
        minInsyncReplicas: config.kafkaMinInsync,
        retentionMs: limits.logRetentionMs,
        extends: config.kafkaExtendTopics,
      },
      limits,
      logger,
    }),
  );

  const load = createHostLoad({ clock, random });
  const live = openPublisher(program, openBus(program, states.redis));
  const spill = log.topic("clicks-spill");
  const host = await ShardHost.start({
    shards: [],
    limits,
    clicks: log.topic("clicks"),
    deadLetters: log.topic("clicks-dead-letter"),
    spill,
    stores: rocksShardStores(path.join(dataDir, "state")),
    sink: createClickHouseCountSink(clickhouse),
    clock,
    random,
    logger,
    defer: (run) => void setImmediate(run),
    onBlock: (shard, { header, value }) => load.offered(shard, value, header.rowCount),
    ...(live && { onFolded: live.folded }),
  });
  life.onStop("the shards", () => host.drain());
  life.check(() => host.faults);
  observeShards(
    metrics,
    host,
    Array.from({ length: partitions }, (_, shard) => shard),
  );

  const service = createShardService({ shards: host, limits, clock, logger });
  const { programs } = certificates;
  const credentials = programs && grpcServerCredentials(programs, CALLERS);
  const report = createHostReporter({
    program,
    host,
    load,
    spill,
    assignmentVersion: () => ownership.version,
  });
  const server = createGrpcServer({
    services: [service, createHostService({ report, limits, logger })],
    limits,
    clock,
    ...(credentials && { credentials }),
  });
  const ownership = createOwnership({ name: hostName, host, limits, clock, logger });
  life.onStop("gRPC", () => server.drain());
  const grpcPort = await server.listen(config.host, config.grpcPort);
  life.comeUp();

  // The tables first where that is quick: a shard without a store asks for its checkpoint.
  const tables = life.background("ClickHouse", () => migrate(clickhouse, DEFAULT_RETENTION));
  await Promise.race([tables, sleep(clock, TABLES_HEAD_START_MS)]);
  life.check(() => (life.state === "starting" ? [] : ownership.faults));
  const following = followAssignment({ state: states.assignment, logger }, (next) => ownership.follow(next));
  life.onStop("the assignment", () => {
    following.close();
    return ownership.stop();
  });
  await life.waitFor("the assignment", () => following.refresh());
  await life.waitFor("the shards", async () => {
    const missing = ownership.faults.join("; ");
    if (missing !== "") throw new AdtallyError("SHARD_HALTED", missing);
  });
  return { grpcPort, adminPort };
}
