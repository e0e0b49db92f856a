/** What the operator can be told. */
import type { ProgramSpec } from "../config/command-line.ts";
import type { ConfigOf } from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { checkCertificates } from "../lib/certificates.ts";

const settings = {
  ...all.programSettings,
  ...all.adminSettings,
  ...all.tlsSettings,
  ...all.operatorSettings,
};

export type OperatorConfig = ConfigOf<typeof settings>;

export const operatorSpec: ProgramSpec<typeof settings> = {
  name: "operator",
  description:
    "Makes of each ClickCluster a running adtally, and keeps it so: workloads, routing generations, the\n" +
    "assignment of shards, splits of hot ads, rollouts and drains. Several may run: one acts, by a Lease.\n" +
    "Clicks are counted while none of them runs.",
  settings,
  check: (config) => checkCertificates(config),
};
