/** `node cmd/clickhouse-setup/main.ts --help`: sets ClickHouse up as configured, and ends. */
import { applyKafkaEngine } from "../../actors/adapters/clickhouse/kafka-engine.ts";
import { migrate } from "../../actors/adapters/clickhouse/migrations.ts";
import { applyReader } from "../../actors/adapters/clickhouse/reader.ts";
import { DEFAULT_RETENTION } from "../../actors/adapters/clickhouse/schema.ts";
import { topicName } from "../../actors/adapters/kafka/topics.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import { openClickHouse } from "../lib/connections.ts";
import { runProgram, type Program } from "../lib/program.ts";
import { setupSpec, type SetupConfig } from "./config.ts";

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function setUp(program: Program<SetupConfig>): Promise<void> {
  const { config } = program;
  const { clickhouse: certificates } = await openProgramCertificates(program);
  const clickhouse = openClickHouse(program, certificates);
  const { from, to } = await migrate(clickhouse, {
    ...DEFAULT_RETENTION,
    minuteDays: config.minuteRetentionDays,
    hourDays: config.hourRetentionDays,
  });
  say(from === to ? `tables: at version ${to}, as they were` : `tables: from version ${from} to ${to}`);

  const { clickhouseReaderUser: username, clickhouseReaderPassword: password } = config;
  if (username !== undefined && password !== undefined) {
    await applyReader(clickhouse, { username, password });
    say(`reading user: ${username}`);
  }

  const byEngine = config.rawRowsBy === "clickhouse";
  const namedCollection = config.clickhouseKafkaCollection;
  const { changed } = await applyKafkaEngine(
    clickhouse,
    byEngine
      ? {
          brokers: config.clickhouseKafkaBrokers ?? [],
          topic: topicName(config.kafkaTopicPrefix, "clicks"),
          consumers: config.clickhouseKafkaConsumers,
          ...(namedCollection !== undefined && { namedCollection }),
        }
      : undefined,
  );
  const who = byEngine ? "by ClickHouse's Kafka engine; do not run ingest" : "by the program ingest";
  say(`raw rows: ${who}${changed ? "" : ", as it was"}`);
}

await runProgram(setupSpec, async (program) => {
  await setUp(program);
  return undefined;
});
