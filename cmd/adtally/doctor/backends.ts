/** Kafka, ClickHouse and Redis, asked as adtally's programs would ask them: same settings, same adapters. */
import { connectClickHouse } from "../../../actors/adapters/clickhouse/client.ts";
import { watchReportTables } from "../../../actors/adapters/clickhouse/report-tables.ts";
import { openKafkaLog } from "../../../actors/adapters/kafka/kafka-log.ts";
import { createRedisConnection } from "../../../actors/adapters/redis/connection.ts";
import { createRedisSharedState } from "../../../actors/adapters/redis/shared-state.ts";
import { openCertificates, type Certificates } from "../../../actors/adapters/tls/certificates.ts";
import { clientTls } from "../../../actors/adapters/tls/clients.ts";
import type { AnyFiles } from "../../../actors/adapters/tls/material.ts";
import { DEFAULT_LIMITS } from "../../../actors/core/limits.ts";
import type { ClickTopic } from "../../../actors/ports/click-log.ts";
import { sleep } from "../../../actors/runtime/clock.ts";
import { silentLogger } from "../../../actors/runtime/log.ts";
import { withoutPassword } from "../../config/kinds.ts";
import { kafkaConfigOf } from "../../lib/connections.ts";
import type { Context } from "../command.ts";
import { failed, looked, ok, skewFinding, skipped, warning, type Finding } from "./finding.ts";

const TOPICS: readonly ClickTopic[] = ["clicks", "clicks-spill", "clicks-dead-letter"];
const limits = DEFAULT_LIMITS;
const LOOK_MS = 50;

/** Undefined where no file is named. @throws CONFIG_INVALID, naming the file */
async function certificatesOf(
  { clock }: Context,
  caPath: string | undefined,
  certPath: string | undefined,
  keyPath: string | undefined,
): Promise<Certificates<AnyFiles> | undefined> {
  const files: AnyFiles = {
    ...(caPath !== undefined && { caPath }),
    ...(certPath !== undefined && { certPath }),
    ...(keyPath !== undefined && { keyPath }),
  };
  if (Object.keys(files).length === 0) return undefined;
  return openCertificates({ files, limits, clock, logger: silentLogger });
}

async function kafka(context: Context, brokers: readonly string[]): Promise<readonly Finding[]> {
  const { clock, config } = context;
  const certificates = await certificatesOf(
    context,
    config.kafkaTlsCa,
    config.kafkaTlsCert,
    config.kafkaTlsKey,
  );
  const told = kafkaConfigOf(
    {
      kafkaBrokers: brokers,
      kafkaTopicPrefix: config.kafkaTopicPrefix ?? "",
      kafkaTls: config.kafkaTls ?? false,
      kafkaTlsCa: config.kafkaTlsCa,
      kafkaTlsCert: config.kafkaTlsCert,
      kafkaTlsKey: config.kafkaTlsKey,
      kafkaUser: config.kafkaUser,
      kafkaPassword: config.kafkaPassword,
      kafkaSasl: config.kafkaSasl ?? "scram-sha-512",
      hostName: "doctor",
    },
    certificates,
  );
  const log = openKafkaLog({ config: told, limits, clock, logger: silentLogger });
  try {
    await log.check();
    const lacking: string[] = [];
    for (const topic of TOPICS)
      await log
        .topic(topic)
        .bounds(0)
        .catch(() => void lacking.push(topic));
    if (lacking.length > 0)
      return [
        failed(
          "kafka",
          `answers, but ${lacking.join(", ")} cannot be read`,
          "actor hosts make the topics when they start: is --kafka-topic-prefix theirs, and may this user read?",
        ),
      ];
    return [ok("kafka", `${brokers.join(", ")} answers; ${TOPICS.join(", ")} are there`)];
  } finally {
    await log.close();
    certificates?.close();
  }
}

