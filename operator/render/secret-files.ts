/**
 * Secrets come to the programs as files, never as variables: a command line and an environment are seen
 * by more people than that, and certificates are taken up anew while a program runs.
 */
import type { V1SecretProjection, V1VolumeProjection } from "@kubernetes/client-node";
import type { ClickClusterSpec } from "../api/click-cluster.ts";
import type { Component } from "../api/release.ts";

export const SECRETS_DIR = "/etc/adtally/secrets";
const TOKEN_KEYS = "token-keys/tokens.json";

interface SecretFile {
  /** Of the program, which is told the path. */
  readonly setting: string;
  readonly path: string;
  readonly secret: string;
  readonly key: string;
}

interface Key {
  readonly name: string;
  readonly key: string;
}

type BackendTls = ClickClusterSpec["redis"]["tls"];

const file = (setting: string, path: string, of: Key | undefined): readonly SecretFile[] =>
  of === undefined ? [] : [{ setting, path: `${SECRETS_DIR}/${path}`, secret: of.name, key: of.key }];

/** kubernetes.io/tls */
const pairOf = (prefix: string, folder: string, secret: string | undefined): readonly SecretFile[] =>
  secret === undefined
    ? []
    : [
        ...file(`${prefix}Cert`, `${folder}/tls.crt`, { name: secret, key: "tls.crt" }),
        ...file(`${prefix}Key`, `${folder}/tls.key`, { name: secret, key: "tls.key" }),
      ];

function backend(prefix: string, password: Key | undefined, tls: BackendTls): readonly SecretFile[] {
  return [
    ...file(`${prefix}PasswordFile`, `${prefix}/password`, password),
    ...file(`${prefix}TlsCa`, `${prefix}/ca.crt`, tls?.caSecret),
    ...pairOf(`${prefix}Tls`, prefix, tls?.clientSecretName),
  ];
}

export function secretFiles(spec: ClickClusterSpec, component: Component): readonly SecretFile[] {
  const { adminKey, clickhouse, redis, redpanda, tls, tokenKeys } = spec;
  const kafkaPassword = redpanda.user === undefined ? undefined : redpanda.passwordSecret;
  const own = tls?.secretName;
  return [
    ...backend("kafka", kafkaPassword, redpanda.tls),
    ...backend("redis", redis.passwordSecret, redis.tls),
    ...(component === "gateways" ? [] : backend("clickhouse", clickhouse.passwordSecret, clickhouse.tls)),
    ...(component === "gateways" ? file("tokenKeysFile", TOKEN_KEYS, tokenKeys) : []),
    // A link's key is derived of a token's, for links alone.
    ...(component === "query" ? file("shareKeysFile", TOKEN_KEYS, tokenKeys) : []),
    ...(component === "gateways" || component === "query"
      ? file("adminKeyFile", "admin-key/admin-key", adminKey)
      : []),
    // The raw ingester speaks with no other program.
    ...(component === "ingest" || own === undefined
      ? []
      : [...file("tlsCa", "tls/ca.crt", { name: own, key: "ca.crt" }), ...pairOf("tls", "tls", own)]),
  ];
}

/** One volume of them all. */
export function projectionsOf(files: readonly SecretFile[]): V1VolumeProjection[] {
  const bySecret = new Map<string, NonNullable<V1SecretProjection["items"]>>();
  for (const { secret, key, path } of files) {
    const items = bySecret.get(secret) ?? [];
    items.push({ key, path: path.slice(SECRETS_DIR.length + 1) });
    bySecret.set(secret, items);
  }
  return [...bySecret].map(([name, items]) => ({ secret: { name, items } }));
}
