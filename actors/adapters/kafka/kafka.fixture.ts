/** A real broker behind a proxy that fails on demand, and click logs on topics of their own. */
import { open, readFile } from "node:fs/promises";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Kafka, logLevel, type Admin } from "kafkajs";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import type { ClickTopic } from "../../ports/click-log.ts";
import { systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { kafkaLacks } from "../../../testing/servers/kafka-install.ts";
import { startKafka, type KafkaServer } from "../../../testing/servers/kafka.ts";
import { freePorts } from "../../../testing/servers/process.ts";
import { startTcpProxy, type TcpProxy } from "../../../testing/tcp-proxy.ts";
import type { KafkaConfig } from "./config.ts";
import { ensureTopics } from "./ensure-topics.ts";
import { openKafkaLog, type KafkaLog } from "./kafka-log.ts";
import { topicName } from "./topics.ts";

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
}

/** A log on new topics. */
export async function openTestLog(address: string, options: TestLogOptions = {}): Promise<TestLog> {
  const { partitions = PARTITIONS, replication = 1, minInsyncReplicas = 1, compression } = options;
  const config: KafkaConfig = {
    brokers: address.split(","),
    clientId: "adtally-test",
    topicPrefix: `test-${systemRandom(5).toString("hex")}.`,
    ...(compression !== undefined && { compression }),
  };
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const wants = { partitions, replication, minInsyncReplicas, retentionMs: limits.logRetentionMs };
  await ensureTopics({ config, wants, limits, logger: silentLogger });
  const open = () => openKafkaLog({ config, limits, clock: systemClock, logger: silentLogger });
  const kafka = new Kafka({ brokers: [...config.brokers], logLevel: logLevel.NOTHING });
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

/** Flips one bit of the record at `offset`, in the segment file of a broker that runs. */
export async function flipBitOnDisk(
  dataDir: string,
  topic: string,
  partition: number,
  offset: number,
  fromEnd = 3,
): Promise<void> {
  const file = path.join(dataDir, `${topic}-${partition}`, "00000000000000000000.log");
  const bytes = await readFile(file);
  // A record batch: base offset (8 bytes), length of what follows (4), the rest.
  for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
    if (Number(bytes.readBigInt64BE(at)) !== offset) continue;
    const place = at + 12 + bytes.readInt32BE(at + 8) - fromEnd;
    const handle = await open(file, "r+");
    await handle.write(Buffer.of(bytes[place]! ^ 1), 0, 1, place);
    await handle.close();
    return;
  }
  throw new Error(`no record at offset ${offset} in ${file}`);
}
