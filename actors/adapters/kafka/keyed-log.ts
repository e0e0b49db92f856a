/**
 * A KeyedLog on Kafka or Redpanda: a compacted topic of one partition. An append is one record
 * batch, which a broker writes whole or not at all (E1, E3 of ports/keyed-log.ts).
 *
 * Reads go over what compaction took: a broker answers with the first batch that ends behind the
 * offset asked for. It never takes the newest record of the log, so a read before the end finds one.
 */
import type { Clock } from "../../runtime/clock.ts";
import type { KeyedLog, KeyedRead, StoredRecord } from "../../ports/keyed-log.ts";
import type { Appender } from "./appender.ts";
import { corrupt, fetchFrom, outOfRange, readBounds, type Place, type ReaderDeps } from "./reader.ts";

const PARTITION = 0;
const NOTHING = Buffer.alloc(0);

export interface KafkaKeyedLogDeps {
  readonly topic: string;
  readonly appender: Appender;
  readonly reader: ReaderDeps;
  readonly clock: Clock;
}

export function createKafkaKeyedLog({ topic, appender, reader, clock }: KafkaKeyedLogDeps): KeyedLog {
  const place: Place = { topic, partition: PARTITION };
  return {
    async append(records) {
      // A copy: what waits to be sent is the log's own.
      const kept = records.map(({ key, value }) => ({
        key: Buffer.from(key),
        value: Buffer.from(value),
        blockHeader: undefined,
      }));
      return (await appender.append(topic, PARTITION, { timeMs: clock.now(), records: kept })) + kept.length;
    },
    read: (from, maxBytes) => readKeyed(reader, place, from, maxBytes),
    end: async () => (await readBounds(reader, place)).next,
  };
}

async function readKeyed(deps: ReaderDeps, place: Place, from: number, maxBytes: number): Promise<KeyedRead> {
  if (!Number.isSafeInteger(from) || from < 0) throw outOfRange(place, from);
  const { messages, next: end } = await fetchFrom(deps, place, from, Math.max(1, maxBytes));
  const records: StoredRecord[] = [];
  for (const { offset, key, value, isControlRecord } of messages) {
    // A broker sends whole batches: the first may begin before the offset asked for.
    if (Number(offset) < from || isControlRecord) continue;
    // No record of ours has neither; what they mean is the reader's to say.
    records.push({ offset: Number(offset), key: key ?? NOTHING, value: value ?? NOTHING });
  }
  const last = records.at(-1);
  if (last === undefined && from < end) {
    throw corrupt(place, from, `nothing is there, though the log ends at ${end}`);
  }
  return { records, next: last === undefined ? from : last.offset + 1, end };
}
