/** What a cluster's programs share besides their servers: token keys, the admin's key, settings. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { stringify } from "yaml";
import { systemRandom } from "../../actors/runtime/clock.ts";
import { formatKeyFile, generateKeys } from "../../actors/token/keys.ts";
import { withChecksum, writeWhole } from "../lib/checked-file.ts";
import { loadAdminKey } from "../local/files.ts";
import type { Folders, Ports } from "./places.ts";
import type { Secured } from "./secure.ts";

/** A cluster on one machine has one broker. */
const REPLICATION = 1;

export interface SharedFiles {
  readonly adminKey: string;
  readonly redisUrl: string;
  readonly clickhouseUrl: string;
}

export interface SettingsWanted {
  /** Undefined: the folder's own, made at the first start. */
  readonly adminKey: string | undefined;
  readonly partitions: number;
  readonly publishIn: "files" | "redis";
  readonly secured: Secured | undefined;
  readonly openReports: boolean;
  readonly logLevel: string;
}

/** Makes what is missing; the settings are written at each start, as ports may have changed. */
export async function prepareFiles(
  folders: Folders,
  ports: Ports,
  wanted: SettingsWanted,
): Promise<SharedFiles> {
  for (const folder of [folders.root, folders.logs, folders.state, folders.redis]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  const tokenKeysFile = path.join(folders.root, "token-keys.json");
  if (!existsSync(tokenKeysFile)) {
    await writeWhole(tokenKeysFile, withChecksum(formatKeyFile(generateKeys(systemRandom))));
  }
  const adminKey = wanted.adminKey ?? (await loadAdminKey(folders.root, systemRandom)).key;
  const redisUrl = `${wanted.secured === undefined ? "redis" : "rediss"}://127.0.0.1:${ports.redis}`;
  const clickhouseUrl = `http://127.0.0.1:${ports.engine}`;
  const settings = {
    host: "127.0.0.1",
    log_level: wanted.logLevel,
    ...(wanted.publishIn === "files" && { state_dir: folders.state }),
    redis_url: redisUrl,
    kafka_brokers: [`127.0.0.1:${ports.broker}`],
    kafka_partitions: wanted.partitions,
    kafka_replication: REPLICATION,
    kafka_min_insync: REPLICATION,
    clickhouse_url: clickhouseUrl,
    token_keys_file: tokenKeysFile,
    open_reports: wanted.openReports,
    admin_key: adminKey,
    ...wanted.secured?.settings,
  };
  const text = `# Written at each start of the cluster; programs take it by --config.\n${stringify(settings)}`;
  await writeFile(folders.settings, text, { mode: 0o600 });
  return { adminKey, redisUrl, clickhouseUrl };
}
