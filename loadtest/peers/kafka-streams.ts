/**
 * The same clicks through Kafka Streams, on a broker as adtally's has it in the same comparison:
 * ids of two hours in RocksDB with a changelog, counts by ad and minute.
 *
 * As "bare" that is all, with the counts in a topic: no tokens are checked, nothing goes to
 * ClickHouse. As "same-job" it checks each token's MAC and age, looks up whose the ad is, gives each
 * click a verdict, and brings counts and raw rows into the same engine's tables. In either a producer
 * writes the clicks to the broker itself: there is no gateway that would answer a user.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import kafkajs from "kafkajs";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";
import { startKafka } from "../../testing/servers/kafka.ts";
import { startProcess } from "../../testing/servers/process.ts";
import { USER_AGENT } from "../lib/clicks.ts";
import { coresOfOthers, cpuUsOf, machineCpuUs } from "../lib/processes.ts";
import { countedClicks, rawClicks, rawRows } from "../lib/scene.ts";
import { sleep, until } from "../lib/wait.ts";
import { writeClickFile } from "./click-file.ts";
import { installPeer } from "./install.ts";
import { startProducer } from "./producer.ts";

const { Kafka, logLevel } = kafkajs;
const INPUT = "peer-clicks";
const COUNTS = "peer-counts";
const RAW = "peer-raw";
const PARTITIONS = 4;
const THREADS = 2;
const READY_MS = 60_000;
const DRAIN_DEADLINE_MS = 200_000;
const POLL_MS = 100;

export interface PeerRun {
  readonly dir: string;
  readonly job: "bare" | "same-job";
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
  readonly cpuUs: {
    readonly streams: number;
    readonly engine: number;
    readonly broker: number;
    readonly producer: number;
  };
  /** Cores that other processes, or the host, held meanwhile. */
  readonly others: number;
}

/** Where the counts are to be read, and how it is known that all are there. */
interface Counts {
  drained(clicks: number, distinct: number): Promise<unknown>;
  read(): Promise<number>;
}

export async function runKafkaStreams(run: PeerRun): Promise<PeerFigures> {
  const { dir, job, ads, repeats } = run;
  const classPath = await installPeer();
  await mkdir(dir, { recursive: true });
  const stretches = [run.warmUpClicks, run.clicks];
  const file = await writeClickFile({ dir, stretches, ads, repeats, seed: 1 });
  const [warmDistinct = 0, distinct = 0] = file.distinct;
  const broker = await startKafka({ dir: join(dir, "broker"), heapMegabytes: 512, compiled: true });
  const kafka = new Kafka({ clientId: "peer", brokers: [broker.address], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  const engine = job === "same-job" ? await openEngineFixture() : undefined;
  const java = (heap: string, main: string, ...args: (string | number)[]) => [
    ...[`-Xms${heap}`, `-Xmx${heap}`, "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"],
    ...["-cp", classPath, `adtally.peer.${main}`, ...args.map(String)],
  ];
  try {
    await admin.connect();
    await admin.createTopics({
      topics: [INPUT, COUNTS, RAW].map((topic) => ({
        topic,
        numPartitions: PARTITIONS,
        replicationFactor: 1,
      })),
    });
    const { address } = broker;
    const told = [job, address, INPUT, COUNTS, join(dir, "state"), run.guarantee, THREADS];
    const sinks = engine === undefined ? [] : [RAW, file.tokenKey, file.ads, engine.engine.url];
    const streams = await startProcess({
      name: "the Kafka Streams peer",
      command: "java",
      args: java("2g", "Count", ...told, ...sinks),
      isReady: (output) => output.some((line) => line.includes("peer running")),
      readyMs: READY_MS,
    });
    const producing = java("1g", "Produce", address, INPUT, file.clicks, USER_AGENT.toString("ascii"));
    const producer = await startProducer(producing);
    const counts = engine === undefined ? inTopic(kafka, admin) : inClickHouse(engine);
    const cpu = async () => ({
      streams: await cpuUsOf(streams.pid),
      engine: await cpuUsOf(engine?.engine.pid() ?? -1),
      broker: await cpuUsOf(broker.pid),
      producer: await cpuUsOf(producer.pid),
    });
    try {
      await producer.send(run.warmUpClicks);
      await counts.drained(run.warmUpClicks, warmDistinct);
      const before = await cpu();
      const machineBefore = await machineCpuUs();
      const startedAt = performance.now();
      const sent = await producer.send(run.clicks);
      const ackedMs = performance.now() - startedAt;
      await counts.drained(run.warmUpClicks + run.clicks, warmDistinct + distinct);
      const countedMs = performance.now() - startedAt;
      const after = await cpu();
      const machineAfter = await machineCpuUs();
      const counted = (await counts.read()) - warmDistinct;
      const used = (of: keyof typeof after) => after[of] - before[of];
      const cpuUs = {
        streams: used("streams"),
        engine: used("engine"),
        broker: used("broker"),
        producer: used("producer"),
      };
      const ownUs = Object.values(cpuUs).reduce((sum, us) => sum + us, 0);
      const others = coresOfOthers(machineBefore, machineAfter, ownUs, countedMs);
      return { ...sent, distinct, counted, ackedMs, countedMs, cpuUs, others };
    } finally {
      await producer.stop();
      await streams.stop();
    }
  } finally {
    await admin.disconnect();
    await engine?.close();
    await broker.kill();
  }
}

/** By the same questions as stream-clicks-cluster.ts asks. */
function inClickHouse({ clickhouse }: EngineFixture): Counts {
  const atLeast = (what: string, wanted: number, read: () => Promise<number>) =>
    until(
      `the peer's ${what}`,
      DRAIN_DEADLINE_MS,
      async () => ((await read()) >= wanted ? true : undefined),
      POLL_MS,
    );
  return {
    async drained(clicks, distinct) {
      await atLeast("counts", distinct, () => countedClicks(clickhouse));
      await atLeast("raw rows", clicks, () => rawRows(clickhouse));
    },
    async read() {
      const [counted, raw] = [await countedClicks(clickhouse), await rawClicks(clickhouse)];
      if (counted !== raw) throw new Error(`the peer counted ${counted}, its raw rows say ${raw}`);
      return counted;
    },
  };
}

function inTopic(kafka: kafkajs.Kafka, admin: kafkajs.Admin): Counts {
  return {
    drained: () => until("the peer's counts", DRAIN_DEADLINE_MS, () => isDrained(admin), POLL_MS),
    read: () => readCounts(kafka),
  };
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
  await consumer.subscribe({ topic: COUNTS, fromBeginning: true });
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
