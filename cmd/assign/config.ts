/** What the publisher of assignment and routing table can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import type { ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";
import { checkSharedState } from "../lib/connections.ts";
import { checkRetention } from "../lib/retention.ts";

const settings = {
  ...all.assignSettings,
  ...all.retentionSettings,
  ...all.sharedStateSettings,
  hostName: all.programSettings.hostName,
  logLevel: { ...all.programSettings.logLevel, fallback: "warn" as const },
  drainNoticeMs: all.programSettings.drainNoticeMs,
};

export type AssignConfig = ConfigOf<typeof settings>;

export const assignSpec: ProgramSpec<typeof settings> = {
  name: "assign",
  description:
    "Publishes which actor host owns which shard, and the routing table. Run it again with other hosts to\n" +
    "move shards, with another --shards or --splits to add a routing generation; the same again changes nothing.",
  settings,
  check: (config) => [...checkRetention(config), ...checkSharedState(config), ...checkCertificates(config)],
};
