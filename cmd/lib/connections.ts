/** From configuration to the backends of a cluster; each is closed when its program stops. */
import path from "node:path";
import type { SASLOptions } from "kafkajs";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import type { KafkaConfig } from "../../actors/adapters/kafka/config.ts";
import { openKafkaLog, type KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { createRedisConnection, type RedisConnection } from "../../actors/adapters/redis/connection.ts";
import { createRedisSharedState } from "../../actors/adapters/redis/shared-state.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import { clientTls } from "../../actors/adapters/tls/clients.ts";
import type { AnyFiles } from "../../actors/adapters/tls/material.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import type {
  clickhouseSettings,
  clickhouseTopologySettings,
  kafkaSettings,
  programSettings,
  sharedStateSettings,
} from "../config/settings.ts";
import type { ConfigOf } from "../config/setting.ts";
import { assignmentVersion, createNewerState, routingVersion, type VersionOf } from "./newer-state.ts";
import type { Program } from "./program.ts";

type With<S extends Record<string, unknown>> = Program<{ readonly [K in keyof S]: S[K] }>;
type SharedStateConfig = ConfigOf<typeof sharedStateSettings>;
type KafkaConfigured = ConfigOf<typeof kafkaSettings> & ConfigOf<Pick<typeof programSettings, "hostName">>;

/** A file is looked at this often: a look costs one stat. */
const FILE_POLL_MS = 200;
const FILE_DEADLINE_MS = 2_000;

/** Towards one of the backends; its program opens them (certificates.ts). */
type BackendCertificates = Certificates<AnyFiles> | undefined;

export interface SharedStates {
  readonly routing: SharedState;
  readonly assignment: SharedState;
  /** Where one is configured, whether or not the documents are there. */
  readonly redis: RedisConnection | undefined;
}

export function checkSharedState({ stateDir, redisUrl }: SharedStateConfig): readonly string[] {
  if (stateDir !== undefined || redisUrl !== undefined) return [];
  return ["--state-dir or --redis-url is needed: where the assignment and the routing table are published"];
}

/** Of a folder and Redis, where both are given, whichever has the newer document is believed. */
export function openSharedStates(
  program: With<SharedStateConfig>,
  certificates: BackendCertificates,
): SharedStates {
  const { clock, config, life, limits, logger } = program;
  const { stateDir, redisUrl, redisUser, redisPassword, redisPrefix } = config;
  let redis: RedisConnection | undefined;
  if (redisUrl !== undefined) {
    const place = {
      url: redisUrl,
      prefix: redisPrefix,
      ...(redisUser !== undefined && { username: redisUser }),
      ...(redisPassword !== undefined && { password: redisPassword }),
      ...(certificates !== undefined && { tls: clientTls(certificates) }),
    };
    const connection = createRedisConnection({ config: place, limits, clock, logger });
    life.onStop("Redis", () => connection.close());
    redis = connection;
  }
  const open = (name: string, versionOf: VersionOf): SharedState => {
    const file =
      stateDir === undefined
        ? undefined
        : createFileSharedState({
            path: path.join(stateDir, `${name}.json`),
            pollMs: FILE_POLL_MS,
            deadlineMs: FILE_DEADLINE_MS,
            clock,
            logger,
          });
    if (redis === undefined) {
      if (file !== undefined) return file;
      throw new AdtallyError("CONFIG_INVALID", checkSharedState(config)[0]!);
    }
    const copy = createRedisSharedState({ redis, key: name, limits, clock, logger });
    life.onStop(`the shared ${name}`, () => copy.close());
    return file === undefined ? copy : createNewerState({ truth: file, copy, versionOf, logger });
  };
  return {
    routing: open("routing", routingVersion(limits)),
    assignment: open("assignment", assignmentVersion),
    redis,
  };
}

export function checkKafka({
  kafkaUser,
  kafkaPassword,
}: Pick<KafkaConfigured, "kafkaUser" | "kafkaPassword">) {
  return (kafkaUser === undefined) === (kafkaPassword === undefined)
    ? []
    : ["--kafka-user and --kafka-password go together: one of them is not set"];
}

export function kafkaConfigOf(config: KafkaConfigured, certificates: BackendCertificates): KafkaConfig {
  const { kafkaPassword: password, kafkaUser: username, kafkaSasl: mechanism } = config;
  return {
    brokers: config.kafkaBrokers,
    clientId: `adtally-${config.hostName}`,
    topicPrefix: config.kafkaTopicPrefix,
    ...(config.kafkaTls && { tls: certificates === undefined ? {} : clientTls(certificates) }),
    ...(username !== undefined &&
      password !== undefined && { sasl: { mechanism, username, password } as SASLOptions }),
  };
}

/** Speaks to no broker yet. */
export function openKafka(program: With<KafkaConfigured>, certificates: BackendCertificates): KafkaLog {
  const { clock, life, limits, logger } = program;
  const config = kafkaConfigOf(program.config, certificates);
  if (config.sasl?.mechanism === "plain" && config.tls === undefined)
    logger.warn(
      {},
      "the password of Kafka goes over the network as it is: give --kafka-tls, or a SCRAM mechanism",
    );
  const log = openKafkaLog({ config, limits, clock, logger });
  life.onStop("the log", () => log.close());
  return log;
}

type ClickHouseConfig = ConfigOf<typeof clickhouseSettings> &
  Partial<ConfigOf<typeof clickhouseTopologySettings>>;

export function checkClickHouse(config: ClickHouseConfig): readonly string[] {
  return config.clickhouseKeeperPath !== undefined && config.clickhouseCluster === undefined
    ? ["--clickhouse-keeper-path is set, but --clickhouse-cluster is not"]
    : [];
}

/** `readOnly`: the server refuses writes, whoever the user is. @throws CONFIG_INVALID */
export function openClickHouse(
  { config, life }: With<ClickHouseConfig>,
  certificates: BackendCertificates,
  { readOnly = false } = {},
): ClickHouse {
  const { clickhousePassword: password, clickhouseCluster: name, clickhouseKeeperPath: keeperPath } = config;
  const topology = name !== undefined && {
    kind: "cluster" as const,
    name,
    ...(keeperPath && { keeperPath }),
  };
  const clickhouse = connectClickHouse({
    url: config.clickhouseUrl,
    username: config.clickhouseUser,
    readOnly,
    ...(password !== undefined && { password }),
    ...(certificates !== undefined && { certificates }),
    ...(topology && { topology }),
  });
  life.onStop("ClickHouse", () => clickhouse.close());
  return clickhouse;
}
