/**
 * Reads of a partition by offset, without a consumer group.
 *
 *  F1 A fetch asks for what is there now and does not wait: a broker answers the requests of one
 *     connection one by one, and one that waited for clicks would hold up every other shard's.
 *  F2 A broker may send records from before the offset asked for (a whole batch): they are dropped.
 *  F3 A record that is no intact block ends a read before it; a read that begins with it is
 *     LOG_CORRUPT, with its offset in the error, and all behind it can be read.
 *  F4 Offsets that are not there, where a broker kept none (a topic that is compacted, or written
 *     by transactions), are LOG_CORRUPT as well: nothing is skipped without a word.
 *  F5 What is in doubt (a new leader that does not yet know what is committed) is LOG_UNAVAILABLE.
 */
import { AdtallyError, isAdtallyError } from "../../core/errors.ts";
import type { LogRecord } from "../../block/block.ts";
import type { Limits } from "../../core/limits.ts";
import type { LogBounds } from "../../ports/click-log.ts";
import type { FetchedMessage } from "kafkajs/src/protocol/requests/index.js";
import type { Brokers } from "./brokers.ts";
import { decodeBlock, HEADER_KEY } from "./header.ts";
import {
  describeCode,
  describeError,
  isDecodingError,
  isLeaderStale,
  NO_ERROR,
  OFFSET_OUT_OF_RANGE,
} from "./protocol-errors.ts";

export const FETCH_MAX_BYTES = 8 * 1024 * 1024;
const EARLIEST = "-2";
const LATEST = "-1";

export interface ReaderDeps {
  readonly brokers: Brokers;
  readonly limits: Pick<Limits, "appendDeadlineMs">;
}

/** One partition. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

export interface Fetched {
  readonly messages: readonly FetchedMessage[];
  /** The offset behind the last record that all replicas have. */
  readonly next: number;
}

export async function readRecords(
  deps: ReaderDeps,
  place: Place,
  fromOffset: number,
  maxBytes: number,
): Promise<readonly LogRecord[]> {
  if (!Number.isSafeInteger(fromOffset) || fromOffset < 0) throw outOfRange(place, fromOffset);
  const records: LogRecord[] = [];
  let bytes = 0;
  for (;;) {
    const from = fromOffset + records.length;
    const { messages, next } = await fetchFrom(deps, place, from, Math.max(1, maxBytes - bytes));
    for (const message of messages) {
      const offset = Number(message.offset);
      const expected = fromOffset + records.length;
      if (offset < expected) continue;
      const why = offset === expected ? undefined : `the log goes on at ${offset}`;
      const record = why ?? decode(message, offset);
      if (typeof record === "string") {
        if (records.length > 0) return records;
        throw corrupt(place, expected, record);
      }
      records.push(record);
      bytes += record.value.length;
      if (bytes >= maxBytes) return records;
    }
    const read = fromOffset + records.length;
    if (read >= next) return records;
    // The broker has more, and its answer brought nothing: asking again would go on for ever.
    if (read === from) throw corrupt(place, from, `it is not there, though the log ends at ${next}`);
  }
}

export function decode(message: FetchedMessage, offset: number): LogRecord | string {
  if (message.isControlRecord) return "it is a transaction's marker, not a click block";
  const block = decodeBlock(message.headers[HEADER_KEY], message.value);
  return typeof block === "string" ? block : { ...block, offset };
}

export async function readBounds(deps: ReaderDeps, place: Place): Promise<LogBounds> {
  // In this order: retention may pass between the two, and must not make the log look negative.
  const next = await listOffset(deps, place, LATEST);
  const earliest = await listOffset(deps, place, EARLIEST);
  return { earliest: Math.min(earliest, next), next };
}

