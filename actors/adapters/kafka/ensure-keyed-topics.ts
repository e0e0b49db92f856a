/** The topics of keyed records: what is wanted of them, and what a difference breaks. */
import type { Limits } from "../../core/limits.ts";
import type { KeyedTopic } from "../../ports/keyed-log.ts";
import {
  ensureKind,
  type AdminDeps,
  type EnsuredTopics,
  type Found,
  type TopicDifference,
} from "./topic-admin.ts";
import { KEYED_TOPICS, topicName } from "./topics.ts";

/** A record batch's framing. */
const BATCH_OVERHEAD_BYTES = 1_024;

export interface KeyedTopicWants {
  readonly replication: number;
  readonly minInsyncReplicas: number;
}

export interface EnsureKeyedTopicsDeps extends AdminDeps {
  readonly wants: KeyedTopicWants;
  readonly limits: Pick<Limits, "blockMaxBytes">;
  readonly topics?: readonly KeyedTopic[];
  /** Further settings of topics that are made. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * @throws CONFIG_INVALID with every difference that breaks a promise, LOG_UNAVAILABLE
 */
export function ensureKeyedTopics(deps: EnsureKeyedTopicsDeps): Promise<EnsuredTopics> {
  const { config, wants, limits, topics = KEYED_TOPICS, settings = {} } = deps;
  return ensureKind(deps, {
    names: topics.map((topic) => topicName(config.topicPrefix, topic)),
    partitions: 1,
    replication: wants.replication,
    settings: {
      "cleanup.policy": "compact",
      "min.insync.replicas": String(wants.minInsyncReplicas),
      "unclean.leader.election.enable": "false",
      "message.timestamp.type": "LogAppendTime",
      ...settings,
    },
    compare: (found) => compareKeyedTopic(found, wants, limits),
  });
}

export function compareKeyedTopic(
  { topic, replicas, settings }: Found,
  wants: KeyedTopicWants,
  limits: Pick<Limits, "blockMaxBytes">,
): TopicDifference[] {
  const differences: TopicDifference[] = [];
  const differ = (setting: string, found: unknown, wanted: unknown, breaks?: string): void => {
    differences.push({ topic, setting, found: String(found), wanted: String(wanted), breaks });
  };
  const setting = (name: string, isRight: (value: string) => boolean, wanted: unknown, breaks?: string) => {
    const found = settings.get(name);
    if (found !== undefined && !isRight(found)) differ(name, found, wanted, breaks);
  };

  if (replicas.length !== 1) {
    differ("partitions", replicas.length, 1, "of two partitions' records nobody can say which came first");
  }
  const fewest = Math.min(...replicas);
  if (replicas.length > 0 && fewest !== wants.replication) {
    const lost = fewest < wants.minInsyncReplicas ? "no append could be acknowledged" : undefined;
    differ("replication", fewest, wants.replication, lost);
  }
  const expires = "what nobody changes for a while would be deleted";
  setting("cleanup.policy", (value) => value === "compact", "compact", expires);
  const least = limits.blockMaxBytes + BATCH_OVERHEAD_BYTES;
  const tooSmall = "the largest append would be refused";
  setting("max.message.bytes", (value) => Number(value) >= least, `at least ${least}`, tooSmall);
  const unclean = "a replica that lacks acknowledged records could become the leader";
  setting("unclean.leader.election.enable", (value) => value === "false", "false", unclean);
  const { minInsyncReplicas } = wants;
  setting("min.insync.replicas", (value) => Number(value) === minInsyncReplicas, minInsyncReplicas);
  return differences;
}
