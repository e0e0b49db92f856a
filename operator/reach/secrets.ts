/** What a ClickCluster's Secrets say of its Redis. */
import type { RedisConfig } from "../../actors/adapters/redis/config.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeObject } from "../kube/object.ts";
import { pathOf, secrets } from "../kube/resources.ts";

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** @throws NOT_FOUND, naming the Secret's key */
export async function redisPlaceOf(client: KubeClient, cluster: ClickCluster): Promise<RedisConfig> {
  const { namespace } = cluster.metadata;
  const { passwordSecret, prefix, tls, url, user } = cluster.spec.redis;
  const known = new Map<string, Secret>();
  const read = async (name: string, key: string): Promise<string> => {
    const secret = known.get(name) ?? (await client.send<Secret>("GET", pathOf(secrets, namespace, name)));
    known.set(name, secret);
    const value = secret.data?.[key];
    if (value !== undefined) return Buffer.from(value, "base64").toString("utf8");
    throw new AdtallyError("NOT_FOUND", `Secret ${namespace}/${name} has no key ${key}`);
  };
  const password = passwordSecret && (await read(passwordSecret.name, passwordSecret.key)).trim();
  const ca = tls?.caSecret && (await read(tls.caSecret.name, tls.caSecret.key));
  const pair = tls?.clientSecretName;
  return {
    url,
    prefix,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && {
      tls: {
        ...(ca !== undefined && { ca }),
        ...(pair !== undefined && { cert: await read(pair, "tls.crt"), key: await read(pair, "tls.key") }),
      },
    }),
  };
}