async function clickhouse(context: Context, url: string): Promise<readonly Finding[]> {
  const { clock, config } = context;
  const certificates = await certificatesOf(
    context,
    config.clickhouseTlsCa,
    config.clickhouseTlsCert,
    config.clickhouseTlsKey,
  );
  const connected = connectClickHouse({
    url,
    username: config.clickhouseUser ?? "default",
    readOnly: true,
    ...(config.clickhousePassword !== undefined && { password: config.clickhousePassword }),
    ...(certificates !== undefined && { certificates }),
  });
  try {
    const beforeMs = clock.now();
    const [row] = await connected.rows<{ version: string; now_ms: string }>(
      "SELECT version() AS version, toUnixTimestamp64Milli(now64(3)) AS now_ms",
    );
    const skew = skewFinding("clickhouse", Number(row?.now_ms), beforeMs, clock.now());
    const tables = watchReportTables({ clickhouse: connected, clock, logger: silentLogger, whenAway: true });
    await tables.look();
    tables.stop();
    const faults = tables
      .faults()
      .map((fault) =>
        failed(
          "clickhouse",
          fault,
          "node cmd/clickhouse-setup/main.ts makes the tables; data comes from a backup",
        ),
      );
    const fine =
      faults.length > 0
        ? []
        : [ok("clickhouse", `${withoutPassword(url)}, version ${row?.version}; its tables are there`)];
    return [...fine, ...faults, ...(skew === undefined ? [] : [skew])];
  } finally {
    await connected.close();
    certificates?.close();
  }
}

async function redis(context: Context, url: string): Promise<readonly Finding[]> {
  const { clock, config } = context;
  const certificates = await certificatesOf(
    context,
    config.redisTlsCa,
    config.redisTlsCert,
    config.redisTlsKey,
  );
  const connection = createRedisConnection({
    config: {
      url,
      prefix: config.redisPrefix ?? "adtally:",
      ...(config.redisUser !== undefined && { username: config.redisUser }),
      ...(config.redisPassword !== undefined && { password: config.redisPassword }),
      ...(certificates !== undefined && { tls: clientTls(certificates) }),
    },
    limits,
    clock,
    logger: silentLogger,
  });
  try {
    const untilMs = clock.monotonic() + limits.redisDeadlineMs * 4;
    while (!connection.isReady && clock.monotonic() < untilMs) await sleep(clock, LOOK_MS);
    const beforeMs = clock.now();
    const [s = 0, us = 0] = await connection.run("TIME", (client) => client.time());
    const skew = skewFinding("redis", Number(s) * 1_000 + Number(us) / 1_000, beforeMs, clock.now());
    const routing = createRedisSharedState({
      redis: connection,
      key: "routing",
      limits,
      clock,
      logger: silentLogger,
    });
    const isPublished = (await routing.read()) !== undefined;
    routing.close();
    const empty =
      isPublished || config.stateDir !== undefined
        ? []
        : [
            warning(
              "redis",
              `has no routing table under ${connection.prefix}`,
              "npm run assign publishes it; is --redis-prefix theirs, or is it in a folder (--state-dir)?",
            ),
          ];
    return [ok("redis", `${withoutPassword(url)} answers`), ...empty, ...(skew === undefined ? [] : [skew])];
  } catch (error) {
    const { lastError } = connection.health;
    throw lastError === undefined ? error : new Error(lastError, { cause: error });
  } finally {
    await connection.close();
    certificates?.close();
  }
}

export async function checkBackends(context: Context): Promise<readonly Finding[]> {
  const { clock, config } = context;
  const at = { clock, timeoutMs: config.timeoutSeconds * 1_000 };
  const { clickhouseUrl, kafkaBrokers, redisUrl } = config;
  const found = await Promise.all([
    kafkaBrokers === undefined
      ? [
          skipped(
            "kafka",
            "--kafka-brokers HOST:PORT,…, or --config with the programs' file; npm start has none",
          ),
        ]
      : looked(at, "kafka", "is it up, and are --kafka-brokers, --kafka-tls and --kafka-user right?", () =>
          kafka(context, kafkaBrokers),
        ),
    clickhouseUrl === undefined
      ? [
          skipped(
            "clickhouse",
            "--clickhouse-url URL, or --config with the programs' file; npm start's is http://127.0.0.1:8123",
          ),
        ]
      : looked(at, "clickhouse", "is it up, and are --clickhouse-url and --clickhouse-user right?", () =>
          clickhouse(context, clickhouseUrl),
        ),
    redisUrl === undefined
      ? [skipped("redis", "--redis-url URL, or --config with the programs' file; npm start has none")]
      : looked(
          at,
          "redis",
          "is it up, and are --redis-url and --redis-user right? Clicks count without it",
          () => redis(context, redisUrl),
        ),
  ]);
  return found.flat();
}
