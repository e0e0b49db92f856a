/**
 * The query service, put together. It listens from the beginning, for /healthz and /readyz, and
 * waits for the routing table, which says of which shards a report speaks, and for ClickHouse.
 */
import { listAds } from "../../actors/adapters/clickhouse/ad-list.ts";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { readAdNames } from "../../actors/adapters/clickhouse/ad-names.ts";
import { createReplayRecord } from "../../actors/adapters/clickhouse/replays.ts";
import { createReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { watchReportTables } from "../../actors/adapters/clickhouse/report-tables.ts";
import { createReports } from "../../actors/adapters/clickhouse/reports.ts";
import { authoriseReads } from "../../actors/adapters/http/auth.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { createDeadLetters, type DeadLetters } from "../../actors/dead-letters/dead-letters.ts";
import { createShareCodec } from "../../actors/keys/share.ts";
import { shardsEver, shardsInUse } from "../../actors/routing/table.ts";
import { auditRoutes } from "../gateway/audit-routes.ts";
import { readTokenKeys } from "../gateway/token-codec.ts";
import { whoamiRoutes } from "../gateway/whoami-routes.ts";
import { registerNamesRoute } from "../dashboard/names-routes.ts";
import { registerDashboard } from "../dashboard/routes.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import { openClickHouse, openKafka, openSharedStates } from "../lib/connections.ts";
import { followRouting } from "../lib/followers.ts";
import { openBus, openFeed } from "../lib/live.ts";
import type { Program } from "../lib/program.ts";
import { assertServing, openCatalogue, openKeys } from "../lib/replicas.ts";
import { createProgramApi, listenHttp } from "../lib/serve.ts";
import { openShardRouting } from "../lib/shard-routing.ts";
import { adListRoutes } from "./ad-list-routes.ts";
import { clusterRoutes } from "./cluster-routes.ts";
import type { QueryConfig } from "./config.ts";
import { deadLetterRoutes } from "./dead-letter-routes.ts";
import { liveRoutes } from "./live-routes.ts";
import { listenReportsGrpc } from "./grpc.ts";
import { createReportAnswers } from "./report-route.ts";
import { registerReportRoutes } from "./routes.ts";
import { shareRoutes } from "./share-routes.ts";

export async function startQuery(program: Program<QueryConfig>): Promise<Record<string, number>> {
  const { clock, config, life, limits, logger } = program;
  const { dataDir } = config;
  const certificates = await openProgramCertificates(program, "query");
  const states = openSharedStates(program, certificates.redis);
  const clickhouse = openClickHouse(program, certificates.clickhouse, { readOnly: true });
  const log = openKafka(program, certificates.kafka);
  const keys = await openKeys(program, log);
  const replicated = dataDir === undefined ? undefined : await openCatalogue(program, log, dataDir);
  const routing = followRouting({ state: states.routing, limits, clock, logger });
  life.onStop("the routing table", () => routing.close());
  const shards = openShardRouting(program, states.assignment, certificates.programs);

  const { app, requireScope } = createProgramApi(
    program,
    {
      authenticate: keys.authenticator.authenticate,
      anonymousScopes: config.openReports ? ["read"] : [],
      keyLimits: keys.keyLimits,
      audit: keys.audit,
    },
    certificates.public,
  );
  const inUse = () => shardsInUse(routing.table, clock.now(), limits);
  const desk = createReportDesk({
    reports: createReports({ clickhouse, limits, shards: inUse }),
    clickhouse,
    ...(replicated !== undefined && { ownerOf: replicated.ownerOf }),
  });
  const authorise = authoriseReads(requireScope);
  registerReportRoutes(app, { desk, authorise, clock, limits });
  if (config.shareKeysFile !== undefined) {
    const codec = await createShareCodec(await readTokenKeys(config.shareKeysFile, "all query services"));
    const { authenticator, keyLimits } = keys;
    const answers = createReportAnswers({ desk, clock, limits });
    app.register(shareRoutes({ ...answers, codec, authenticator, keyLimits, requireScope, clock, limits }));
  }
  const bus = openBus(program, states.redis);
  const feed = bus && openFeed({ ...program, bus, clickhouse, shards: () => shardsEver(routing.table) });
  app.register(liveRoutes({ feed, authorise, limits }));
  // Of the shards that there are at the time of the question.
  const current = (): DeadLetters =>
    createDeadLetters({
      log: log.topic("clicks-dead-letter"),
      shardPort: shards.router,
      shards: shardsEver(routing.table),
      limits,
      clock,
    });
  const deadLetters: DeadLetters = {
    list: (limit, after) => current().list(limit, after),
    replay: (id) => current().replay(id),
  };
  const replays = createReplayRecord(clickhouse);
  registerNamesRoute(app, { names: (query) => readAdNames(clickhouse, query), requireScope });
  registerDashboard(app, { isOpen: config.openReports });
  app.register(deadLetterRoutes({ deadLetters, replays, requireScope, logger }));
  app.register(adListRoutes({ list: (query) => listAds(clickhouse, query), requireScope }));
  const { readCheckpoints: checkpoints } = createClickHouseCountSink(clickhouse);
  const table = () => routing.table;
  const assignment = () => shards.assignment;
  const clicks = log.topic("clicks");
  app.register(
    clusterRoutes({ table, assignment, clicks, checkpoints, requireScope, limits, clock, logger }),
  );
  app.register(whoamiRoutes({ requireScope }));
  app.register(auditRoutes({ audit: keys.audit, requireScope, limits }));
  life.onStop("HTTP", () => app.close());
  const httpPort = await listenHttp(app, config.host, config.httpPort, "--http-port");
  const callers = { ...keys, authenticate: keys.authenticator.authenticate };
  const grpcPort = await listenReportsGrpc(program, {
    desk,
    feed,
    callers,
    certificates: certificates.public,
  });
  life.comeUp();

  await Promise.all([
    life.waitFor("the routing table", () => routing.refresh()),
    life.waitFor("ClickHouse", async () => {
      if (!(await clickhouse.ping())) throw new AdtallyError("COUNT_SINK_UNAVAILABLE", "it does not answer");
    }),
    life.waitFor("the API keys", () => assertServing(keys.replica)),
    replicated && life.waitFor("the catalogue", () => assertServing(replicated.replica)),
  ]);
  const tables = watchReportTables({ clickhouse, clock, logger, whenAway: true });
  life.onStop("the look at ClickHouse", () => tables.stop());
  life.check(tables.faults);
  await tables.look();
  return { httpPort, ...grpcPort };
}
