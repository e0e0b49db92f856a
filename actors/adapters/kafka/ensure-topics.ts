/**
 * Makes the topics that are missing, and compares those that are there with what adtally's
 * promises need. Nothing that exists is changed, and nothing ever shrinks: an operator decides.
 */
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { type Admin } from "kafkajs";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Logger } from "../../runtime/log.ts";
import { assertKafkaConfig, type KafkaConfig } from "./config.ts";
import "./repairs.ts";
import { CLICK_TOPICS, topicName } from "./topics.ts";

const REQUEST_MS = 10_000;
const LED_ATTEMPTS = 50;
const LED_PAUSE_MS = 100;
/** A record's framing, header and key. */
const RECORD_OVERHEAD_BYTES = 1_024;

export interface TopicWants {
  /** One a shard, at the most that will ever be: more are added by an operator. */
  readonly partitions: number;
  readonly replication: number;
  readonly minInsyncReplicas: number;
  readonly retentionMs: number;
}

export interface EnsureTopicsDeps {
  readonly config: KafkaConfig;
  readonly wants: TopicWants;
  readonly limits: Pick<Limits, "logRetentionMs" | "blockMaxBytes">;
  readonly logger: Logger;
}

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

/**
 * @throws CONFIG_INVALID with every difference that breaks a promise, LOG_UNAVAILABLE
 */
export async function ensureTopics(deps: EnsureTopicsDeps): Promise<EnsuredTopics> {
  const { config, wants, limits, logger } = deps;
  assertKafkaConfig(config);
  assertWants(wants, limits);
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
    return await ensure(admin, deps);
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

function assertWants(wants: TopicWants, limits: EnsureTopicsDeps["limits"]): void {
  const { partitions, replication, minInsyncReplicas, retentionMs } = wants;
  const faults: string[] = [];
  if (!(partitions >= 1)) faults.push(`partitions is ${partitions}, at least 1 is needed`);
  if (minInsyncReplicas > replication) {
    faults.push(
      `min. in-sync replicas ${minInsyncReplicas} is above replication ${replication}: no append could succeed`,
    );
  }
  if (retentionMs < limits.logRetentionMs) {
    faults.push(`retention ${retentionMs} ms is below the limit of ${limits.logRetentionMs} ms`);
  }
  if (faults.length > 0) throw new AdtallyError("CONFIG_INVALID", `kafka topics: ${faults.join("; ")}`);
}

async function ensure(
  admin: Admin,
  { config, wants, limits, logger }: EnsureTopicsDeps,
): Promise<EnsuredTopics> {
  const names = CLICK_TOPICS.map((topic) => topicName(config.topicPrefix, topic));
  const existing = new Set(await admin.listTopics());
  const missing = names.filter((name) => !existing.has(name));
  if (missing.length > 0) await create(admin, missing, wants);
  for (const name of missing) await untilLed(admin, name);
  // Another process may have made them meanwhile, with other settings: all are looked at.
  const all = await look(admin, names, wants, limits);
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
  if (missing.length > 0) logger.info({ topics: missing, ...wants }, "topics created");
  return { created: missing, differences: all };
}

async function create(admin: Admin, names: readonly string[], wants: TopicWants): Promise<void> {
  try {
    await admin.createTopics({
      waitForLeaders: true,
      topics: names.map((topic) => ({
        topic,
        numPartitions: wants.partitions,
        replicationFactor: wants.replication,
        configEntries: [
          { name: "cleanup.policy", value: "delete" },
          { name: "retention.ms", value: String(wants.retentionMs) },
          { name: "retention.bytes", value: "-1" },
          { name: "min.insync.replicas", value: String(wants.minInsyncReplicas) },
          { name: "unclean.leader.election.enable", value: "false" },
          // Retention goes by record times, and brokers refuse those an hour ahead of their own
          // clock: an actor's clock that is off must neither drop clicks nor stop its shard.
          { name: "message.timestamp.type", value: "LogAppendTime" },
        ],
      })),
    });
  } catch (error) {
    // Two programs start at once, and the other was first.
    if (!/already exists/i.test(detailOf(error))) throw error;
  }
}

/**
 * kafkajs' `waitForLeaders` asks for the metadata, which names a leader before that broker knows
 * that it is one: the first appends to a new topic would fail.
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
  return [messageOf(error), ...each].join("; ");
}

function hasErrors(error: unknown): error is { readonly errors: readonly unknown[] } {
  return typeof error === "object" && error !== null && "errors" in error && Array.isArray(error.errors);
}

async function look(
  admin: Admin,
  names: readonly string[],
  wants: TopicWants,
  limits: EnsureTopicsDeps["limits"],
): Promise<TopicDifference[]> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  });
  return names.flatMap((topic) => {
    const partitions = topics.find(({ name }) => name === topic)?.partitions ?? [];
    const entries = resources.find(({ resourceName }) => resourceName === topic)?.configEntries ?? [];
    const settings = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
    return compareTopic({
      topic,
      replicas: partitions.map((each) => each.replicas.length),
      settings,
      wants,
      limits,
    });
  });
}

export interface FoundTopic {
  readonly topic: string;
  /** Of each partition, its number of replicas. */
  readonly replicas: readonly number[];
  /** What the broker tells of the topic's configuration; Redpanda leaves out what it has not. */
  readonly settings: ReadonlyMap<string, string>;
  readonly wants: TopicWants;
  readonly limits: EnsureTopicsDeps["limits"];
}

