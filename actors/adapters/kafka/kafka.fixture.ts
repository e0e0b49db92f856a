/** A real broker behind a proxy that fails on demand, and click logs on topics of their own. */
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import kafkajs, { type Admin } from "kafkajs";
import { expect } from "vitest";
import type { Block } from "../../block/block.ts";
import { isAdtallyError } from "../../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import { expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import type { ClickTopic } from "../../ports/click-log.ts";
import { sleep, systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { kafkaLacks } from "../../../testing/servers/kafka-install.ts";
import { startKafka, type KafkaServer } from "../../../testing/servers/kafka.ts";
import { freePorts } from "../../../testing/servers/process.ts";
import { startTcpProxy, type TcpProxy } from "../../../testing/tcp-proxy.ts";
import type { KafkaConfig } from "./config.ts";
import { ensureTopics } from "./ensure-topics.ts";
import { openKafkaLog, type KafkaLog } from "./kafka-log.ts";
import { CLICK_TOPICS, topicName } from "./topics.ts";

export const PARTITIONS = 12;

/** Why no broker can be had here, told loudly; a continuous integration must have one. */
export async function brokerLacks(): Promise<string | undefined> {
  const lacks = await kafkaLacks();
  if (lacks === undefined) return undefined;
  if (process.env["CI"] === "true") throw new Error(`KAFKA: not available: ${lacks}`);
  process.stderr.write(`KAFKA: not available: ${lacks}\n`);
  return lacks;
}

export interface TestBroker {
  readonly address: string;
  readonly server: KafkaServer;
  readonly proxy: TcpProxy;
  close(): Promise<void>;
}

/** One broker; what clients are told to connect to is the proxy. */
export async function startBroker(properties: Readonly<Record<string, string>> = {}): Promise<TestBroker> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-kafka-"));
  const [port = 0] = await freePorts(1);
  const proxy = await startTcpProxy({ targetPort: port });
  const server = await startKafka({ dir, port, advertisedPort: proxy.port, properties });
  return {
    address: proxy.address,
    server,
    proxy,
    async close() {
      await server.kill();
      await proxy.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export interface TestLog {
  log: KafkaLog;
  readonly config: KafkaConfig;
  readonly admin: Admin;
  reopen(): Promise<void>;
  close(): Promise<void>;
}

export interface TestLogOptions {
  readonly partitions?: number;
  readonly replication?: number;
  readonly minInsyncReplicas?: number;
  readonly compression?: KafkaConfig["compression"];
  readonly limits?: Partial<Limits>;
  readonly secured?: Pick<KafkaConfig, "tls" | "sasl">;
}

/** A log on new topics. */
export async function openTestLog(address: string, options: TestLogOptions = {}): Promise<TestLog> {
  const {
    partitions = PARTITIONS,
    replication = 1,
    minInsyncReplicas = 1,
    compression,
    secured = {},
  } = options;
  const config: KafkaConfig = {
    brokers: address.split(","),
    clientId: "adtally-test",
    topicPrefix: `test-${systemRandom(5).toString("hex")}.`,
    ...(compression !== undefined && { compression }),
    ...secured,
  };
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const wants = { partitions, replication, minInsyncReplicas, retentionMs: limits.logRetentionMs };
  await ensureTopics({ config, wants, limits, logger: silentLogger });
  const open = () => openKafkaLog({ config, limits, clock: systemClock, logger: silentLogger });
  const kafka = new kafkajs.Kafka({
    brokers: [...config.brokers],
    ...(secured.tls !== undefined && { ssl: secured.tls }),
    ...(secured.sasl !== undefined && { sasl: secured.sasl }),
    retry: { retries: 1 },
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  const test: TestLog = {
    config,
    admin,
    log: open(),
    async reopen() {
      await test.log.close();
      test.log = open();
    },
    async close() {
      await test.log.close();
      // A broker that starts again takes up every partition that it has.
      const topics = CLICK_TOPICS.map((topic) => topicName(config.topicPrefix, topic));
      await admin.deleteTopics({ topics }).catch(() => undefined);
      await admin.disconnect();
    },
  };
  return test;
}

const PRODUCE_KEY = 0;

/** Whether a chunk that a client sends begins with a produce request. */
export function isProduceRequest(chunk: Buffer): boolean {
  return chunk.length > 8 && chunk.readInt16BE(4) === PRODUCE_KEY;
}

export async function dropBefore(
  test: TestLog,
  topic: ClickTopic,
  partition: number,
  offset: number,
): Promise<void> {
  const name = topicName(test.config.topicPrefix, topic);
  // kafkajs deletes records of topics alone whose metadata something else has loaded.
  await test.admin.fetchTopicOffsets(name);
  await test.admin.deleteTopicRecords({ topic: name, partitions: [{ partition, offset: String(offset) }] });
}

interface BatchPlace {
  /** Where the record batch begins in the segment file, and where it ends. */
  readonly batch: number;
  readonly end: number;
}

/** Flips the lowest bit of one byte of the record at `offset`, in the segment file of a broker that runs. */
export async function flipBitOnDisk(
  dataDir: string,
  topic: string,
  partition: number,
  offset: number,
  byteAt: (place: BatchPlace) => number = ({ end }) => end - 3,
): Promise<void> {
  const file = path.join(dataDir, `${topic}-${partition}`, "00000000000000000000.log");
  const bytes = await readFile(file);
  // A record batch: base offset (8 bytes), length of what follows (4), the rest.
  for (let batch = 0; batch < bytes.length; batch += 12 + bytes.readInt32BE(batch + 8)) {
    if (Number(bytes.readBigInt64BE(batch)) !== offset) continue;
    const at = byteAt({ batch, end: batch + 12 + bytes.readInt32BE(batch + 8) });
    const handle = await open(file, "r+");
    await handle.write(Buffer.of(bytes[at]! ^ 1), 0, 1, at);
    await handle.close();
    return;
  }
  throw new Error(`no record at offset ${offset} in ${file}`);
}

export interface TestCluster {
  readonly address: string;
  /** Node 1 is the controller too: it is not for killing. */
  readonly nodes: readonly KafkaServer[];
  close(): Promise<void>;
}

export async function startCluster(count: number): Promise<TestCluster> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-kafka-"));
  const properties = {
    "broker.session.timeout.ms": "2000",
    // A leader notices a follower that is gone by this, and shrinks its in-sync replicas.
    "replica.lag.time.max.ms": "2000",
  };
  const first = await startKafka({ dir: path.join(dir, "1"), properties });
  const nodes = [first];
  for (let nodeId = 2; nodeId <= count; nodeId++) {
    const { controllerPort } = first;
    nodes.push(await startKafka({ dir: path.join(dir, String(nodeId)), nodeId, controllerPort, properties }));
  }
  return {
    address: nodes.map((node) => node.address).join(","),
    nodes,
    async close() {
      for (const node of nodes) await node.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export interface Tried {
  readonly block: Block;
  /** Where the log said it is, for each time that it said so. */
  readonly acked: number[];
  /** How often it said that it might have it. */
  unknown: number;
  refused: number;
}

/**
 * Appends blocks to one partition as a shard does, one at a time, each until it is acknowledged,
 * while `goesOn` says so.
 */
export async function appendThrough(
  test: TestLog,
  partition: number,
  goesOn: () => boolean,
  tried: Tried[] = [],
): Promise<Tried[]> {
  const log = test.log.topic("clicks");
  while (goesOn()) {
    const block = sampleBlock(partition * 1_000_000 + tried.length + 1);
    const now: Tried = { block, acked: [], unknown: 0, refused: 0 };
    tried.push(now);
    while (now.acked.length === 0) {
      try {
        now.acked.push(await log.append(partition, block));
      } catch (error) {
        if (isAdtallyError(error, "APPEND_UNKNOWN")) now.unknown += 1;
        else if (isAdtallyError(error, "LOG_UNAVAILABLE")) now.refused += 1;
        else throw error;
        await sleep(systemClock, 50);
      }
    }
    await sleep(systemClock, 5);
  }
  return tried;
}

/** L1, L3: acked is there, at its offset; there as often as told, and unknown at the most once more each. */
export async function expectKept(test: TestLog, partition: number, tried: readonly Tried[]): Promise<void> {
  const records = await readAll(test.log.topic("clicks"), partition);
  const copies = new Map<number, number>();
  for (const { header } of records) copies.set(header.sequence, (copies.get(header.sequence) ?? 0) + 1);
  for (const { block, acked, unknown } of tried) {
    for (const offset of acked) expectRecord(records[offset], offset, block);
    const found = copies.get(block.header.sequence) ?? 0;
    expect(found).toBeGreaterThanOrEqual(acked.length);
    expect(found).toBeLessThanOrEqual(acked.length + unknown);
    copies.delete(block.header.sequence);
  }
  expect([...copies.keys()]).toEqual([]);
}

/** A second program on the same topics. */
export function openAgain({ config }: TestLog): KafkaLog {
  return openKafkaLog({ config, limits: DEFAULT_LIMITS, clock: systemClock, logger: silentLogger });
}
