/** What the raw ingester can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import { path } from "../config/kinds.ts";
import { optional, type ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkClickHouse, checkKafka, checkSharedState } from "../lib/connections.ts";
import { checkRetention } from "../lib/retention.ts";

const settings = {
  ...all.programSettings,
  ...all.retentionSettings,
  ...all.adminSettings,
  dataDir: optional(
    path,
    "folder of a replica of the catalogue, made again where it is lost: with it the ads are copied into ClickHouse, too",
  ),
  ...all.sharedStateSettings,
  ...all.kafkaSettings,
  ...all.clickhouseSettings,
  ...all.clickhouseTopologySettings,
};

export type IngestConfig = ConfigOf<typeof settings>;

export const ingestSpec: ProgramSpec<typeof settings> = {
  name: "ingest",
  description:
    "Carries the click log into ClickHouse's raw table, for servers that have no Kafka table engine,\n" +
    "and rolls minutes up into hours, for reports over long times.\n" +
    "One of them is enough; two at once cost time and count nothing twice.",
  settings,
  check: (config) => [
    ...checkRetention(config),
    ...checkSharedState(config),
    ...checkKafka(config),
    ...checkClickHouse(config),
    ...checkCertificates(config),
  ],
};
