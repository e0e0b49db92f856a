/**
 * Durable appends to the click log by adapter, and reading them back; ARCHITECTURE.md rests on it.
 *
 *   node loadtest/bench/log.ts [--log embedded|kafka] [--compare] [--seconds 1.5] [--json]
 *
 * With --compare also what the adapter was chosen against: RocksDB with a sync, and over Kafka the
 * clients of kafkajs and of @platformatic/kafka. Kafka is one broker on this machine, acks of all.
 * "stall" is the event loop's delay at its 1 ms timer while appends run. Rows are of 150 bytes.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureTopics } from "../../actors/adapters/kafka/ensure-topics.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { startKafka } from "../../testing/servers/kafka.ts";
import { printLines, type Line } from "../lib/report.ts";
import { openEmbedded, openKafka, openRocksDb } from "./log/adapters.ts";
import { measureLog, type LogUnderTest } from "./log/measure.ts";
import { openKafkajs, openPlatformatic } from "./log/other-clients.ts";

const { values: flags } = parseArgs({
  options: {
    log: { type: "string", default: "embedded" },
    compare: { type: "boolean", default: false },
    seconds: { type: "string", default: "1.5" },
    json: { type: "boolean", default: false },
  },
});
const ROWS_A_BLOCK = [1, 100, 5_000];
const PARTITIONS = [1, 4, 16];

type Opener = readonly [name: string, open: () => Promise<LogUnderTest>];

async function measureAll(openers: readonly Opener[], brokerPid?: number): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const rowsABlock of ROWS_A_BLOCK) {
    for (const partitions of PARTITIONS) {
      for (const [name, open] of openers) {
        const log = await open();
        try {
          const load = { partitions, rowsABlock, ms: Number(flags.seconds) * 1_000, brokerPid };
          const test = `log: ${name}, ${partitions} × ${rowsABlock.toLocaleString("en")} rows`;
          lines.push({ test, figures: await measureLog(log, load) });
        } finally {
          await log.close();
        }
      }
    }
  }
  return lines;
}

async function measureKafka(): Promise<readonly Line[]> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-bench-kafka-"));
  const broker = await startKafka({ dir, heapMegabytes: 512 });
  try {
    // Topics of its own for each run: all of them read from offset 0.
    const onFreshTopics =
      (open: (address: string, topicPrefix: string) => Promise<LogUnderTest>) => async () => {
        const topicPrefix = `bench-${systemRandom(4).toString("hex")}.`;
        await ensureTopics({
          config: { brokers: [broker.address], clientId: "bench", topicPrefix },
          wants: {
            partitions: Math.max(...PARTITIONS),
            replication: 1,
            minInsyncReplicas: 1,
            retentionMs: DEFAULT_LIMITS.logRetentionMs,
          },
          limits: DEFAULT_LIMITS,
          logger: silentLogger,
        });
        return open(broker.address, topicPrefix);
      };
    const others: readonly Opener[] = [
      ["Kafka by kafkajs", onFreshTopics(openKafkajs)],
      ["Kafka by @platformatic/kafka", onFreshTopics(openPlatformatic)],
    ];
    const own: Opener = ["Kafka", onFreshTopics(openKafka)];
    return await measureAll([own, ...(flags.compare ? others : [])], broker.pid);
  } finally {
    await broker.kill();
    await rm(dir, { recursive: true, force: true });
  }
}

const measureEmbedded = () => {
  const own: Opener = ["embedded", openEmbedded];
  return measureAll(flags.compare ? [own, ["RocksDB with a sync", openRocksDb]] : [own]);
};

printLines(await (flags.log === "kafka" ? measureKafka() : measureEmbedded()), flags.json);
