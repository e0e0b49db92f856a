/**
 * node loadtest/bench-kafka.ts [seconds per line, 1.5]
 *
 * Appends to a Kafka broker on this machine, acknowledged by all replicas (there is one): adtally's
 * click log, the Producer of kafkajs, and that of @platformatic/kafka, in turns over the same
 * topics. Each partition has one append in flight, as a shard actor has. CPU is this process' alone,
 * beside the broker's. Then each partition is read back, by adtally's log and by the low-level
 * fetch of @platformatic/kafka; “tail” is from an append's start until a reader has the record.
 */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Consumer, Producer } from "@platformatic/kafka";
import kafkajsPackage from "kafkajs";
import { encodeHeader, HEADER_KEY } from "../actors/adapters/kafka/header.ts";
import { ensureTopics } from "../actors/adapters/kafka/ensure-topics.ts";
import { openKafkaLog } from "../actors/adapters/kafka/kafka-log.ts";
import { makeBlock, type Block } from "../actors/block/block.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { systemClock, systemRandom } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";
import { startKafka } from "../testing/servers/kafka.ts";
import { cpuUsOf } from "./lib/processes.ts";

const ROW_BYTES = 150;
const MAX_BYTES = 400 * 1024 * 1024;
const PARTITIONS = 16;
const READ_BYTES = 4 * 1024 * 1024;

interface Subject {
  readonly name: string;
  append(partition: number, block: Block): Promise<unknown>;
  /** Bytes of values behind `from`, and the offset to go on from. */
  read?(partition: number, from: number): Promise<{ readonly bytes: number; readonly next: number }>;
  close(): Promise<void>;
}

type Open = (address: string, topicPrefix: string) => Promise<Subject>;

const adtally: Open = async (address, topicPrefix) => {
  const config = { brokers: [address], clientId: "bench", topicPrefix };
  const log = openKafkaLog({ config, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger });
  const clicks = log.topic("clicks");
  return {
    name: "adtally's log",
    append: (partition, block) => clicks.append(partition, block),
    async read(partition, from) {
      const records = await clicks.read(partition, from, READ_BYTES);
      return {
        bytes: records.reduce((sum, { value }) => sum + value.length, 0),
        next: from + records.length,
      };
    },
    close: () => log.close(),
  };
};

const kafkajs: Open = async (address, topicPrefix) => {
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
    name: "kafkajs",
    append: (partition, { header, value }) =>
      producer.send({
        topic,
        acks: -1,
        messages: [{ partition, value, headers: { [HEADER_KEY]: encodeHeader(header) } }],
      }),
    close: () => producer.disconnect(),
  };
};

