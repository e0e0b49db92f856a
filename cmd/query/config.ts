/** What the query service can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import { optional, withDefault, type ConfigOf } from "../config/setting.ts";
import { path, port } from "../config/kinds.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkClickHouse, checkKafka, checkSharedState } from "../lib/connections.ts";
import { checkRetention } from "../lib/retention.ts";

const settings = {
  ...all.programSettings,
  ...all.retentionSettings,
  ...all.apiSettings,
  httpPort: withDefault(all.apiSettings.httpPort, 8081),
  ...all.querySettings,
  grpcPort: optional(port, "gRPC for reports and live counts; none where unset"),
  dataDir: optional(path, "folder of a replica of the catalogue: with it an ad's report reads less"),
  ...all.tlsSettings,
  ...all.publicTlsSettings,
  ...all.sharedStateSettings,
  ...all.kafkaSettings,
  ...all.clickhouseSettings,
};

export type QueryConfig = ConfigOf<typeof settings>;

export const querySpec: ProgramSpec<typeof settings> = {
  name: "query",
  description:
    "The query service: reports, what became of a click, the dead letters. It only reads ClickHouse.",
  settings,
  check: (config) => [
    ...checkRetention(config),
    ...checkSharedState(config),
    ...checkKafka(config),
    ...checkClickHouse(config),
    ...checkCertificates(config),
  ],
};
