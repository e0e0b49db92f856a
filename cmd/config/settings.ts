/**
 * Every setting of every program. Programs pick theirs; a file may hold those of all, so that one
 * file serves a cluster.
 */
import { hostname } from "node:os";
import { LEAST_COUNT_DAYS } from "../../actors/adapters/clickhouse/schema.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import {
  address,
  addresses,
  choice,
  count,
  hostPorts,
  namedHosts,
  splitAds,
  onOff,
  path,
  port,
  secret,
  text,
  url,
} from "./kinds.ts";
import { asSecret, optional, required, setting, type Settings } from "./setting.ts";

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
const HOST_NAME = /^[a-zA-Z0-9._-]{1,253}$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const TOPIC_PREFIX = /^[a-zA-Z0-9._-]{0,64}$/;

/** What every program that runs on has. */
export const programSettings = {
  host: setting(address, "address to listen on", "127.0.0.1"),
  hostName: setting(
    text("<name>", HOST_NAME, "must be letters, digits, dots and dashes"),
    "this process's name: in logs, and for an actor host in the assignment",
    hostname(),
  ),
  logLevel: setting(choice("<level>", LOG_LEVELS), "least level of the JSON lines on stderr", "info"),
  drainNoticeMs: setting(
    count("<ms>", 0, 60_000),
    "how long SIGTERM leaves a program serving while /readyz already says no",
    0,
  ),
};

export const adminSettings = {
  adminPort: setting(port, "/healthz, /startupz, /readyz and /metrics", 7071),
};

/**
 * The same for all programs of a cluster. The relations between them are those of
 * actors/core/limits.ts; what follows from them is derived (cmd/lib/retention.ts).
 */
export const retentionSettings = {
  tokenLifeSeconds: setting(
    count("<s>", 60, 86_400),
    "how long after its impression a click can count",
    DEFAULT_LIMITS.tokenLifeMs / 1_000,
  ),
  allowedLatenessSeconds: setting(
    count("<s>", 0, 3_600),
    "how far a click's own time may lie before its receipt",
    DEFAULT_LIMITS.allowedLatenessMs / 1_000,
  ),
  clockSkewSeconds: setting(
    count("<s>", 1, 85),
    "how far clocks may differ",
    DEFAULT_LIMITS.clockSkewMs / 1_000,
  ),
  stateLagSeconds: setting(
    count("<s>", 0, 600),
    "how late assignment and routing table may reach a program: a mounted ConfigMap's change takes up to 90 s",
    DEFAULT_LIMITS.routingLagMs / 1_000,
  ),
  dedupRetentionSeconds: setting(
    count("<s>", 60, 172_800),
    "how long a shard remembers a counted click",
    DEFAULT_LIMITS.dedupRetentionMs / 1_000,
  ),
  logRetentionSeconds: setting(
    count("<s>", 3_600, 7_776_000),
    "how long the click log keeps clicks",
    DEFAULT_LIMITS.logRetentionMs / 1_000,
  ),
};

/** Mutual TLS between the programs: all three, or none. Files that change are taken up at once. */
export const tlsSettings = {
  tlsCa: optional(path, "authorities that other programs' certificates are checked against (PEM)"),
  tlsCert: optional(path, "this program's certificate, which names it (npm run dev-ca)"),
  tlsKey: optional(path, "key of this program's certificate"),
};

/** HTTPS and gRPC over TLS for anyone; without, something in front of the program ends TLS. */
export const publicTlsSettings = {
  publicTlsCert: optional(path, "serve HTTPS, and gRPC over TLS, with this certificate and its chain (PEM)"),
  publicTlsKey: optional(path, "key of that certificate"),
};

/** Where the assignment and the routing table are published. */
export const sharedStateSettings = {
  stateDir: optional(
    path,
    "folder of the assignment and the routing table: the truth on one machine, or in a mounted ConfigMap; with Redis besides, the newer of both holds",
  ),
  redisUrl: optional(
    url("redis", "rediss"),
    "Redis: fast copy of assignment and routing table, bus between programs",
  ),
  redisUser: optional(text("<name>", /^\S+$/, "must be a name without spaces"), "user of Redis (ACL)"),
  redisPassword: asSecret(optional(secret, "password of Redis, in place of one in the URL")),
  redisTlsCa: optional(path, "authority of Redis' certificate (PEM), for a rediss URL; else Node's own"),
  redisTlsCert: optional(path, "client certificate towards Redis"),
  redisTlsKey: optional(path, "key of that certificate"),
  redisPrefix: setting(
    text("<prefix>", /^[^\s{}]{1,64}$/, "must be 1 to 64 characters without spaces and braces"),
    "stands before each key and channel of Redis: one for each cluster",
    "adtally:",
  ),
};

