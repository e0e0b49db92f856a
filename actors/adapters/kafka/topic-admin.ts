/**
 * Makes topics that are missing, and compares those that are there with what is wanted of them:
 * what ensure-topics.ts (the click log's) and ensure-keyed-topics.ts share. Nothing ever
 * shrinks, and what exists is changed only where that is asked for: partitions added, and a
 * retention lengthened.
 */
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { type Admin } from "kafkajs";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import type { Logger } from "../../runtime/log.ts";
import { assertKafkaConfig, type KafkaConfig } from "./config.ts";
import { describeError } from "./protocol-errors.ts";
import "./repairs.ts";

const REQUEST_MS = 10_000;
const LED_ATTEMPTS = 100;
const LED_PAUSE_MS = 200;

export interface TopicDifference {
  readonly topic: string;
  readonly setting: string;
  readonly found: string;
  readonly wanted: string;
  /** The promise that breaks, or undefined where none does. */
  readonly breaks: string | undefined;
}

export interface EnsuredTopics {
  readonly created: readonly string[];
  /** Differences that break no promise. */
  readonly differences: readonly TopicDifference[];
}

/** A topic that is there. */
export interface Found {
  readonly topic: string;
  /** Of each partition, its number of replicas. */
  readonly replicas: readonly number[];
  /** What the broker tells of the topic's configuration; Redpanda leaves out what it has not. */
  readonly settings: ReadonlyMap<string, string>;
}

/** Topics of one kind, and what is wanted of them. */
export interface TopicKind {
  readonly names: readonly string[];
  readonly partitions: number;
  readonly replication: number;
  /** What a topic is made with. */
  readonly settings: Readonly<Record<string, string>>;
  readonly compare: (found: Found) => readonly TopicDifference[];
  /** Adds partitions to topics that have too few, and lengthens a retention that is too short. */
  readonly extends?: boolean;
}

export interface AdminDeps {
  readonly config: KafkaConfig;
  readonly logger: Logger;
}

/**
 * @throws CONFIG_INVALID with every difference that breaks a promise, LOG_UNAVAILABLE
 */
export async function ensureKind({ config, logger }: AdminDeps, kind: TopicKind): Promise<EnsuredTopics> {
  assertKafkaConfig(config);
  const kafka = new kafkajs.Kafka({
    brokers: [...config.brokers],
    clientId: config.clientId,
    ...(config.tls !== undefined && { ssl: config.tls }),
    ...(config.sasl !== undefined && { sasl: config.sasl }),
    requestTimeout: REQUEST_MS,
    retry: { retries: 2 },
    logLevel: kafkajs.logLevel.WARN,
    logCreator: () => (entry) => logger.debug({ kafkajs: entry.log }, entry.log.message),
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await ensure(admin, kind, logger);
  } catch (error) {
    if (error instanceof AdtallyError) throw error;
    const why = `the topics could not be looked at or made (${detailOf(error)})`;
    throw new AdtallyError("LOG_UNAVAILABLE", `kafka at ${config.brokers.join(", ")}: ${why}`, {
      cause: error,
    });
  } finally {
    await admin.disconnect();
  }
}

async function ensure(admin: Admin, kind: TopicKind, logger: Logger): Promise<EnsuredTopics> {
  const { partitions, replication, settings } = kind;
  const existing = new Set(await admin.listTopics());
  const missing = kind.names.filter((name) => !existing.has(name));
  if (missing.length > 0) await create(admin, missing, kind);
  for (const name of missing) await untilLed(admin, name);
  if (kind.extends === true) await extend(admin, kind, logger);
  // Another process may have made them meanwhile, with other settings: all are looked at.
  const all = await look(admin, kind);
  const breaking = all.filter(({ breaks }) => breaks !== undefined);
  if (breaking.length > 0) {
    const each = breaking.map(
      ({ topic, setting, found, wanted, breaks }) =>
        `${topic}: ${setting} is ${found}, ${wanted} is needed: ${breaks}`,
    );
    throw new AdtallyError(
      "CONFIG_INVALID",
      `kafka topics do not hold what adtally promises:\n${each.join("\n")}`,
    );
  }
  for (const difference of all) logger.warn({ ...difference }, "a topic is not as configured");
  if (missing.length > 0)
    logger.info({ topics: missing, partitions, replication, ...settings }, "topics created");
  return { created: missing, differences: all };
}

async function create(admin: Admin, names: readonly string[], kind: TopicKind): Promise<void> {
  try {
    await admin.createTopics({
      waitForLeaders: false,
      topics: names.map((topic) => ({
        topic,
        numPartitions: kind.partitions,
        replicationFactor: kind.replication,
        configEntries: Object.entries(kind.settings).map(([name, value]) => ({ name, value })),
      })),
    });
  } catch (error) {
    // Two programs start at once, and the other was first.
    if (!/already exists/i.test(detailOf(error))) throw error;
  }
}

/**
 * A topic is made when the controller says so; the brokers hear of it later, seconds later when
 * they are just starting. kafkajs' `waitForLeaders` gives up on the first broker that has not
 * heard, and is content with one that names a leader which does not yet know that it is one: the
 * first appends to the topic would fail.
 */
async function untilLed(admin: Admin, topic: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await admin.fetchTopicOffsets(topic);
      return;
    } catch (error) {
      if (attempt === LED_ATTEMPTS) throw error;
      await sleep(LED_PAUSE_MS);
    }
  }
}

