/**
 * Reads of many partitions of a topic by one fetch a broker: a fetch of each partition by itself
 * costs both ends some tenths of a millisecond, whether it brings anything or not.
 *
 *  M1 Each read begins with another partition: a broker lets no record of the first be too long,
 *     and those behind it get what room is left. So none is passed over for ever.
 *  M2 What is damaged, or not there, is an error as by read (F3, F4 of reader.ts), for whoever
 *     reads one by one then; never a partition that quietly brings nothing.
 */
import { isAdtallyError } from "../../core/errors.ts";
import type { LogRecord } from "../../block/block.ts";
import type { ManyRecords } from "../../ports/click-log.ts";
import {
  assertFetched,
  corrupt,
  decode,
  FETCH_MAX_BYTES,
  leaderOf,
  unavailable,
  type Place,
  type ReaderDeps,
} from "./reader.ts";
import type { FetchResponse } from "kafkajs/src/protocol/requests/index.js";
import { describeError, isDecodingError } from "./protocol-errors.ts";

/** Of one answer, over all its partitions. */
const ANSWER_MAX_BYTES = 4 * FETCH_MAX_BYTES;

type FetchedPartition = FetchResponse["responses"][number]["partitions"][number];

export class ManyReader {
  readonly #deps: ReaderDeps;
  readonly #topic: string;
  #turn = 0;

  constructor(deps: ReaderDeps, topic: string) {
    this.#deps = deps;
    this.#topic = topic;
  }

  async read(from: ReadonlyMap<number, number>, maxBytes: number): Promise<ManyRecords> {
    const first = this.#turn++ % Math.max(1, from.size);
    const wanted = [...from];
    const byLeader = new Map<number, [number, number][]>();
    for (const one of [...wanted.slice(first), ...wanted.slice(0, first)]) {
      const leader = await leaderOf(this.#deps, { topic: this.#topic, partition: one[0] });
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), one]);
    }
    const records = new Map<number, readonly LogRecord[]>();
    let isAll = true;
    const fetches = [...byLeader].map(([node, asked]) => this.#fetch(node, asked, maxBytes));
    for (const answered of await Promise.all(fetches)) {
      for (const [index, { offset, found, place }] of answered.entries()) {
        const read = this.#intact(place, offset, found, index === 0);
        if (read.length > 0) records.set(place.partition, read);
        isAll &&= offset + read.length >= Number(found.highWatermark);
      }
    }
    return { records, isAll };
  }

  async #fetch(node: number, asked: readonly [number, number][], maxBytes: number) {
    const topic = this.#topic;
    const share = Math.ceil(maxBytes / asked.length);
    const partitions = asked.map(([partition, offset]) => ({
      partition,
      fetchOffset: String(offset),
      maxBytes: Math.min(share, FETCH_MAX_BYTES),
    }));
    const request = {
      replicaId: -1,
      isolationLevel: 0,
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes: Math.min(maxBytes, ANSWER_MAX_BYTES),
      topics: [{ topic, partitions }],
    } as const;
    let response: FetchResponse;
    try {
      response = await this.#deps.brokers.fetch(node, request, this.#deps.limits.appendDeadlineMs);
    } catch (error) {
      if (isAdtallyError(error)) throw error;
      const [partition, offset] = asked[0]!;
      if (!isDecodingError(error)) throw unavailable({ topic, partition }, describeError(error), error);
      throw corrupt({ topic, partition }, offset, `one of ${asked.length} partitions cannot be decoded`);
    }
    const answered = response.responses[0]?.partitions ?? [];
    return Promise.all(
      asked.map(async ([partition, offset]) => {
        const place = { topic, partition };
        const named = answered.find((each) => each.partition === partition);
        return { place, offset, found: await assertFetched(this.#deps, place, offset, named) };
      }),
    );
  }

  /** M2 */
  #intact(place: Place, from: number, found: FetchedPartition, isFirst: boolean): LogRecord[] {
    const records: LogRecord[] = [];
    for (const message of found.messages) {
      const offset = Number(message.offset);
      const expected = from + records.length;
      if (offset < expected) continue;
      const record = offset === expected ? decode(message, offset) : `the log goes on at ${offset}`;
      if (typeof record !== "string") records.push(record);
      else if (records.length > 0) break;
      else throw corrupt(place, expected, record);
    }
    const isThere = from < Number(found.highWatermark);
    if (records.length === 0 && isThere && (isFirst || found.messages.length > 0))
      throw corrupt(place, from, `it is not there, though the log ends at ${found.highWatermark}`);
    return records;
  }
}
