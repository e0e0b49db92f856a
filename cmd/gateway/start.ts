/**
 * A cluster's gateway, put together. Its HTTP port is served from the beginning, for /healthz and
 * /readyz; clicks are answered 503 until all that they need has been there once, in this life or an
 * earlier one: catalogue, API keys, routing table and assignment have copies in the data directory.
 * From then on what goes away costs speed, not clicks: shards by the spill, the log by the spool,
 * Redis by nothing. A start goes on from the copies where what they were made from does not answer.
 *
 * It stops from outside inwards: no new clicks, those under way answered, the spool, the way to
 * the shards, the stores, the log.
 */
import type { KafkaConfig } from "../../actors/adapters/kafka/config.ts";
import { ensureKeyedTopics } from "../../actors/adapters/kafka/ensure-keyed-topics.ts";
import { writerId } from "../../actors/block/block.ts";
import { isAdtallyError } from "../../actors/core/errors.ts";
import { createPlacementService } from "../../actors/placement/service.ts";
import type { Replica } from "../../actors/replica/replica.ts";
import { shardsEver } from "../../actors/routing/table.ts";
import { createSpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";
import { startSpoolDrainer } from "../../actors/spill/spool-drainer.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import { kafkaConfigOf, openKafka, openSharedStates } from "../lib/connections.ts";
import { followRouting } from "../lib/followers.ts";
import type { Program } from "../lib/program.ts";
import { isWildcard, urlOf } from "../lib/public-url.ts";
import { assertServing, observeReplica, openCatalogue, openCopy, openKeys } from "../lib/replicas.ts";
import { createProgramApi } from "../lib/serve.ts";
import { openShardRouting } from "../lib/shard-routing.ts";
import { adsRoutes } from "./ads-routes.ts";
import { auditRoutes } from "./audit-routes.ts";
import type { GatewayConfig } from "./config.ts";
import { watchClock } from "./clock-watch.ts";
import { createGateway } from "./gateway.ts";
import { impressionsRoutes } from "./impressions-routes.ts";
import { keysRoutes } from "./keys-routes.ts";
import { countedPort, serveReports } from "./report.ts";
import { observeSpill } from "./spill-metrics.ts";
import { openSpool } from "./spooling.ts";
import { readTokenCodec } from "./token-codec.ts";
import { whoamiRoutes } from "./whoami-routes.ts";

export async function startGateway(program: Program<GatewayConfig>): Promise<Record<string, number>> {
  const { clock, config, life, limits, logger, metrics, random } = program;
  const { host, tokenKeysFile } = config;
  const codec = await readTokenCodec(tokenKeysFile);
  const certificates = await openProgramCertificates(program, "gateway");
  const states = openSharedStates(program, certificates.redis);
  const kafka = kafkaConfigOf(config, certificates.kafka);
  const log = openKafka(program, certificates.kafka);
  const { catalogue, replica } = await openCatalogue(program, log, config.dataDir);
  const keys = await openKeys(program, log);
  const spool = await openSpool(program);

  const copyOf = (name: string) => openCopy(config.dataDir, name, logger);
  const copy = await copyOf("routing");
  const routing = followRouting({ state: states.routing, copy, limits, clock, logger });
  life.onStop("the routing table", () => routing.close());
  const shards = openShardRouting(
    program,
    states.assignment,
    certificates.programs,
    await copyOf("assignment"),
  );
  const clockWatch = watchClock({ hosts: () => shards.router.hosts(), limits, clock, logger });
  life.onStop("the watch of the clock", () => clockWatch.close());
  life.check(() => clockWatch.faults);
  const spill = log.topic("clicks-spill");
  const spilling = createSpillingShardPort({
    inner: shards.router,
    isReachable: (shard) => shards.router.isReachable(shard),
    spill,
    spool: spool.log,
    writer: writerId(random),
    limits,
    clock,
    logger,
  });
  const drainer = await startSpoolDrainer({
    spool: spool.log,
    progress: spool.progress,
    target: shards.router,
    spill,
    shards: () => shardsEver(routing.table),
    table: () => routing.table,
    limits,
    clock,
    logger,
  });
  life.onStop("the spool's drain", async () => {
    const blocks = await drainer.end(limits.drainDeadlineMs);
    if (blocks > 0) logger.warn({ blocks }, "spooled clicks wait on disk for this gateway's next start");
  });
  observeSpill(metrics, spilling.stats, drainer, spool);
  const offered = { clicks: 0 };
  const reporting = { offered, stats: spilling.stats, drainer };
  const internalPort = await serveReports(program, certificates.programs, reporting);

  const { audit, authenticator, keyLimits } = keys;
  const { authenticate } = authenticator;
  const auth = { authenticate, keyLimits, audit };
  let boundPort = config.httpPort;
  const publicUrl = () => config.publicUrl ?? urlOf(host, boundPort, certificates.public && "https");
  const table = () => routing.table;
  const placement = createPlacementService({ catalogue, clock, codec, random, limits, publicUrl, table });
  const { app, requireScope } = createProgramApi(program, auth);
  app.register(adsRoutes({ catalogue, clock, limits, logger, requireScope }));
  app.register(keysRoutes({ keys: keys.store, authenticator, requireScope, clock, random, limits }));
  app.register(whoamiRoutes({ requireScope }));
  app.register(auditRoutes({ audit, requireScope, limits }));
  app.register(impressionsRoutes({ placement, requireScope, limits }));
  await app.ready();
  life.onStop("the API", () => app.close());

  const knowsGenerations = () => table().newestFirst.length > 0;
  const gateway = createGateway({
    shardPort: countedPort(spilling.patient, offered),
    httpShardPort: countedPort(spilling, offered),
    catalogue,
    codec,
    routing: table,
    limits,
    clock,
    ...auth,
    placement,
    isClockOff: () => clockWatch.isOff,
    keepsUnrouted: true,
    isOpen: () => life.state !== "starting" || (knowsGenerations() && replica.status().isWhole),
    isLeaving: () => life.state === "draining",
    httpHandler: (request, response) => void app.routing(request, response),
    trustedProxies: config.trustedProxies,
    certificates: certificates.public,
    logger,
  });
  life.onStop("clicks", () => gateway.drain());
  const httpPort = await gateway.httpServer.listen(host, config.httpPort);
  boundPort = httpPort;
  life.comeUp();
  if (config.publicUrl === undefined && isWildcard(host))
    logger.warn({ publicUrl: publicUrl() }, "click URLs work on this machine alone: give --public-url");

  await Promise.all([
    life.waitFor("the routing table", () => routing.begin()),
    life.waitFor("the assignment", () => shards.begin()),
    life.waitFor("Kafka", () => checkTopics(program, kafka, [replica, keys.replica])),
    life.waitFor("the catalogue", () => assertServing(replica)),
    life.waitFor("the API keys", () => assertServing(keys.replica)),
  ]);
  observeReplica(program, "the catalogue", replica);
  observeReplica(program, "the API keys", keys.replica);
  const grpcPort = await gateway.grpcServer.listen(host, config.grpcPort);
  return { httpPort, grpcPort, ...(internalPort !== undefined && { internalPort }) };
}

/** Where nothing of the log is needed that is not in this program's copies, they are looked at later. */
async function checkTopics(
  { config, life, limits, logger }: Program<GatewayConfig>,
  kafka: KafkaConfig,
  replicas: readonly Replica[],
): Promise<void> {
  const check = () =>
    ensureKeyedTopics({
      config: kafka,
      wants: { replication: config.kafkaReplication, minInsyncReplicas: config.kafkaMinInsync },
      limits,
      logger,
    });
  try {
    await check();
  } catch (error) {
    const haveCopies = replicas.every((replica) => replica.status().isWhole);
    if (!haveCopies || !isAdtallyError(error, "LOG_UNAVAILABLE")) throw error;
    logger.warn({ error: error.message }, "the log does not answer: serving from this gateway's own copies");
    void life.eventually("Kafka", check);
  }
}