/** kafkajs' “Topic creation errors” holds what they are in a list of its own. */
function detailOf(error: unknown): string {
  const each = error instanceof AggregateError || hasErrors(error) ? error.errors.map(messageOf) : [];
  return [describeError(error), ...each].join("; ");
}

function hasErrors(error: unknown): error is { readonly errors: readonly unknown[] } {
  return typeof error === "object" && error !== null && "errors" in error && Array.isArray(error.errors);
}

const RETENTION = "retention.ms";

/** Where another process is doing the same, or may not, the comparison that follows tells. */
async function extend(
  admin: Admin,
  { names, partitions, settings }: TopicKind,
  logger: Logger,
): Promise<void> {
  const retentionMs = Number(settings[RETENTION] ?? 0);
  const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
  const { resources } = await admin.describeConfigs(configsOf(names));
  for (const topic of names) {
    const found = topics.find(({ name }) => name === topic)?.partitions.length ?? partitions;
    const entries = resources.find(({ resourceName }) => resourceName === topic)?.configEntries ?? [];
    const keptMs = Number(entries.find(({ configName }) => configName === RETENTION)?.configValue ?? -1);
    try {
      if (found < partitions) {
        await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] });
        await untilLed(admin, topic);
        logger.info({ topic, from: found, to: partitions }, "partitions added");
      }
      if (keptMs >= 0 && keptMs < retentionMs) {
        // What is not among them falls back to the broker's own: all of the topic's are given again.
        const own = entries.filter(
          ({ configName, configSource }) =>
            configSource === kafkajs.ConfigSource.TOPIC_CONFIG && configName !== RETENTION,
        );
        const kept = own.map(({ configName, configValue }) => ({ name: configName, value: configValue }));
        await admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: kafkajs.ConfigResourceTypes.TOPIC,
              name: topic,
              configEntries: [...kept, { name: RETENTION, value: String(retentionMs) }],
            },
          ],
        });
        logger.info({ topic, fromMs: keptMs, toMs: retentionMs }, "retention lengthened");
      }
    } catch (error) {
      logger.warn({ topic, error: detailOf(error) }, "a topic could not be extended");
    }
  }
}

const configsOf = (names: readonly string[]) => ({
  includeSynonyms: false,
  resources: names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
});

async function look(admin: Admin, { names, compare }: TopicKind): Promise<TopicDifference[]> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
  const { resources } = await admin.describeConfigs(configsOf(names));
  return names.flatMap((topic) => {
    const partitions = topics.find(({ name }) => name === topic)?.partitions ?? [];
    const entries = resources.find(({ resourceName }) => resourceName === topic)?.configEntries ?? [];
    const settings = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
    return compare({ topic, replicas: partitions.map((each) => each.replicas.length), settings });
  });
}
