/** Clients of Kafka that adtally's log does not use, as bench/log.ts appends with them for comparison. */
import { Consumer, Producer } from "@platformatic/kafka";
import kafkajsPackage from "kafkajs";
import { encodeHeader, HEADER_KEY } from "../../../actors/adapters/kafka/header.ts";
import type { LogUnderTest } from "./measure.ts";

const READ_BYTES = 4 * 1024 * 1024;

export async function openKafkajs(address: string, topicPrefix: string): Promise<LogUnderTest> {
  const kafka = new kafkajsPackage.Kafka({
    brokers: [address],
    clientId: "bench",
    logLevel: kafkajsPackage.logLevel.NOTHING,
  });
  const producer = kafka.producer({
    idempotent: false,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  });
  await producer.connect();
  const topic = `${topicPrefix}clicks`;
  return {
    append: (partition, { header, value }) =>
      producer.send({
        topic,
        acks: -1,
        messages: [{ partition, value, headers: { [HEADER_KEY]: encodeHeader(header) } }],
      }),
    close: () => producer.disconnect(),
  };
}

export async function openPlatformatic(address: string, topicPrefix: string): Promise<LogUnderTest> {
  const common = { clientId: "bench", bootstrapBrokers: [address], retries: 0 };
  const producer = new Producer({ ...common, idempotent: false });
  const consumer = new Consumer({ ...common, groupId: "bench" });
  const topic = `${topicPrefix}clicks`;
  const metadata = (await consumer.metadata({ topics: [topic] })).topics.get(topic);
  if (metadata === undefined) throw new Error(`no topic ${topic}`);
  const key = Buffer.from(HEADER_KEY);
  return {
    append: (partition, { header, value }) =>
      producer.send({
        acks: -1,
        messages: [{ topic, partition, value, headers: new Map([[key, encodeHeader(header)]]) }],
      }),
    async read(partition, from) {
      const response = await consumer.fetch({
        node: metadata.partitions[partition]!.leader,
        minBytes: 0,
        maxBytes: READ_BYTES,
        maxWaitTime: 0,
        isolationLevel: 0,
        topics: [
          {
            topicId: metadata.id,
            partitions: [
              {
                partition,
                currentLeaderEpoch: -1,
                fetchOffset: BigInt(from),
                lastFetchedEpoch: -1,
                partitionMaxBytes: READ_BYTES,
              },
            ],
          },
        ],
      });
      let bytes = 0;
      let next = from;
      for (const batch of response.responses[0]?.partitions[0]?.records ?? []) {
        for (const { value } of batch.records) bytes += value?.length ?? 0;
        next = Number(batch.firstOffset) + batch.lastOffsetDelta + 1;
      }
      return { bytes, next };
    },
    async close() {
      await producer.close();
      await consumer.close();
    },
  };
}
