/** What an actor host can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import { withDefault, type ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkClickHouse, checkKafka, checkSharedState } from "../lib/connections.ts";
import { checkRetention } from "../lib/retention.ts";

const settings = {
  ...all.programSettings,
  ...all.retentionSettings,
  ...all.adminSettings,
  grpcPort: withDefault(all.gatewaySettings.grpcPort, 7070),
  ...all.dataSettings,
  ...all.tlsSettings,
  ...all.sharedStateSettings,
  ...all.kafkaSettings,
  ...all.kafkaTopicSettings,
  ...all.kafkaExtendSettings,
  ...all.clickhouseSettings,
  ...all.clickhouseTopologySettings,
};

export type ActorConfig = ConfigOf<typeof settings>;

export const actorSpec: ProgramSpec<typeof settings> = {
  name: "actor",
  description:
    "An actor host: runs the shards that the assignment gives it (by --host-name), each on its partition\n" +
    "of the click log. Gateways reach it by gRPC at the address that the assignment names.",
  settings,
  check: (config) => {
    const { kafkaMinInsync, kafkaReplication } = config;
    const tooMany = `--kafka-min-insync ${kafkaMinInsync} is above --kafka-replication ${kafkaReplication}: no append could succeed`;
    return [
      ...checkRetention(config),
      ...checkSharedState(config),
      ...checkKafka(config),
      ...checkClickHouse(config),
      ...checkCertificates(config),
      ...(kafkaMinInsync > kafkaReplication ? [tooMany] : []),
    ];
  },
};
