/**
 * Documents in one ConfigMap, each under a key of its own: the truth of the routing table and of the
 * assignment. A document is changed upon what stands there, or not at all:
 *
 *   read ──decide──► written with the version that was read ──► done
 *     ▲                     └ somebody else wrote meanwhile (409) ┐
 *     └───────────────────────────────────────────────────────────┘
 *
 *  S1 What another wrote between our reading and our writing is never lost: the API server refuses the
 *     older version, and the decision is made again upon the newer text.
 *  S2 What is written carries the epoch of its leader (the annotation adtally.dev/leader-epoch), and a
 *     leader never writes over what a later one wrote: NOT_LEADER.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import { EPOCH_ANNOTATION, FIELD_MANAGER } from "./names.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeObject, Metadata } from "../kube/object.ts";
import { configMaps, pathOf } from "../kube/resources.ts";

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Term {
  readonly epoch: number;
  /** @throws NOT_LEADER */
  assertHeld(): void;
}

export interface ConfigMapPlace {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Of a ConfigMap that is made. */
  readonly metadata?: Pick<Metadata, "labels" | "ownerReferences">;
}

/** Others write to another key at the same time. */
const ATTEMPTS = 8;

/** Undefined where there is none. @throws SHARED_STATE_UNAVAILABLE */
export async function readConfigMap({
  client,
  namespace,
  name,
}: ConfigMapPlace): Promise<ConfigMap | undefined> {
  try {
    return await client.send<ConfigMap>("GET", pathOf(configMaps, namespace, name));
  } catch (error) {
    if (isAdtallyError(error, "NOT_FOUND")) return undefined;
    throw unavailable(`reading ConfigMap ${namespace}/${name}`, error);
  }
}

/**
 * Sets the document to what `decide` makes of the one that stands; undefined: nothing is to be done.
 * Resolves with what then stands, or undefined where nothing was done.
 * @throws SHARED_STATE_UNAVAILABLE (it may then have been written), NOT_LEADER
 */
export async function changeDocument(
  place: ConfigMapPlace,
  key: string,
  decide: (text: string | undefined) => string | undefined,
  term?: Term,
): Promise<ConfigMap | undefined> {
  const { client, namespace, name } = place;
  const what = `writing ${key} of ConfigMap ${namespace}/${name}`;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const found = await readConfigMap(place);
    assertNotOlder(found, term);
    const text = decide(found?.data?.[key]);
    if (text === undefined) return undefined;
    const body = bodyOf(place, found, key, text, term);
    term?.assertHeld();
    try {
      return found === undefined
        ? await client.send("POST", pathOf(configMaps, namespace), { body, query })
        : await client.send("PUT", pathOf(configMaps, namespace, name), { body, query });
    } catch (error) {
      // NOT_FOUND: it was deleted after we read it.
      const isAgain = isAdtallyError(error, "KUBERNETES_CONFLICT") || isAdtallyError(error, "NOT_FOUND");
      if (!isAgain) throw unavailable(what, error);
    }
  }
  throw new AdtallyError("SHARED_STATE_UNAVAILABLE", `${what}: others write at the same time`);
}

const query = { fieldManager: FIELD_MANAGER };

/** S2 */
function assertNotOlder(found: ConfigMap | undefined, term: Term | undefined): void {
  const stands = epochOf(found);
  if (term === undefined || stands === undefined || stands <= term.epoch) return;
  throw new AdtallyError(
    "NOT_LEADER",
    `ConfigMap ${found!.metadata.name} was written by the leader of epoch ${stands}, and this is epoch ${term.epoch}`,
  );
}

export function epochOf(object: KubeObject | undefined): number | undefined {
  const epoch = Number(object?.metadata.annotations?.[EPOCH_ANNOTATION] ?? NaN);
  return Number.isSafeInteger(epoch) ? epoch : undefined;
}

function bodyOf(
  { namespace, name, metadata = {} }: ConfigMapPlace,
  found: ConfigMap | undefined,
  key: string,
  text: string,
  term: Term | undefined,
): object {
  const { labels, ownerReferences } = metadata;
  const annotations = term && { [EPOCH_ANNOTATION]: String(term.epoch) };
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name,
      namespace,
      ...found?.metadata,
      managedFields: undefined,
      labels: { ...found?.metadata.labels, ...labels },
      annotations: { ...found?.metadata.annotations, ...annotations },
      ...(ownerReferences && { ownerReferences }),
    },
    data: { ...found?.data, [key]: text },
  };
}

function unavailable(what: string, error: unknown): AdtallyError {
  return new AdtallyError("SHARED_STATE_UNAVAILABLE", `${what}: ${messageOf(error)}`, { cause: error });
}
