/** What a gateway can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import type { ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkKafka, checkSharedState } from "../lib/connections.ts";
import { checkRetention } from "../lib/retention.ts";

const settings = {
  ...all.programSettings,
  ...all.retentionSettings,
  ...all.apiSettings,
  ...all.gatewaySettings,
  ...all.dataSettings,
  ...all.tlsSettings,
  ...all.publicTlsSettings,
  ...all.sharedStateSettings,
  ...all.kafkaSettings,
  ...all.kafkaTopicSettings,
};

export type GatewayConfig = ConfigOf<typeof settings>;

export const gatewaySpec: ProgramSpec<typeof settings> = {
  name: "gateway",
  description:
    "A gateway: takes clicks over HTTP and gRPC, issues impressions, keeps ads and API keys. What an actor\n" +
    "host does not take in time goes to the spill topic, and to this gateway's disk where that fails.",
  settings,
  check: (config) => [
    ...checkRetention(config),
    ...checkSharedState(config),
    ...checkKafka(config),
    ...checkCertificates(config),
  ],
};