export const kafkaSettings = {
  kafkaBrokers: required(hostPorts, "brokers of Kafka or Redpanda, some of them"),
  kafkaTopicPrefix: setting(
    text("<prefix>", TOPIC_PREFIX, "must be up to 64 letters, digits, dots, dashes, underscores"),
    "stands before each topic's name",
    "",
  ),
  kafkaTls: setting(onOff, "speak TLS with the brokers", false),
  kafkaTlsCa: optional(path, "authority of the brokers' certificates (PEM); else Node's own"),
  kafkaTlsCert: optional(path, "client certificate towards the brokers"),
  kafkaTlsKey: optional(path, "key of that certificate"),
  kafkaUser: optional(text("<name>", /^\S+$/, "must be a name without spaces"), "SASL user"),
  kafkaPassword: asSecret(optional(secret, "SASL password")),
  kafkaSasl: setting(
    choice("<mechanism>", ["plain", "scram-sha-256", "scram-sha-512"]),
    "SASL mechanism, where a user is given",
    "scram-sha-512",
  ),
};

/** For the program that makes the click log's topics, besides. */
export const kafkaExtendSettings = {
  kafkaExtendTopics: setting(
    onOff,
    "add partitions to topics that have too few, and lengthen a retention that is too short",
    false,
  ),
};

/** For the program that makes the topics. */
export const kafkaTopicSettings = {
  kafkaPartitions: setting(
    count("<count>", 1, DEFAULT_LIMITS.maxShards),
    "partitions of new topics: as many shards as there will ever be",
    64,
  ),
  kafkaReplication: setting(count("<count>", 1, 9), "replicas of new topics", 3),
  kafkaMinInsync: setting(count("<count>", 1, 9), "replicas that must have an append", 2),
};

export const clickhouseSettings = {
  clickhouseUrl: required(url("http", "https"), "ClickHouse's HTTP interface"),
  clickhouseUser: setting(
    text("<name>", /^\S+$/, "must be a name without spaces"),
    "user of ClickHouse",
    "default",
  ),
  clickhousePassword: asSecret(optional(secret, "password of ClickHouse's user")),
  clickhouseTlsCa: optional(
    path,
    "authority of ClickHouse's certificate (PEM), for an https URL; else Node's own",
  ),
  clickhouseTlsCert: optional(path, "client certificate towards ClickHouse"),
  clickhouseTlsKey: optional(path, "key of that certificate"),
};

/** For the programs that make ClickHouse's tables. */
export const clickhouseTopologySettings = {
  clickhouseCluster: optional(
    text("<name>", /^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/, "must be a cluster's name"),
    "cluster of ClickHouse servers, as in their remote_servers; unset: a single server",
  ),
  clickhouseKeeperPath: optional(
    text("<path>", /^(\/[A-Za-z0-9_.{}-]+)+$/, "must be of the form /part/part"),
    "root of the cluster's tables in the Keeper",
  ),
};

/** For the command that sets ClickHouse up. */
export const clickhouseSetupSettings = {
  rawRowsBy: setting(
    choice("<who>", ["ingest", "clickhouse"]),
    "who fills the raw table: the program ingest, or ClickHouse's own Kafka engine",
    "ingest",
  ),
  clickhouseKafkaBrokers: optional(hostPorts, "brokers of Kafka as ClickHouse reaches them"),
  clickhouseKafkaCollection: optional(
    text("<name>", /^[A-Za-z_][A-Za-z0-9_]*$/, "must be a name of letters, digits, underscores"),
    "named collection of ClickHouse's with what its Kafka engine needs of TLS and passwords",
  ),
  clickhouseKafkaConsumers: setting(
    count("<count>", 1, 64),
    "threads that read, on each ClickHouse server",
    1,
  ),
  clickhouseReaderUser: optional(
    text("<name>", /^[A-Za-z_][A-Za-z0-9_]{0,62}$/, "must be a name of letters, digits, underscores"),
    "user to make for the query service: it reads what reports need, and nothing else",
  ),
  clickhouseReaderPassword: asSecret(optional(secret, "that user's password")),
  minuteRetentionDays: optional(
    count("<days>", 0, 36_500),
    `days that counts by minute are kept, ${LEAST_COUNT_DAYS} at the least, 0 for ever; unset: as it is, at first for ever`,
  ),
  hourRetentionDays: optional(
    count("<days>", 0, 36_500),
    "the same of advertisers' counts by hour, which long reports read",
  ),
};

