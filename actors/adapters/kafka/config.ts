/** Where the brokers are, and how to speak with them. */
import type { SASLOptions } from "kafkajs";
import type { ConnectionOptions } from "node:tls";
import { AdtallyError } from "../../core/errors.ts";

export interface KafkaConfig {
  /** host:port of some brokers; the others are learnt from them. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Stands before each topic's name: `eu.` makes `eu.clicks`. Empty by default. */
  readonly topicPrefix?: string;
  readonly tls?: ConnectionOptions;
  readonly sasl?: SASLOptions;
  /** Of a block's record. Rows of clicks are mostly random bytes: none is the default. */
  readonly compression?: Compression;
}

export type Compression = "none" | "gzip" | "zstd";

const TOPIC_PREFIX = /^[a-zA-Z0-9._-]{0,64}$/;
/** kafkajs splits at the first colon, so an IPv6 address would be read as a host and a wrong port. */
const ADDRESS = /^[^\s:[\]]+:\d{1,5}$/;

/** @throws CONFIG_INVALID */
export function assertKafkaConfig({ brokers, topicPrefix = "", clientId }: KafkaConfig): void {
  const fault = (why: string) => new AdtallyError("CONFIG_INVALID", `kafka: ${why}`);
  if (brokers.length === 0) throw fault("no broker is given; give at least one host:port");
  for (const broker of brokers) {
    if (!ADDRESS.test(broker))
      throw fault(`broker ${JSON.stringify(broker)} is not host:port (IPv6: give a name)`);
  }
  if (!TOPIC_PREFIX.test(topicPrefix)) {
    throw fault(
      `topic prefix ${JSON.stringify(topicPrefix)}: up to 64 letters, digits, dots, dashes, underscores`,
    );
  }
  if (clientId === "") throw fault("the client id is empty");
}