export async function fetchFrom(
  deps: ReaderDeps,
  place: Place,
  offset: number,
  maxBytes: number,
): Promise<Fetched> {
  try {
    return await fetchOnce(deps, place, offset, Math.min(maxBytes, FETCH_MAX_BYTES));
  } catch (error) {
    if (isAdtallyError(error)) throw error;
    if (!isDecodingError(error)) throw unavailable(place, describeError(error), error);
  }
  // One damaged batch fails kafkajs' decoding of the whole answer: the first batch alone comes next.
  try {
    return await fetchOnce(deps, place, offset, 1);
  } catch (error) {
    if (isAdtallyError(error)) throw error;
    if (!isDecodingError(error)) throw unavailable(place, describeError(error), error);
    throw corrupt(place, offset, `it cannot be decoded (${describeError(error)})`);
  }
}

async function fetchOnce(deps: ReaderDeps, place: Place, offset: number, maxBytes: number): Promise<Fetched> {
  const { topic, partition } = place;
  const node = await leaderOf(deps, place);
  const response = await deps.brokers.fetch(
    node,
    {
      replicaId: -1,
      // No transactions are used: what all replicas have is what counts.
      isolationLevel: 0,
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes }] }],
    },
    deps.limits.appendDeadlineMs,
  );
  const found = await assertFetched(deps, place, offset, response.responses[0]?.partitions[0]);
  return { messages: found.messages, next: Number(found.highWatermark) };
}

/** @throws OFFSET_OUT_OF_RANGE, LOG_UNAVAILABLE */
export async function assertFetched<T extends { readonly errorCode: number }>(
  deps: ReaderDeps,
  place: Place,
  offset: number,
  found: T | undefined,
): Promise<T> {
  if (found === undefined) throw unavailable(place, "the broker's answer does not name it");
  if (found.errorCode === OFFSET_OUT_OF_RANGE) {
    const { earliest, next } = await readBounds(deps, place);
    throw outOfRange(place, offset, `it holds ${earliest} to ${next}`);
  }
  refuse(deps, place, found.errorCode);
  return found;
}

async function listOffset(deps: ReaderDeps, place: Place, timestamp: string): Promise<number> {
  const { topic, partition } = place;
  try {
    const node = await leaderOf(deps, place);
    const topics = [{ topic, partitions: [{ partition, timestamp }] }];
    const { appendDeadlineMs } = deps.limits;
    const fields = { replicaId: -1, isolationLevel: 0, topics } as const;
    const response = await deps.brokers.listOffsets(node, fields, appendDeadlineMs);
    const found = response.responses[0]?.partitions[0];
    if (found === undefined) throw unavailable(place, "the broker's answer does not name it");
    refuse(deps, place, found.errorCode);
    return Number(found.offset);
  } catch (error) {
    if (isAdtallyError(error) && error.code !== "DEADLINE_EXCEEDED") throw error;
    throw unavailable(place, describeError(error), error);
  }
}

export async function leaderOf({ brokers }: ReaderDeps, { topic, partition }: Place): Promise<number> {
  await brokers.freshen();
  const leader = brokers.leaderOf(topic, partition);
  if (leader !== undefined) return leader;
  brokers.markStale();
  throw unavailable({ topic, partition }, "the partition has no leader, or does not exist");
}

function refuse({ brokers }: ReaderDeps, place: Place, errorCode: number): void {
  if (errorCode === NO_ERROR) return;
  if (isLeaderStale(errorCode)) brokers.markStale();
  throw unavailable(place, describeCode(errorCode));
}

export function unavailable({ topic, partition }: Place, why: string, cause?: unknown): AdtallyError {
  return new AdtallyError("LOG_UNAVAILABLE", `${topic}, partition ${partition}: ${why}`, { cause });
}

export function outOfRange(
  { topic, partition }: Place,
  offset: number,
  what = "offsets begin at 0",
): AdtallyError {
  const message = `${topic}, partition ${partition}: there is no offset ${offset}, ${what}`;
  return new AdtallyError("OFFSET_OUT_OF_RANGE", message);
}

export function corrupt({ topic, partition }: Place, offset: number, why: string): AdtallyError {
  const message = `${topic}, partition ${partition}: the record at offset ${offset} is damaged: ${why}`;
  return new AdtallyError("LOG_CORRUPT", message, { offset });
}
