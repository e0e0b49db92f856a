/** What the command that sets ClickHouse up can be told. */
import { LEAST_COUNT_DAYS } from "../../actors/adapters/clickhouse/schema.ts";
import type { ProgramSpec } from "../config/command-line.ts";
import type { ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkClickHouse } from "../lib/connections.ts";

const settings = {
  ...all.clickhouseSettings,
  ...all.clickhouseTopologySettings,
  ...all.clickhouseSetupSettings,
  kafkaTopicPrefix: all.kafkaSettings.kafkaTopicPrefix,
  hostName: all.programSettings.hostName,
  logLevel: { ...all.programSettings.logLevel, fallback: "warn" as const },
  drainNoticeMs: all.programSettings.drainNoticeMs,
};

export type SetupConfig = ConfigOf<typeof settings>;

function checkSetup(config: SetupConfig): readonly string[] {
  const { rawRowsBy, clickhouseKafkaBrokers, clickhouseKafkaCollection } = config;
  const faults = [...checkClickHouse(config), ...checkCertificates(config)];
  if (
    rawRowsBy === "clickhouse" &&
    clickhouseKafkaBrokers === undefined &&
    clickhouseKafkaCollection === undefined
  )
    faults.push(
      "--raw-rows-by clickhouse needs --clickhouse-kafka-brokers, or --clickhouse-kafka-collection that names them",
    );
  if ((config.clickhouseReaderUser === undefined) !== (config.clickhouseReaderPassword === undefined))
    faults.push(
      "--clickhouse-reader-user and --clickhouse-reader-password go together: one of them is not set",
    );
  const kept = [
    ["--minute-retention-days", config.minuteRetentionDays],
    ["--hour-retention-days", config.hourRetentionDays],
  ] as const;
  for (const [flag, days] of kept)
    if (days !== undefined && days !== 0 && days < LEAST_COUNT_DAYS)
      faults.push(`${flag} ${days}: give ${LEAST_COUNT_DAYS} or more, or 0 for ever`);
  return faults;
}

export const setupSpec: ProgramSpec<typeof settings> = {
  name: "clickhouse-setup",
  description:
    "Makes ClickHouse's tables, the user that the query service reads as, and, where wanted, the Kafka\n" +
    "engine's tables that fill the raw table in place of the program ingest. The same again changes nothing.",
  settings,
  check: checkSetup,
};
