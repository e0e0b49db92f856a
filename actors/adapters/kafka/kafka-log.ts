/**
 * The click log on Kafka or Redpanda: one topic a ClickTopic, one partition a shard, one record a
 * block. Which shard a process owns, and how far it has read, is adtally's own affair: no consumer
 * groups, no committed offsets.
 *
 * appender.ts appends (Q1 to Q5), reader.ts and reader-many.ts read (F1 to F5, M1 and M2), brokers.ts
 * knows where (N1 to N6), repairs.ts mends kafkajs (K1 to K3), ensure-topics.ts makes and checks the
 * topics.
 *
 * A record that is no intact block is LOG_CORRUPT with `offset` in the error. The record itself
 * stays where it is, for as long as the topic keeps it; the reader that has made a note of it goes
 * on at the offset behind it.
 */
import { gzip, zstdCompress, zstdDecompress } from "node:zlib";
import { promisify } from "node:util";
import kafkajs from "kafkajs";
import type { Limits } from "../../core/limits.ts";
import type { ClickLog, ClickTopic } from "../../ports/click-log.ts";
import type { KeyedLog, KeyedTopic } from "../../ports/keyed-log.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import { Appender } from "./appender.ts";
import { Brokers } from "./brokers.ts";
import { assertKafkaConfig, type Compression, type KafkaConfig } from "./config.ts";
import { createKafkaKeyedLog } from "./keyed-log.ts";
import { blockBatch, type Codec } from "./produce-request.ts";
import { readBounds, readRecords } from "./reader.ts";
import { ManyReader } from "./reader-many.ts";
import { CLICK_TOPICS, KEYED_TOPICS, topicName } from "./topics.ts";

export interface KafkaLogDeps {
  readonly config: KafkaConfig;
  readonly limits: Pick<
    Limits,
    "appendDeadlineMs" | "logQueueMaxBytes" | "overloadRetryAfterMs" | "reconnectMinMs"
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface KafkaLog {
  topic(name: ClickTopic): ClickLog;
  /** Over the same connections; ensure-keyed-topics.ts makes its topic. */
  keyed(name: KeyedTopic): KeyedLog;
  /** Whether a broker answers, for a readiness probe. @throws LOG_UNAVAILABLE */
  check(): Promise<void>;
  /** Refuses what was not sent; what is under way may or may not arrive. */
  close(): Promise<void>;
}

// A CommonJS module whose names Node cannot see from outside.
const { CompressionCodecs, CompressionTypes } = kafkajs;

const CODECS: Readonly<Record<Compression, Codec>> = {
  none: { number: CompressionTypes.None },
  gzip: { number: CompressionTypes.GZIP, compress: promisify(gzip) },
  zstd: { number: CompressionTypes.ZSTD, compress: promisify(zstdCompress) },
};

// For what is read: kafkajs leaves zstd to its users.
const decompress = promisify(zstdDecompress);
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: () => Promise.reject(new Error("produce-request.ts compresses")),
  decompress: (buffer: Buffer) => decompress(buffer),
});

/**
 * Resolves without having spoken to a broker: a program starts, and is not ready, while none
 * answers. @throws CONFIG_INVALID
 */
export function openKafkaLog(deps: KafkaLogDeps): KafkaLog {
  const { config, limits, clock, logger } = deps;
  assertKafkaConfig(config);
  const names = [...CLICK_TOPICS, ...KEYED_TOPICS].map((topic) => topicName(config.topicPrefix, topic));
  const brokers = new Brokers({ config, topics: names, limits, clock, logger });
  const appender = new Appender({ brokers, limits, clock, codec: CODECS[config.compression ?? "none"] });
  const reader = { brokers, limits };
  return {
    topic(name) {
      const topic = topicName(config.topicPrefix, name);
      const many = new ManyReader(reader, topic);
      return {
        readMany: (from, maxBytes) => many.read(from, maxBytes),
        append: (partition, block) => appender.append(topic, partition, blockBatch(block)),
        read: (partition, from, maxBytes) => readRecords(reader, { topic, partition }, from, maxBytes),
        bounds: (partition) => readBounds(reader, { topic, partition }),
      };
    },
    keyed: (name) =>
      createKafkaKeyedLog({ topic: topicName(config.topicPrefix, name), appender, reader, clock }),
    async check() {
      brokers.markStale();
      await brokers.freshen();
    },
    async close() {
      appender.close();
      await brokers.close();
    },
  };
}