/** Each setting that is not as wanted, with the promise that it breaks where it breaks one. */
export function compareTopic({ topic, replicas, settings, wants, limits }: FoundTopic): TopicDifference[] {
  const differences: TopicDifference[] = [];
  const differ = (setting: string, found: unknown, wanted: unknown, breaks?: string): void => {
    differences.push({ topic, setting, found: String(found), wanted: String(wanted), breaks });
  };
  const setting = (
    name: string,
    isRight: (value: string) => boolean,
    wanted: unknown,
    breaks?: string,
  ): void => {
    const found = settings.get(name);
    if (found !== undefined && !isRight(found)) differ(name, found, wanted, breaks);
  };
  const keepsFor = (value: string): number => (Number(value) < 0 ? Infinity : Number(value));

  if (replicas.length < wants.partitions) {
    const add = `shards without a partition cannot count; add partitions (their number cannot go down again)`;
    differ("partitions", replicas.length, wants.partitions, add);
  } else if (replicas.length > wants.partitions) {
    differ("partitions", replicas.length, wants.partitions);
  }
  const fewest = Math.min(...replicas);
  if (replicas.length > 0 && fewest !== wants.replication) {
    const lost = fewest < wants.minInsyncReplicas ? "no append could be acknowledged" : undefined;
    differ("replication", fewest, wants.replication, lost);
  }
  const retention = settings.get("retention.ms");
  if (retention !== undefined && keepsFor(retention) < limits.logRetentionMs) {
    const lost = "clicks would be gone before a lost shard could be rebuilt from them";
    differ("retention.ms", retention, `at least ${limits.logRetentionMs}`, lost);
  } else if (retention !== undefined && keepsFor(retention) !== wants.retentionMs) {
    differ("retention.ms", retention, wants.retentionMs);
  }
  setting(
    "retention.bytes",
    (value) => Number(value) < 0,
    -1,
    "a busy hour would push out clicks that are still needed",
  );
  setting(
    "cleanup.policy",
    (value) => value === "delete",
    "delete",
    "compaction drops records from the middle of the log",
  );
  const least = limits.blockMaxBytes + RECORD_OVERHEAD_BYTES;
  setting(
    "max.message.bytes",
    (value) => Number(value) >= least,
    `at least ${least}`,
    "the largest block would be refused",
  );
  setting(
    "unclean.leader.election.enable",
    (value) => value === "false",
    "false",
    "a replica that lacks acknowledged clicks could become the leader",
  );
  setting(
    "min.insync.replicas",
    (value) => Number(value) === wants.minInsyncReplicas,
    wants.minInsyncReplicas,
  );
  setting("message.timestamp.type", (value) => value === "LogAppendTime", "LogAppendTime");
  return differences;
}
