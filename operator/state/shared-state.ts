/**
 * A SharedState in a ConfigMap: one document under one key (config-map.ts). A watcher is told by a
 * watch of the API server's, with all that reflector.ts does against one that falls silent.
 */
import { messageOf } from "../../actors/core/errors.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { versionOf } from "../kube/object.ts";
import { startReflector, type Reflector, type ReflectorDeps } from "../kube/reflector.ts";
import { configMaps } from "../kube/resources.ts";
import {
  changeDocument,
  readConfigMap,
  type ConfigMap,
  type ConfigMapPlace,
  type Term,
} from "./config-map.ts";

export interface ConfigMapSharedState extends SharedState {
  close(): Promise<void>;
}

export interface ConfigMapSharedStateDeps extends ReflectorDeps {
  readonly place: ConfigMapPlace;
  readonly key: string;
  readonly term?: Term;
}

interface Watcher {
  readonly onText: (text: string) => void;
  seen: number;
}

export function createConfigMapSharedState(deps: ConfigMapSharedStateDeps): ConfigMapSharedState {
  const { place, key, term, logger } = deps;
  const watchers = new Set<Watcher>();
  let reflector: Reflector<ConfigMap> | undefined;
  let held: { readonly version: number; readonly text: string } | undefined;
  let writing: Promise<unknown> = Promise.resolve();

  const tell = (watcher: Watcher): void => {
    if (held === undefined || held.version <= watcher.seen || !watchers.has(watcher)) return;
    watcher.seen = held.version;
    try {
      watcher.onText(held.text);
    } catch (error) {
      logger.error({ key, error: messageOf(error) }, "a watcher of a shared document threw");
    }
  };
  const take = (found: ConfigMap): void => {
    const text = found.data?.[key];
    const version = versionOf(found);
    if (text === undefined || text === held?.text || version <= (held?.version ?? -1)) return;
    held = { version, text };
    for (const watcher of watchers) tell(watcher);
  };
  /** One after the other: the last one called is the one that stays. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const own = writing.then(work);
    writing = own.catch(() => undefined);
    return own;
  };

  return {
    async read() {
      return (await readConfigMap(place))?.data?.[key];
    },
    publish: (text) => inTurn(async () => void (await changeDocument(place, key, () => text, term))),
    replace: (current, text) =>
      inTurn(async () => {
        const decide = (stands: string | undefined) => (stands === current ? text : undefined);
        return (await changeDocument(place, key, decide, term)) !== undefined;
      }),
    watch(onText) {
      const watcher: Watcher = { onText, seen: -1 };
      watchers.add(watcher);
      if (reflector === undefined) {
        const { namespace, name } = place;
        const fieldSelector = `metadata.name=${name}`;
        reflector = startReflector<ConfigMap>(deps, { kind: configMaps, namespace, fieldSelector });
        reflector.onChange(take);
      }
      queueMicrotask(() => tell(watcher));
      return { close: () => void watchers.delete(watcher) };
    },
    async close() {
      watchers.clear();
      await reflector?.close();
    },
  };
}
