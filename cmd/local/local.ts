/**
 * The embedded form: every part of adtally in one process (the ClickHouse engine in a child),
 * the production code over embedded adapters. Parts start from the log outwards and stop from
 * the gateway inwards, so that whatever is taken in can be written down.
 */
import { join } from "node:path";
import { listAds } from "../../actors/adapters/clickhouse/ad-list.ts";
import { readAdNames } from "../../actors/adapters/clickhouse/ad-names.ts";
import { startAdsProjector } from "../../actors/adapters/clickhouse/ads-projector.ts";
import { connectClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { startEngine } from "../../actors/adapters/clickhouse/engine-process.ts";
import { migrate } from "../../actors/adapters/clickhouse/migrations.ts";
import { readRawProgress, startRawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import { createReplayRecord } from "../../actors/adapters/clickhouse/replays.ts";
import { createReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { watchReportTables } from "../../actors/adapters/clickhouse/report-tables.ts";
import { createReports } from "../../actors/adapters/clickhouse/reports.ts";
import { startRollups } from "../../actors/adapters/clickhouse/rollups.ts";
import { DEFAULT_RETENTION } from "../../actors/adapters/clickhouse/schema.ts";
import { createDirectShardPort } from "../../actors/adapters/direct/direct-shard-port.ts";
import { openFileLog } from "../../actors/adapters/embedded/file-log.ts";
import { authoriseReads as authoriseCalls } from "../../actors/adapters/grpc/auth.ts";
import { createLiveService } from "../../actors/adapters/grpc/live-service.ts";
import { createReportsService } from "../../actors/adapters/grpc/reports-service.ts";
import { authoriseReads } from "../../actors/adapters/http/auth.ts";
import { createApi, type Route } from "../../actors/adapters/http/api.ts";
import { openRocksCatalogue } from "../../actors/adapters/rocksdb/catalogue.ts";
import { openRocksKeyStore } from "../../actors/adapters/rocksdb/key-store.ts";
import { rocksShardStores } from "../../actors/adapters/rocksdb/shard-store.ts";
import { writerId } from "../../actors/block/block.ts";
import { messageOf } from "../../actors/core/errors.ts";
import { idKeyOf } from "../../actors/core/ids.ts";
import { assertLimits, type Limits } from "../../actors/core/limits.ts";
import { createDeadLetters } from "../../actors/dead-letters/dead-letters.ts";
import { createPlacementService } from "../../actors/placement/service.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { ShardHost } from "../../actors/shard/host.ts";
import { createSpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";
import { shardsEver } from "../../actors/routing/table.ts";
import { createTokenCodec } from "../../actors/token/token.ts";
import { registerNamesRoute } from "../dashboard/names-routes.ts";
import { registerDashboard } from "../dashboard/routes.ts";
import { adsRoutes } from "../gateway/ads-routes.ts";
import { auditRoutes } from "../gateway/audit-routes.ts";
import { createGateway } from "../gateway/gateway.ts";
import { impressionsRoutes } from "../gateway/impressions-routes.ts";
import { keysRoutes } from "../gateway/keys-routes.ts";
import { whoamiRoutes } from "../gateway/whoami-routes.ts";
import { prepareDataDir } from "../lib/data-dir.ts";
import { openLocalLive } from "../lib/live.ts";
import { urlOf } from "../lib/public-url.ts";
import { observeRawTable, observeShards } from "../lib/shard-metrics.ts";
import { adListRoutes } from "../query/ad-list-routes.ts";
import { clusterRoutes } from "../query/cluster-routes.ts";
import { deadLetterRoutes } from "../query/dead-letter-routes.ts";
import { liveRoutes } from "../query/live-routes.ts";
import { createReportAnswers } from "../query/report-route.ts";
import { registerReportRoutes } from "../query/routes.ts";
import { shareRoutes } from "../query/share-routes.ts";
import { openAccess } from "./access.ts";
import type { LocalConfig } from "./config.ts";
import { registerDemoRoutes, seedDemo } from "./demo.ts";
import { writeHistory } from "./demo/history.ts";
import { startTraffic } from "./demo/traffic.ts";
import { loadAdminKey, loadRouting, loadTokenKeys } from "./files.ts";
import { assertAddresses } from "./precheck.ts";
import { holdsClicks, shardsToServe } from "./shards.ts";

/** One process owns all shards, always: its assignment never changes. */
const EPOCH = 1;
const ROUTING_REFRESH_MS = 1_000;
const RETENTION_CHECK_MS = 60_000;
/** Clicks wait no longer than this for ClickHouse to have the counts of an earlier life. */
const COUNTS_DEADLINE_MS = 2_000;
const STOP_DEADLINE_MS = 1_000;

export interface LocalDeps {
  readonly config: LocalConfig;
  readonly version: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  /** Told what is under way, for a person who waits. */
  readonly progress: (what: string) => void;
}

export interface Local {
  readonly url: string;
  /** What click URLs begin with. */
  readonly publicUrl: string;
  readonly grpcAddress: string;
  readonly clickhouseUrl: string;
  /** Where the admin's key is kept; undefined when it was given. */
  readonly adminKeyPath: string | undefined;
  /** With the demo: a key of scope read for each of its advertisers. */
  readonly demoKeys: readonly { readonly advertiser: string; readonly key: string }[];
  /** Every route of its HTTP API. */
  readonly routes: readonly Route[];
  /** Drains and stops everything. */
  close(): Promise<void>;
}

/** @throws DATA_DIR_IN_USE, PORT_IN_USE, CONFIG_INVALID, LOG_CORRUPT … each naming what to do */
export async function startLocal(deps: LocalDeps): Promise<Local> {
  const { config, limits, clock, random, logger, progress } = deps;
  assertLimits(limits);
  const { dataDir } = config;
  /** What is open, innermost first; closed in reverse when the start fails or the program ends. */
  const open: (() => Promise<void>)[] = [];
  const closing = (close: () => Promise<void>) => void open.push(close);
  const closeAll = async () => {
    for (const close of open.splice(0).reverse()) {
      await close().catch((error: unknown) => logger.error({ error: messageOf(error) }, "close failed"));
    }
  };

  try {
    await prepareDataDir(dataDir);
    // RocksDB's lock is the folder's: a second start ends here, before it touches anything.
    const catalogue = await openRocksCatalogue({
      dir: join(dataDir, "catalogue"),
      cacheAds: limits.catalogueCacheAds,
    });
    closing(() => catalogue.close());
    await assertAddresses(config);

    progress("starting the ClickHouse engine");
    const engineStarting = startEngine({
      dataDir: join(dataDir, "clickhouse"),
      port: config.clickhousePort,
      clock,
      logger,
    });
    engineStarting.then(
      (engine) => closing(() => engine.close()),
      () => undefined,
    );

    const log = await openFileLog({ dir: join(dataDir, "log"), limits, clock, logger });
    closing(() => log.close());
    const clicks = log.topic("clicks");
    const isFresh = !(await holdsClicks(clicks, limits));
    const [keyStore, tokenKeys, adminKey, kept] = await Promise.all([
      openRocksKeyStore(join(dataDir, "keys")),
      loadTokenKeys(dataDir, random, isFresh),
      config.adminKey === undefined ? loadAdminKey(dataDir, random) : undefined,
      loadRouting(dataDir, config.shards, clock.now(), limits, isFresh),
    ]);
    closing(() => keyStore.close());
    // This process is the table's only publisher: what it holds is never stale.
    let routing = kept;
    const refresh = clock.every(ROUTING_REFRESH_MS, () => {
      routing = { ...routing, readAtMs: clock.now() };
    });
    const codec = await createTokenCodec(tokenKeys);

    const engine = await engineStarting;
    progress("preparing its tables");
    const clickhouse = connectClickHouse({ url: engine.url });
    closing(() => clickhouse.close());
    await migrate(clickhouse, DEFAULT_RETENTION);

    progress("recovering the shards");
    const sink = createClickHouseCountSink(clickhouse);
    if (config.demo) await writeHistory(clickhouse, sink, clock.now());
    const rawProgress = await readRawProgress(clickhouse);
    const { serve: shards, foldAnew } = await shardsToServe({
      routing,
      nowMs: clock.now(),
      limits,
      clicks,
      sink,
      rawProgress,
    });
    const stores = rocksShardStores(join(dataDir, "state"));
    for (const shard of foldAnew) {
      logger.warn({ shard }, "ClickHouse has no counts of this shard: made again from the log");
      await stores.destroy(shard);
    }
    const tables = watchReportTables({ clickhouse, clock, logger, whenAway: false });
    closing(async () => tables.stop());
    const reports = createReports({ clickhouse, limits, shards: () => shards });
    const deadLetterLog = log.topic("clicks-dead-letter");
    const spill = log.topic("clicks-spill");
    const live = openLocalLive({ clock, limits, logger, random, clickhouse, shards: () => shards });
    closing(() => live.close());
    const host = await ShardHost.start({
      shards: shards.map((shard) => ({ shard, epoch: EPOCH })),
      limits,
      clicks,
      deadLetters: deadLetterLog,
      spill,
      stores,
      sink,
      clock,
      random,
      logger,
      defer: (run) => void setImmediate(run),
      onFolded: live.publisher.folded,
    });
    closing(() => host.drain());
    const ingester = await startRawIngester({ log: clicks, clickhouse, shards, limits, clock, logger });
    progress("sending the counts that ClickHouse lacks");
    await withDeadline(clock, COUNTS_DEADLINE_MS, "ClickHouse", host.flushCounts()).catch(
      (error: unknown) => {
        progress(`ready without them: reports lag until ClickHouse has taken them (${messageOf(error)})`);
      },
    );
    const rollups = startRollups({ clickhouse, shards: () => shards, limits, clock, logger });
    closing(() =>
      withDeadline(clock, STOP_DEADLINE_MS, "the rollup's statement", rollups.stop()).catch(() => {}),
    );
    const projector = await startAdsProjector({ changes: catalogue, clickhouse, limits, clock, logger });
    closing(() => withDeadline(clock, STOP_DEADLINE_MS, "the last ads", projector.stop()));
    const retention = clock.every(RETENTION_CHECK_MS, () => {
      log.retain(clock.now() - limits.logRetentionMs).catch((error: unknown) => {
        logger.error({ error: messageOf(error) }, "log retention failed");
      });
    });

    let state: "starting" | "ready" | "draining" = "starting";
    const metrics = createMetrics({ process: true });
    observeShards(metrics, host, shards);
    live.observe(metrics);
    const endOf = (shard: number) => host.actors.get(shard)?.state.nextOffset;
    observeRawTable(metrics, shards, endOf, () => ingester.progress());
    const adminKeyText = config.adminKey ?? adminKey!.key;
    const access = await openAccess(deps, keyStore, adminKeyText);
    closing(() => access.close());
    const { audit, authenticator, keyLimits } = access;
    const { authenticate } = authenticator;
    const api = createApi({
      limits,
      logger,
      metrics,
      version: deps.version,
      authenticate,
      anonymousScopes: config.openReports ? ["read"] : [],
      keyLimits,
      audit,
      readiness: () => [...(state === "ready" ? [] : [state]), ...host.faults, ...tables.faults()],
    });
    const shardPort = createDirectShardPort({
      shards: new Map(shards.map((shard) => [shard, host])),
      clock,
      limits,
    });
    const spilling = createSpillingShardPort({
      inner: shardPort,
      spill,
      writer: writerId(random),
      limits,
      clock,
      logger,
    });
    let httpPort = config.httpPort;
    const publicUrl = () => config.publicUrl ?? urlOf(config.host, httpPort);
    const placement = createPlacementService({
      catalogue,
      clock,
      codec,
      random,
      limits,
      publicUrl,
      table: () => routing,
    });
    const { app, requireScope } = api;
    app.register(adsRoutes({ catalogue, clock, limits, logger, requireScope }));
    app.register(keysRoutes({ keys: keyStore, authenticator, requireScope, clock, random, limits }));
    app.register(whoamiRoutes({ requireScope }));
    app.register(auditRoutes({ audit, requireScope, limits }));
    app.register(impressionsRoutes({ placement, requireScope, limits }));
    const authorise = authoriseReads(requireScope);
    const ownerOf = async (adId: bigint) => {
      const key = idKeyOf(adId);
      return catalogue.peek(key) ?? (await catalogue.load([key])).get(key);
    };
    const desk = createReportDesk({ reports, clickhouse, ownerOf });
    registerReportRoutes(app, { desk, authorise, clock, limits });
    app.register(
      shareRoutes({
        ...createReportAnswers({ desk, clock, limits }),
        codec: access.shares,
        authenticator,
        keyLimits,
        requireScope,
        origin: publicUrl,
        clock,
        limits,
      }),
    );
    app.register(liveRoutes({ feed: live.feed, authorise, limits }));
    // Those of a shard that is served no more are too old to replay, but not to be seen.
    const deadLetters = createDeadLetters({
      log: deadLetterLog,
      shardPort,
      shards: shardsEver(routing),
      limits,
      clock,
    });
    const replays = createReplayRecord(clickhouse);
    app.register(deadLetterRoutes({ deadLetters, replays, requireScope, logger }));
    app.register(adListRoutes({ list: (query) => listAds(clickhouse, query), requireScope }));
    const owner = { host: config.host, epoch: EPOCH };
    const owned = new Map(shards.map((shard) => [shard, owner] as const));
    const assignment = () => ({ version: EPOCH, hosts: new Map<string, string>(), shards: owned });
    const checkpoints = () => sink.readCheckpoints();
    const table = () => routing;
    app.register(
      clusterRoutes({ table, assignment, clicks, checkpoints, requireScope, limits, clock, logger }),
    );
    registerNamesRoute(app, { names: (query) => readAdNames(clickhouse, query), requireScope });
    registerDashboard(app, { hasDemo: config.demo, isOpen: config.openReports });
    const demo = { clock, codec, random, limits, publicUrl, table: () => routing };
    if (config.demo) registerDemoRoutes(app, demo);
    await app.ready();
    closing(() => app.close());

    const callers = { authenticate, keyLimits, audit };
    const authoriseFor = (service: string) =>
      authoriseCalls(callers, `adtally.v1.${service}`, config.openReports);
    const gateway = createGateway({
      shardPort: spilling.patient,
      httpShardPort: spilling,
      catalogue,
      codec,
      routing: () => routing,
      limits,
      clock,
      authenticate,
      keyLimits,
      audit,
      placement,
      grpcServices: [
        createReportsService({ desk, authorise: authoriseFor("ReportService"), clock, limits, logger }),
        createLiveService({ feed: live.feed, authorise: authoriseFor("LiveService"), limits, logger }),
      ],
      httpHandler: (request, response) => void app.routing(request, response),
      logger,
    });
    const bound = await gateway.listen(config);
    httpPort = bound.httpPort;
    if (config.demo) await seedDemo(catalogue, publicUrl());
    state = "ready";
    const stopTraffic = config.demo
      ? startTraffic({ ...demo, url: urlOf(config.host, httpPort) })
      : () => undefined;

    return {
      url: urlOf(config.host, bound.httpPort),
      publicUrl: publicUrl(),
      grpcAddress: new URL(urlOf(config.host, bound.grpcPort)).host,
      clickhouseUrl: engine.url,
      adminKeyPath: adminKey?.path,
      demoKeys: access.demoKeys,
      routes: api.routes,
      close: async () => {
        state = "draining";
        stopTraffic();
        live.feed.close();
        await gateway.drain();
        refresh.cancel();
        retention.cancel();
        const leave = (error: unknown) =>
          logger.warn({ error: messageOf(error) }, "raw rows or ads left for the next start");
        const draining = Promise.all([ingester.drain(), projector.drain()]);
        await withDeadline(clock, limits.sinkDrainDeadlineMs, "ClickHouse", draining).catch(leave);
        // An insert that hangs ends with the engine.
        await withDeadline(clock, STOP_DEADLINE_MS, "the last insert", ingester.stop()).catch(leave);
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}