export const dataSettings = {
  dataDir: required(path, "folder of what this process keeps"),
};

export const apiSettings = {
  httpPort: setting(port, "HTTP", 8080),
  adminKey: asSecret(
    optional(
      text("<key>", /^[\u0021-\u007e]{8,256}$/, "must be 8 to 256 printable ASCII characters without spaces"),
      "key of scope admin; never stored",
    ),
  ),
};

export const gatewaySettings = {
  grpcPort: setting(port, "gRPC", 9090),
  publicUrl: optional(url("http", "https"), "where browsers reach the gateway; its own address where unset"),
  tokenKeysFile: required(path, "keys that sign tokens, the same for all gateways (npm run token-keys)"),
  spoolMaxMib: setting(
    count("<MiB>", 64, 1_048_576),
    "disk for clicks that neither a shard nor the log takes: past it they are redirected uncounted",
    4_096,
  ),
  internalPort: optional(
    port,
    "gRPC for our own programs alone, where the operator asks for this gateway's load; none where unset",
  ),
  trustedProxies: setting(addresses, "proxies whose X-Forwarded-For is believed", []),
};

export const querySettings = {
  openReports: setting(onOff, "reports need no key", false),
  shareKeysFile: optional(
    path,
    "keys that sign links of shared reports, the same for all query services (npm run token-keys); no sharing where unset",
  ),
};

/** In a pod none of them is needed. */
export const operatorSettings = {
  kubeconfig: optional(path, "how to reach the Kubernetes API server; unset: the pod's own service account"),
  watchNamespace: optional(
    text("<name>", DNS_NAME, "must be the name of a namespace"),
    "the one namespace whose ClickClusters are looked after; unset: all",
  ),
  leaseNamespace: optional(
    text("<name>", DNS_NAME, "must be the name of a namespace"),
    "where the Lease of the leader is kept; unset: the operator's own namespace",
  ),
  leaseName: setting(
    text("<name>", DNS_NAME, "must be up to 63 lowercase letters, digits and dashes"),
    "name of that Lease, one for all operators that look after the same namespaces",
    "adtally-operator",
  ),
  leaseMs: setting(
    count("<ms>", 1_500, 600_000),
    "how long a leader that is heard no more keeps its Lease; it acts for two thirds of that at the most",
    15_000,
  ),
  roundMs: setting(
    count("<ms>", 200, 60_000),
    "each ClickCluster is looked at this often, and whenever something of it changes",
    2_000,
  ),
  relistMs: setting(
    count("<ms>", 5_000, 86_400_000),
    "all objects are read anew this often, whatever their watches said",
    300_000,
  ),
};

export const assignSettings = {
  hosts: required(namedHosts, "the actor hosts, with the address of each one's ShardService"),
  shards: required(
    count("<count>", 1, DEFAULT_LIMITS.maxShards),
    "shards of new clicks; a change adds a routing generation",
  ),
  splits: optional(
    splitAds,
    "all ads that are split, each over so many shards; others are merged (none: all). A change adds a " +
      "routing generation (default: as published)",
  ),
};

export const ALL_SETTINGS: Settings = {
  ...programSettings,
  ...adminSettings,
  ...retentionSettings,
  ...tlsSettings,
  ...publicTlsSettings,
  ...sharedStateSettings,
  ...kafkaSettings,
  ...kafkaTopicSettings,
  ...kafkaExtendSettings,
  ...clickhouseSettings,
  ...clickhouseTopologySettings,
  ...clickhouseSetupSettings,
  ...dataSettings,
  ...apiSettings,
  ...gatewaySettings,
  ...querySettings,
  ...operatorSettings,
  ...assignSettings,
};
