/** From configuration to the backends of a cluster; each is closed when its program stops. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { SASLOptions } from "kafkajs";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { readTlsFiles } from "../../actors/adapters/clickhouse/options.ts";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import type { KafkaConfig } from "../../actors/adapters/kafka/config.ts";
import { openKafkaLog, type KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { createRedisConnection, type RedisConnection } from "../../actors/adapters/redis/connection.ts";
import { createRedisSharedState } from "../../actors/adapters/redis/shared-state.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import type {
  clickhouseSettings,
  clickhouseTopologySettings,
  kafkaSettings,
  programSettings,
  sharedStateSettings,
} from "../config/settings.ts";
import type { ConfigOf } from "../config/setting.ts";
import type { Program } from "./program.ts";

type With<S extends Record<string, unknown>> = Program<{ readonly [K in keyof S]: S[K] }>;
type SharedStateConfig = ConfigOf<typeof sharedStateSettings>;
type KafkaConfigured = ConfigOf<typeof kafkaSettings> & ConfigOf<Pick<typeof programSettings, "hostName">>;

/** A file is looked at this often: a look costs one stat. */
const FILE_POLL_MS = 200;
const FILE_DEADLINE_MS = 2_000;

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

/** With a folder the documents are its files alone, and Redis is what may be lost. */
export function openSharedStates(program: With<SharedStateConfig>): SharedStates {
  const { clock, config, life, limits, logger } = program;
  const { stateDir, redisUrl, redisPassword, redisPrefix } = config;
  let redis: RedisConnection | undefined;
  if (redisUrl !== undefined) {
    const place = {
      url: redisUrl,
      prefix: redisPrefix,
      ...(redisPassword !== undefined && { password: redisPassword }),
    };
    const connection = createRedisConnection({ config: place, limits, clock, logger });
    life.onStop("Redis", () => connection.close());
    redis = connection;
  }
  const open = (name: string): SharedState => {
    if (stateDir !== undefined) {
      const file = path.join(stateDir, `${name}.json`);
      return createFileSharedState({
        path: file,
        pollMs: FILE_POLL_MS,
        deadlineMs: FILE_DEADLINE_MS,
        clock,
        logger,
      });
    }
    if (redis === undefined) throw new AdtallyError("CONFIG_INVALID", checkSharedState(config)[0]!);
    const state = createRedisSharedState({ redis, key: name, limits, clock, logger });
    life.onStop(`the shared ${name}`, () => state.close());
    return state;
  };
  return { routing: open("routing"), assignment: open("assignment"), redis };
}

export function checkKafka(
  config: Pick<KafkaConfigured, "kafkaTls" | "kafkaTlsCa" | "kafkaUser" | "kafkaPassword">,
) {
  const { kafkaTls, kafkaTlsCa, kafkaUser, kafkaPassword } = config;
  const faults: string[] = [];
  if ((kafkaUser === undefined) !== (kafkaPassword === undefined)) {
    faults.push("--kafka-user and --kafka-password go together: one of them is not set");
  }
  if (kafkaTlsCa !== undefined && !kafkaTls) faults.push("--kafka-tls-ca is set, but --kafka-tls is not");
  return faults;
}

/** @throws CONFIG_INVALID */
export function kafkaConfigOf(config: KafkaConfigured): KafkaConfig {
  const { kafkaPassword: password, kafkaUser: username, kafkaSasl: mechanism, kafkaTlsCa } = config;
  return {
    brokers: config.kafkaBrokers,
    clientId: `adtally-${config.hostName}`,
    topicPrefix: config.kafkaTopicPrefix,
    ...(config.kafkaTls && { tls: kafkaTlsCa === undefined ? {} : { ca: [readPem(kafkaTlsCa)] } }),
    ...(username !== undefined &&
      password !== undefined && { sasl: { mechanism, username, password } as SASLOptions }),
  };
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new AdtallyError("CONFIG_INVALID", `${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Speaks to no broker yet. */
export function openKafka(program: With<KafkaConfigured>): KafkaLog {
  const { clock, life, limits, logger } = program;
  const log = openKafkaLog({ config: kafkaConfigOf(program.config), limits, clock, logger });
  life.onStop("the log", () => log.close());
  return log;
}

type ClickHouseConfig = ConfigOf<typeof clickhouseSettings> &
  Partial<ConfigOf<typeof clickhouseTopologySettings>>;

export function checkClickHouse(config: ClickHouseConfig): readonly string[] {
  const { clickhouseTlsCert, clickhouseTlsKey, clickhouseCluster, clickhouseKeeperPath } = config;
  const faults: string[] = [];
  if ((clickhouseTlsCert === undefined) !== (clickhouseTlsKey === undefined)) {
    faults.push("--clickhouse-tls-cert and --clickhouse-tls-key go together: one of them is not set");
  }
  if (clickhouseKeeperPath !== undefined && clickhouseCluster === undefined) {
    faults.push("--clickhouse-keeper-path is set, but --clickhouse-cluster is not");
  }
  return faults;
}

/** `readOnly`: the server refuses writes, whoever the user is. @throws CONFIG_INVALID */
export async function openClickHouse(
  { config, life }: With<ClickHouseConfig>,
  { readOnly = false } = {},
): Promise<ClickHouse> {
  const { clickhousePassword: password, clickhouseCluster: name, clickhouseKeeperPath: keeperPath } = config;
  const { clickhouseTlsCa: ca, clickhouseTlsCert: cert, clickhouseTlsKey: key } = config;
  const files = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
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
    ...(Object.keys(files).length > 0 && { tls: await readTlsFiles(files) }),
    ...(topology && { topology }),
  });
  life.onStop("ClickHouse", () => clickhouse.close());
  return clickhouse;
}
