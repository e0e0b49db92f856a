/**
 * What the command line can be told: flags, variables, a file; the stronger first. The settings and
 * their rules are those of the programs (cmd/config), so the file of a cluster will do as well.
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { readConfigFile, type ReadFile } from "../config/file.ts";
import { count, path as pathKind, text, url, urls } from "../config/kinds.ts";
import { resolve, type Resolved } from "../config/resolve.ts";
import { takeSecretFiles, withSecretFiles } from "../config/secrets.ts";
import {
  asSecret,
  fileKeyOf,
  optional,
  setting,
  type ConfigOf,
  type Setting,
  type Settings,
} from "../config/setting.ts";
import * as all from "../config/settings.ts";
import { usage } from "./failure.ts";

export const DEFAULT_URL = "http://127.0.0.1:8080";
const CONFIG_VARIABLE = "ADTALLY_CLI_CONFIG";
/** Where `npm start` and `npm run cluster` keep the key of the folder's admin. */
const KEY_FILES = [".adtally/admin-key", ".adtally-cluster/admin-key"];
const KEY = text(
  "<key>",
  /^[\u0021-\u007e]{8,256}$/,
  "must be 8 to 256 printable ASCII characters without spaces",
);

export const commonSettings = {
  url: setting(url("http", "https"), "a gateway; npm start", DEFAULT_URL),
  queryUrl: optional(url("http", "https"), "a query service; the gateway's URL where unset"),
  key: asSecret(optional(KEY, "API key; where unset the admin's, from ./.adtally/admin-key")),
  timeoutSeconds: setting(count("<s>", 1, 3_600), "how long an answer may take", 30),
  ca: optional(pathKind, "authority of the servers' certificates (PEM), besides those that Node knows"),
};

/** A setting that a program requires is one that doctor is told of, or not. */
function whereTold<S extends Settings>(settings: S): { [K in keyof S]: Setting<ConfigOf<S>[K] | undefined> } {
  const entries = Object.entries(settings).map(([name, each]) => [name, { ...each, isRequired: false }]);
  return Object.fromEntries(entries) as { [K in keyof S]: Setting<ConfigOf<S>[K] | undefined> };
}

export const doctorSettings = {
  actorUrls: optional(urls, "admin ports of actor hosts and ingesters: http://actor-0:7071,…"),
  ...whereTold(all.kafkaSettings),
  ...whereTold(all.clickhouseSettings),
  stateDir: all.sharedStateSettings.stateDir,
  redisUrl: all.sharedStateSettings.redisUrl,
  redisUser: all.sharedStateSettings.redisUser,
  redisPassword: all.sharedStateSettings.redisPassword,
  redisTlsCa: all.sharedStateSettings.redisTlsCa,
  redisTlsCert: all.sharedStateSettings.redisTlsCert,
  redisTlsKey: all.sharedStateSettings.redisTlsKey,
  redisPrefix: all.sharedStateSettings.redisPrefix,
};

const adminKey = { adminKey: all.apiSettings.adminKey };

export type CommonConfig = ConfigOf<typeof commonSettings> & { readonly queryUrl: string };
export type DoctorConfig = CommonConfig & ConfigOf<typeof doctorSettings>;

export interface Told {
  /** By the names of settings, as commander has them. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile?: (file: string) => string;
  readonly exists?: (file: string) => boolean;
  readonly home?: string;
}

const NO_FILE: ReadFile = { entries: new Map(), faults: [] };
const isLoopback = (address: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(new URL(address).hostname);

function configPath({ env, exists = existsSync, flags, home = homedir() }: Told): string | undefined {
  const named = flags["config"] ?? (env[CONFIG_VARIABLE] || undefined);
  if (typeof named === "string") return named;
  const folder = env["XDG_CONFIG_HOME"] || path.join(home, ".config");
  const usual = path.join(folder, "adtally", "config.yaml");
  return exists(usual) ? usual : undefined;
}

/** All faults at once. @throws Failure of usage */
export function readSettings(told: Told): DoctorConfig {
  const { env, exists = existsSync, readFile = (file) => readFileSync(file, "utf8") } = told;
  const settings = withSecretFiles({ ...commonSettings, ...doctorSettings, ...adminKey });
  const file = configPath(told);
  const read = file === undefined ? NO_FILE : readConfigFile(file, readFile);
  const known = new Set(
    [...Object.keys(withSecretFiles(all.ALL_SETTINGS)), ...Object.keys(settings)].map(fileKeyOf),
  );
  const strangers = [...read.entries].filter(([key]) => !known.has(key));
  const flags = Object.entries(told.flags).flatMap(([name, value]) =>
    name in settings && (typeof value === "string" || typeof value === "boolean")
      ? [[name, value] as const]
      : [],
  );
  const given = resolve(settings, { flags: new Map(flags), env, file: read.entries });
  const whole = given.resolved && takeSecretFiles(settings, given.resolved, readFile);
  const faults = [
    ...read.faults,
    ...strangers.map(([key, { place }]) => `${place} ${key}: there is no such setting`),
    ...given.faults,
    ...(whole?.faults ?? []),
  ];
  if (whole === undefined || faults.length > 0)
    throw usage(
      faults.join("\n  "),
      "adtally --help lists what can be set, and where; doctor --help has the backends",
    );
  const { config } = whole.resolved as Resolved<
    typeof commonSettings & typeof doctorSettings & typeof adminKey
  >;
  const key = config.key ?? config.adminKey ?? keyNearby(config.url, exists, readFile);
  return { ...config, key, queryUrl: config.queryUrl ?? config.url };
}

/** Goes to this machine alone: it is this folder's. */
function keyNearby(
  gateway: string,
  exists: (file: string) => boolean,
  readFile: (file: string) => string,
): string | undefined {
  const file = isLoopback(gateway) ? KEY_FILES.find(exists) : undefined;
  if (file === undefined) return undefined;
  const key = readFile(file).trim();
  return key === "" ? undefined : key;
}
