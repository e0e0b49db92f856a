/**
 * The same job in Kafka Streams, on a broker as adtally's cluster has it: ids of two hours in
 * RocksDB with a changelog, counts by ad and minute, the counts to a topic. It has less to do than
 * adtally: no tokens to verify, no gateway between, no ClickHouse behind.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import kafkajs from "kafkajs";
import { startKafka } from "../../testing/servers/kafka.ts";
import { startProcess } from "../../testing/servers/process.ts";
import { cpuUsOf } from "../lib/processes.ts";
import { sleep, until } from "../lib/wait.ts";
import { installPeer } from "./install.ts";

const { Kafka, logLevel } = kafkajs;
const INPUT = "peer-clicks";
const OUTPUT = "peer-counts";
const PARTITIONS = 4;
const THREADS = 2;
const READY_MS = 60_000;
const DRAIN_DEADLINE_MS = 600_000;
const POLL_MS = 100;

export interface PeerRun {
  readonly dir: string;
  readonly clicks: number;
  readonly warmUpClicks: number;
  readonly ads: number;
  readonly repeats: number;
  readonly guarantee: "exactly_once_v2" | "at_least_once";
}

export interface PeerFigures {
  readonly sent: number;
  readonly acked: number;
  readonly distinct: number;
  readonly counted: number;
  readonly ackedMs: number;
  readonly countedMs: number;
  readonly cpuUs: { readonly streams: number; readonly broker: number };
}

interface Produced {
  readonly sent: number;
  readonly acked: number;
  readonly distinct: number;
  readonly ms: number;
}

export async function runKafkaStreams(run: PeerRun): Promise<PeerFigures> {
  const classPath = await installPeer();
  const broker = await startKafka({ dir: join(run.dir, "broker"), heapMegabytes: 512, compiled: true });
  const kafka = new Kafka({ clientId: "peer", brokers: [broker.address], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  const java = (heap: string, main: string, ...args: (string | number)[]) => [
    ...[`-Xmx${heap}`, "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"],
    ...["-cp", classPath, `adtally.peer.${main}`, ...args.map(String)],
  ];
  try {
    await admin.connect();
    await admin.createTopics({
      topics: [INPUT, OUTPUT].map((topic) => ({ topic, numPartitions: PARTITIONS, replicationFactor: 1 })),
    });
    const streams = await startProcess({
      name: "the Kafka Streams peer",
      command: "java",
      args: java(
        "1g",
        "Count",
        broker.address,
        INPUT,
        OUTPUT,
        join(run.dir, "state"),
        run.guarantee,
        THREADS,
      ),
      isReady: (output) => output.some((line) => line.includes("peer running")),
      readyMs: READY_MS,
    });
    try {
      const produce = async (clicks: number, seed: number): Promise<Produced> => {
        const args = java("512m", "Produce", broker.address, INPUT, clicks, run.ads, run.repeats, seed);
        const child = spawn("java", args, { stdio: ["ignore", "pipe", "inherit"] });
        let text = "";
        child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
        const [code] = (await once(child, "close")) as [number | null];
        if (code !== 0) throw new Error(`the peer's producer ended with ${code}`);
        return JSON.parse(text) as Produced;
      };
      const drained = () => until("the peer's counts", DRAIN_DEADLINE_MS, () => isDrained(admin), POLL_MS);
      const warm = await produce(run.warmUpClicks, 1);
      await drained();
      const before = { streams: await cpuUsOf(streams.pid), broker: await cpuUsOf(broker.pid) };
      const startedAt = performance.now();
      const sent = await produce(run.clicks, 2);
      const ackedMs = performance.now() - startedAt;
      await drained();
      const countedMs = performance.now() - startedAt;
      const cpuUs = {
        streams: (await cpuUsOf(streams.pid)) - before.streams,
        broker: (await cpuUsOf(broker.pid)) - before.broker,
      };
      const counted = (await readCounts(kafka)) - warm.distinct;
      return { ...sent, counted, ackedMs, countedMs, cpuUs };
    } finally {
      await streams.stop();
    }
  } finally {
    await admin.disconnect();
    await broker.kill();
  }
}

/** True once the application has committed all of its input; its counts are written by then. */
async function isDrained(admin: kafkajs.Admin): Promise<true | undefined> {
  const ends = await admin.fetchTopicOffsets(INPUT);
  const [committed] = await admin.fetchOffsets({ groupId: "peer", topics: [INPUT] });
  const read = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  return ends.every(({ partition, high }) => (read.get(partition) ?? -1) >= Number(high)) ? true : undefined;
}

/** The sum of the last count of each ad and minute. */
async function readCounts(kafka: kafkajs.Kafka): Promise<number> {
  const consumer = kafka.consumer({ groupId: "peer-reader", maxWaitTimeInMs: 100 });
  const last = new Map<string, number>();
  let heardAt = performance.now();
  await consumer.connect();
  await consumer.subscribe({ topic: OUTPUT, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: ({ batch }) => {
      for (const { key, value } of batch.messages) {
        last.set(key!.toString("latin1"), Number(value!.readBigInt64BE()));
      }
      heardAt = performance.now();
      return Promise.resolve();
    },
  });
  while (performance.now() - heardAt < 5_000) await sleep(POLL_MS);
  await consumer.disconnect();
  return [...last.values()].reduce((sum, count) => sum + count, 0);
}
