/**
 * Secrets that the chart does not render: keys, and the bundled ClickHouse's password. Made once, in
 * the cluster, by whoever installs the chart; never in its values, and never anew.
 *
 *  S1 A Secret that is there is not changed: what is in it must be what is wanted, else it is named.
 *  S2 Only what was made for a release is deleted with it.
 */
import { AdtallyError, isAdtallyError } from "../../actors/core/errors.ts";
import { generateKey } from "../../actors/keys/api-key.ts";
import type { RandomBytes } from "../../actors/runtime/clock.ts";
import { formatKeyFile, generateKeys, parseKeyFile } from "../../actors/token/keys.ts";
import type { KubeClient } from "../../operator/kube/client.ts";
import type { KubeObject } from "../../operator/kube/object.ts";
import { pathOf, secrets } from "../../operator/kube/resources.ts";
import { assertChecksum, withChecksum } from "../lib/checked-file.ts";

export const GENERATED_FOR = "adtally.dev/generated-for";
const PASSWORD_BYTES = 24;

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What a Secret is to hold. */
export interface Content {
  readonly what: string;
  make(random: RandomBytes): string;
  /** @throws CONFIG_INVALID */
  check(text: string, where: string): void;
}

function notEmpty(text: string, where: string): void {
  if (!/^[\u0021-\u007e]+$/.test(text))
    throw new AdtallyError("CONFIG_INVALID", `${where} must be printable ASCII without spaces`);
}

export const tokenKeys: Content = {
  what: "keys that sign tokens",
  make: (random) => withChecksum(formatKeyFile(generateKeys(random))),
  check(text, where) {
    assertChecksum(where, text);
    parseKeyFile(text);
  },
};
export const adminKey: Content = {
  what: "the admin's API key",
  make: (random) => generateKey(random),
  check: notEmpty,
};
export const password: Content = {
  what: "a password",
  make: (random) => random(PASSWORD_BYTES).toString("base64url"),
  check: notEmpty,
};

export interface Wanted {
  readonly name: string;
  readonly key: string;
  readonly content: Content;
}

export interface Release {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly release: string;
}

/** What became of it, for people. @throws CONFIG_INVALID where the Secret that is there will not do (S1) */
export async function makeSecret(
  { client, namespace, release }: Release,
  { name, key, content }: Wanted,
  random: RandomBytes,
): Promise<string> {
  const where = `Secret ${namespace}/${name}`;
  try {
    const body = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name,
        labels: {
          [GENERATED_FOR]: release,
          "app.kubernetes.io/part-of": "adtally",
          "app.kubernetes.io/managed-by": "adtally-chart-hooks",
        },
      },
      type: "Opaque",
      data: { [key]: Buffer.from(content.make(random)).toString("base64") },
    };
    await client.send("POST", pathOf(secrets, namespace), { body });
    return `${where}: made, with ${content.what} as ${key}`;
  } catch (error) {
    if (!isAdtallyError(error, "KUBERNETES_CONFLICT")) throw error;
  }
  const there = await client.send<Secret>("GET", pathOf(secrets, namespace, name));
  const value = there.data?.[key];
  if (value === undefined) {
    throw new AdtallyError(
      "CONFIG_INVALID",
      `${where} is there, and has no ${key}: put ${content.what} into it, or delete it to have it made`,
    );
  }
  content.check(Buffer.from(value, "base64").toString(), `${where}, ${key}`);
  return `${where}: is there, and good`;
}

/** What became of it, for people (S2). */
export async function deleteSecret({ client, namespace, release }: Release, name: string): Promise<string> {
  const where = `Secret ${namespace}/${name}`;
  const path = pathOf(secrets, namespace, name);
  try {
    const { metadata } = await client.send<Secret>("GET", path);
    if (metadata.labels?.[GENERATED_FOR] !== release)
      return `${where}: stays, it was not made for ${release}`;
    const { resourceVersion, uid } = metadata;
    await client.send("DELETE", path, { body: { preconditions: { uid, resourceVersion } } });
  } catch (error) {
    if (!isAdtallyError(error, "NOT_FOUND")) throw error;
    return `${where}: is not there`;
  }
  return `${where}: deleted`;
}
