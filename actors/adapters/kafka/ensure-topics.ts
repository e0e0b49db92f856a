/** The click log's topics: what is wanted of them, and what a difference breaks. */
import { AdtallyError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Logger } from "../../runtime/log.ts";
import type { KafkaConfig } from "./config.ts";
import { ensureKind, type EnsuredTopics, type Found, type TopicDifference } from "./topic-admin.ts";
import { CLICK_TOPICS, topicName } from "./topics.ts";

/** A record's framing, header and key. */
const RECORD_OVERHEAD_BYTES = 1_024;

export interface TopicWants {
  /** One a shard, at the most that will ever be: more are added by an operator. */
  readonly partitions: number;
  readonly replication: number;
  readonly minInsyncReplicas: number;
  readonly retentionMs: number;
  /** Topics that have too few partitions, or too short a retention, are extended. */
  readonly extends?: boolean;
}

export interface EnsureTopicsDeps {
  readonly config: KafkaConfig;
  readonly wants: TopicWants;
  readonly limits: Pick<Limits, "logRetentionMs" | "blockMaxBytes">;
  readonly logger: Logger;
}

/**
 * @throws CONFIG_INVALID with every difference that breaks a promise, LOG_UNAVAILABLE
 */
export async function ensureTopics(deps: EnsureTopicsDeps): Promise<EnsuredTopics> {
  const { config, wants, limits } = deps;
  assertWants(wants, limits);
  return ensureKind(deps, {
    names: CLICK_TOPICS.map((topic) => topicName(config.topicPrefix, topic)),
    partitions: wants.partitions,
    replication: wants.replication,
    settings: {
      "cleanup.policy": "delete",
      "retention.ms": String(wants.retentionMs),
      "retention.bytes": "-1",
      "min.insync.replicas": String(wants.minInsyncReplicas),
      "unclean.leader.election.enable": "false",
      // Retention goes by record times, and brokers refuse those an hour ahead of their own
      // clock: an actor's clock that is off must neither drop clicks nor stop its shard.
      "message.timestamp.type": "LogAppendTime",
    },
    extends: wants.extends === true,
    compare: (found) => compareTopic({ ...found, wants, limits }),
  });
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

export interface FoundTopic extends Found {
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