const platformatic: Open = async (address, topicPrefix) => {
  const common = { clientId: "bench", bootstrapBrokers: [address], retries: 0 };
  const producer = new Producer({ ...common, idempotent: false });
  const consumer = new Consumer({ ...common, groupId: "bench" });
  const topic = `${topicPrefix}clicks`;
  const metadata = (await consumer.metadata({ topics: [topic] })).topics.get(topic);
  if (metadata === undefined) throw new Error(`no topic ${topic}`);
  const key = Buffer.from(HEADER_KEY);
  return {
    name: "@platformatic",
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
};

function makeBlocks(rows: number): Block[] {
  const fields = { epoch: 1, writer: 1, rowCount: rows, appendTimeMs: systemClock.now(), sourceOffset: -1 };
  return Array.from({ length: 8 }, (_, i) =>
    makeBlock({ ...fields, sequence: i + 1 }, systemRandom(rows * ROW_BYTES)),
  );
}

const at = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0;
const cell = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width);

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function run(
  open: Open,
  broker: { readonly address: string; readonly pid: number },
  partitions: number,
  rows: number,
  ms: number,
): Promise<void> {
  const topicPrefix = `bench-${systemRandom(4).toString("hex")}.`;
  await ensureTopics({
    config: { brokers: [broker.address], clientId: "bench", topicPrefix },
    wants: {
      partitions: PARTITIONS,
      replication: 1,
      minInsyncReplicas: 1,
      retentionMs: DEFAULT_LIMITS.logRetentionMs,
    },
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
  });
  const subject = await open(broker.address, topicPrefix);
  try {
    const blocks = makeBlocks(rows);
    const most = Math.ceil(MAX_BYTES / (rows * ROW_BYTES) / partitions);
    const append = async (forMs: number, acks: number[]): Promise<void> => {
      const start = performance.now();
      const each = async (partition: number) => {
        for (let i = 0; performance.now() - start < forMs && i < most; i++) {
          const sent = performance.now();
          await subject.append(partition, blocks[i % blocks.length]!);
          acks.push(performance.now() - sent);
        }
      };
      await Promise.all(Array.from({ length: partitions }, (_, partition) => each(partition)));
    };
    const warmUp: number[] = [];
    await append(300, warmUp);
    const acks: number[] = [];
    const brokerBefore = await cpuUsOf(broker.pid);
    const before = cpuUs();
    const start = performance.now();
    await append(ms, acks);
    const seconds = (performance.now() - start) / 1_000;
    const used = cpuUs() - before;
    const brokerUsed = (await cpuUsOf(broker.pid)) - brokerBefore;
    const clicks = acks.length * rows;
    let line =
      `${subject.name.padEnd(14)} ${String(partitions).padStart(4)} ${String(rows).padStart(5)}` +
      `${cell((clicks * ROW_BYTES) / 1e6 / seconds, 1, 8)} ${cell(acks.length / seconds, 0, 9)}` +
      `${cell(at(acks, 0.5), 2, 9)} ${cell(at(acks, 0.99), 2, 8)}` +
      `${cell(used / clicks, 3, 11)} ${cell(brokerUsed / clicks, 3, 9)}`;
    if (subject.read !== undefined) {
      let bytes = 0;
      const readBefore = cpuUs();
      const readStart = performance.now();
      const ends: number[] = [];
      for (let partition = 0; partition < partitions; partition++) {
        for (let from = 0; ;) {
          const read = await subject.read(partition, from);
          if (read.next === from) break;
          from = read.next;
          bytes += read.bytes;
          ends[partition] = from;
        }
      }
      const written = (acks.length + warmUp.length) * rows * ROW_BYTES;
      if (bytes !== written) throw new Error(`${subject.name}: ${bytes} bytes read of ${written} written`);
      const readSeconds = (performance.now() - readStart) / 1_000;
      line += `${cell(bytes / 1e6 / readSeconds, 0, 8)} ${cell((cpuUs() - readBefore) / (bytes / ROW_BYTES), 3, 9)}`;
      const tails: number[] = [];
      for (let i = 0; i < 50; i++) {
        const sent = performance.now();
        await subject.append(0, blocks[0]!);
        const { next } = await subject.read(0, ends[0]! + i);
        if (next !== ends[0]! + i + 1) throw new Error(`${subject.name}: an acknowledged record is not read`);
        tails.push(performance.now() - sent);
      }
      line += cell(at(tails, 0.5), 2, 9);
    }
    process.stdout.write(line + "\n");
  } finally {
    await subject.close();
  }
}

const ms = Number(process.argv[2] ?? 1.5) * 1_000;
const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-bench-kafka-"));
const broker = await startKafka({ dir, heapMegabytes: 512 });
try {
  process.stdout.write(
    `appends to Kafka, acks of all, rows of ${ROW_BYTES} bytes (node ${process.version}, ${os.cpus().length} cores)\n` +
      "client         part  rows    MB/s appends/s  ack p50      p99 µs CPU/row    broker read MB/s  µs/row tail p50\n",
  );
  for (const rows of [1, 100, 5_000]) {
    for (const partitions of [1, 4, 16]) {
      for (const open of [adtally, kafkajs, platformatic]) await run(open, broker, partitions, rows, ms);
    }
  }
} finally {
  await broker.kill();
  await rm(dir, { recursive: true, force: true });
}
