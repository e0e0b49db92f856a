/**
 * How soon a gateway with many ads is ready: on its very first start, which reads the whole topic;
 * after kill -9, which reads what is new; and after kill -9 with the broker gone.
 *
 *   node loadtest/gateway-restart.ts [--ads 1000000]
 *
 * Each time from the start of the process to the line that says it is ready. A real broker.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureKeyedTopics } from "../actors/adapters/kafka/ensure-keyed-topics.ts";
import { openKafkaLog } from "../actors/adapters/kafka/kafka-log.ts";
import { claimRecord } from "../actors/catalogue/ad-records.ts";
import { DEFAULT_LIMITS as limits } from "../actors/core/limits.ts";
import { systemClock as clock, systemRandom } from "../actors/runtime/clock.ts";
import { silentLogger as logger } from "../actors/runtime/log.ts";
import { runToEnd, startProgram } from "../cmd/lib/program.fixture.ts";
import { startKafka } from "../testing/servers/kafka.ts";

const { values: flags } = parseArgs({ options: { ads: { type: "string", default: "1000000" } } });
const ads = Number(flags.ads);
const ADS_AN_APPEND = 4_000;
const READY_MS = 300_000;

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(44)}${value}\n`);

async function fill(brokers: readonly string[]): Promise<void> {
  const config = { brokers: [...brokers], clientId: "gateway-restart", topicPrefix: "" };
  await ensureKeyedTopics({ config, wants: { replication: 1, minInsyncReplicas: 1 }, limits, logger });
  const log = openKafkaLog({ config, limits, clock, logger });
  const topic = log.keyed("ads");
  for (let at = 0; at < ads; at += ADS_AN_APPEND) {
    const count = Math.min(ADS_AN_APPEND, ads - at);
    const records = Array.from({ length: count }, (_, n) => {
      const number = at + n + 1;
      const destinationUrl = `https://shop-${number % 5_000}.example/products/${number}?utm_source=adtally`;
      const adId = BigInt(number);
      const ad = {
        adId,
        campaignId: adId / 20n,
        advertiserId: adId / 1_000n,
        destinationUrl,
        title: `Ad ${number}`,
      };
      return claimRecord(ad, systemRandom);
    });
    await topic.append(records);
  }
  await log.close();
}

const dir = await mkdtemp(join(tmpdir(), "adtally-restart-"));
const broker = await startKafka({ dir: join(dir, "kafka") });
try {
  const settings = join(dir, "adtally.yaml");
  const lines = {
    state_dir: join(dir, "state"),
    kafka_brokers: [broker.address],
    kafka_replication: 1,
    kafka_min_insync: 1,
    token_keys_file: join(dir, "token-keys.json"),
    data_dir: join(dir, "gateway"),
    admin_key: "admin-key-of-this-run",
    log_level: "info",
  };
  await writeFile(settings, JSON.stringify(lines));
  const setUp: [string, (string | number)[]][] = [
    ["token-keys", ["--config", settings]],
    ["assign", ["--config", settings, "--hosts", "actor-0=127.0.0.1:9", "--shards", 4]],
  ];
  for (const [name, args] of setUp) {
    const { code, output } = await runToEnd(name, args);
    if (code !== 0) throw new Error(`${name}: ${output}`);
  }
  await fill([broker.address]);
  print("ads in the topic", ads.toLocaleString("en"));

  const measure = async (what: string): Promise<void> => {
    const startedAt = performance.now();
    const gateway = startProgram("gateway", ["--config", settings, "--http-port", 0, "--grpc-port", 0]);
    for (;;) {
      const outcome = await gateway.line("ready").catch((error: unknown) => error);
      if (!(outcome instanceof Error)) break;
      if (performance.now() - startedAt > READY_MS) throw outcome;
    }
    print(what, `${Math.round(performance.now() - startedAt).toLocaleString("en")} ms`);
    gateway.signal("SIGKILL");
    await gateway.ended;
  };
  await measure("first start: all of the topic");
  await measure("after kill -9: what is new");
  await broker.kill();
  await measure("after kill -9, the broker gone: its copy");
} finally {
  await broker.kill();
  await rm(dir, { recursive: true, force: true });
}
