/**
 * What each program is told, by flags: all that a ClickCluster says of it. Settings bear the names that
 * the programs give them (cmd/config); a test holds that each program knows all of its own.
 *
 * A flag that an image does not know ends its programs at once, by name, and with them the rollout at
 * the first pod. A variable in its place would be passed over, and clicks counted by other rules.
 */
import type { ClickClusterSpec } from "../api/click-cluster.ts";
import type { Component } from "../api/release.ts";
import { STATE_LAG_SECONDS } from "../api/limits.ts";
import { secretFiles } from "./secret-files.ts";
import { bytesOf } from "./quantity.ts";

/** `internal`: of a gateway, for our own programs alone. */
export const PORTS = { http: 8080, grpc: 9090, internal: 9091, shards: 7070, admin: 7071 };
export const DATA_DIR = "/data";
export const STATE_DIR = "/etc/adtally/state";
/** For as long the last of the kube-proxies may still send connections to a pod that ends. */
export const DRAIN_NOTICE_MS = 5_000;
/** By the downward API: Kubernetes puts it in place of the reference. */
export const POD_NAME = "POD_NAME";

type Value = string | number | boolean | readonly string[] | undefined;
export type Settings = Readonly<Record<string, Value>>;

const MIB = 1024 * 1024;
const SPOOL_SHARE = 3 / 4;
/** As the program takes them (cmd/config/settings.ts). */
const SPOOL_MIB = { least: 64, most: 1_048_576 };

function common({ redis, redpanda, retention }: ClickClusterSpec): Settings {
  return {
    host: "0.0.0.0",
    ...retention,
    stateLagSeconds: STATE_LAG_SECONDS,
    stateDir: STATE_DIR,
    redisUrl: redis.url,
    redisUser: redis.user,
    redisPrefix: redis.prefix,
    kafkaBrokers: redpanda.brokers,
    kafkaTopicPrefix: redpanda.topicPrefix,
    kafkaTls: redpanda.tls === undefined ? undefined : true,
    kafkaUser: redpanda.user,
    kafkaSasl: redpanda.user === undefined ? undefined : redpanda.mechanism,
  };
}

const topics = ({ redpanda }: ClickClusterSpec): Settings => ({
  kafkaReplication: redpanda.replication,
  kafkaMinInsync: redpanda.minInsync,
});

const clickhouse = ({ clickhouse: { url, user } }: ClickClusterSpec): Settings => ({
  clickhouseUrl: url,
  clickhouseUser: user,
});

const tables = ({ clickhouse: { cluster } }: ClickClusterSpec): Settings => ({ clickhouseCluster: cluster });

/** Of the volume's size: the rest is for the copies that a gateway starts from. */
function spoolMaxMib({ gateways }: ClickClusterSpec): number {
  const mib = Math.floor((bytesOf(gateways.spool.size) * SPOOL_SHARE) / MIB);
  return Math.min(SPOOL_MIB.most, Math.max(SPOOL_MIB.least, mib));
}

const OWN: Readonly<Record<Component, (spec: ClickClusterSpec) => Settings>> = {
  actors: (spec) => ({
    grpcPort: PORTS.shards,
    adminPort: PORTS.admin,
    dataDir: DATA_DIR,
    kafkaPartitions: spec.shards.max,
    // Both may be raised, and else an actor host would not start.
    kafkaExtendTopics: true,
    ...topics(spec),
    ...clickhouse(spec),
    ...tables(spec),
  }),
  gateways: (spec) => ({
    httpPort: PORTS.http,
    grpcPort: PORTS.grpc,
    internalPort: PORTS.internal,
    dataDir: DATA_DIR,
    publicUrl: spec.gateways.publicUrl,
    spoolMaxMib: spoolMaxMib(spec),
    drainNoticeMs: DRAIN_NOTICE_MS,
    ...topics(spec),
  }),
  query: (spec) => ({
    httpPort: PORTS.http,
    grpcPort: PORTS.grpc,
    dataDir: DATA_DIR,
    drainNoticeMs: DRAIN_NOTICE_MS,
    ...clickhouse(spec),
  }),
  ingest: (spec) => ({
    adminPort: PORTS.admin,
    dataDir: DATA_DIR,
    ...clickhouse(spec),
    ...tables(spec),
  }),
};

export function settingsOf(spec: ClickClusterSpec, component: Component): Settings {
  const files = secretFiles(spec, component).map(({ setting, path }) => [setting, path] as const);
  return { ...common(spec), ...OWN[component](spec), ...Object.fromEntries(files) };
}

const flagOf = (setting: string): string =>
  `--${setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Kubernetes reads $(NAME) in them as a reference, and $$ as a dollar. */
const literal = (text: string): string => text.replaceAll("$", "$$$$");

export function argumentsOf(spec: ClickClusterSpec, component: Component): string[] {
  const flags = Object.entries(settingsOf(spec, component)).flatMap(([name, value]): string[] => {
    if (value === undefined) return [];
    const text = Array.isArray(value) ? value.join(",") : String(value as string | number | boolean);
    return [value === true ? flagOf(name) : `${flagOf(name)}=${literal(text)}`];
  });
  return [`--host-name=$(${POD_NAME})`, ...flags];
}
