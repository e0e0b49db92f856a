/** What a broker's error codes and kafkajs' own errors mean for a click log. */
import { errorCodes } from "kafkajs/src/protocol/error.js";
import { messageOf } from "../../core/errors.ts";
import { withTlsFault } from "../tls/faults.ts";

export const NO_ERROR = 0;
export const OFFSET_OUT_OF_RANGE = 1;

const NAMES = new Map(errorCodes.map(({ code, type }) => [code, type]));
const MESSAGES = new Map(errorCodes.map(({ code, message }) => [code, message]));

export function describeCode(code: number): string {
  return `${NAMES.get(code) ?? `error ${code}`}: ${MESSAGES.get(code) ?? "not known to this client"}`;
}

/**
 * Answers to a produce request with acks of all replicas that a broker gives before it writes:
 * the record is in no log. All others may come after the leader has written it. Two of those look
 * as if they did not:
 *
 *  NOT_LEADER_FOR_PARTITION, UNKNOWN_TOPIC_OR_PARTITION and KAFKA_STORAGE_ERROR are also the answer
 *  to a request that was written, waited for its replicas, and lost its leader meanwhile: the new
 *  leader may well have the record.
 *  NOT_ENOUGH_REPLICAS_AFTER_APPEND (20) says so itself; NOT_ENOUGH_REPLICAS (19) comes before.
 */
const REFUSED_BEFORE_WRITING = new Set(
  [
    "CORRUPT_MESSAGE",
    "MESSAGE_TOO_LARGE",
    "INVALID_TOPIC_EXCEPTION",
    "RECORD_LIST_TOO_LARGE",
    "NOT_ENOUGH_REPLICAS",
    "INVALID_REQUIRED_ACKS",
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_TIMESTAMP",
    "UNSUPPORTED_VERSION",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "INVALID_RECORD",
  ].flatMap((type) => errorCodes.filter((each) => each.type === type).map(({ code }) => code)),
);

export function isRefusedBeforeWriting(code: number): boolean {
  return REFUSED_BEFORE_WRITING.has(code);
}

/** Errors that say where the request went was the wrong place, or will be. */
const STALE = new Set([3, 5, 6, 8, 9, 13, 56, 74, 75]);

export function isLeaderStale(code: number): boolean {
  return STALE.has(code);
}

/** kafkajs wraps what went wrong in what it did about it: the cause says more. */
export function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return withTlsFault(messageOf(cause), cause, "kafka");
}

/**
 * Errors of kafkajs that come from the connection, or from the broker's answer as a whole. Any
 * other one that a fetch ends with comes from decoding: the answer's records are damaged.
 */
const OF_THE_CONNECTION = new Set([
  "AdtallyError",
  "KafkaJSProtocolError",
  "KafkaJSConnectionError",
  "KafkaJSConnectionClosedError",
  "KafkaJSRequestTimeoutError",
  "KafkaJSLockTimeout",
  "KafkaJSTimeout",
  "KafkaJSBrokerNotFound",
  "KafkaJSMetadataNotLoaded",
  "KafkaJSNumberOfRetriesExceeded",
  "KafkaJSServerDoesNotSupportApiKey",
  "KafkaJSSASLAuthenticationError",
]);

export function isDecodingError(error: unknown): boolean {
  return error instanceof Error && !OF_THE_CONNECTION.has(error.name);
}
