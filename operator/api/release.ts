/**
 * What pods run, as one short name: pods are restarted when it changes, and only then.
 *
 *  N1 It depends on what a person set, and on nothing of the operator's: another version of the
 *     operator, which renders pods otherwise, restarts none by itself. They get its rendering with
 *     the next release.
 *  N2 Fields that are as defaulted are left out: a version of the operator that knows a field more
 *     names the same release.
 *  N3 How many pods there are, and when they are scaled, split or drained, is no part of it.
 */
import { isDeepStrictEqual } from "node:util";
import { parseClickClusterSpec, type ClickClusterSpec } from "./click-cluster.ts";
import { digestOf, isPlain } from "./digest.ts";

export type Component = "actors" | "gateways" | "query" | "ingest";
export const COMPONENTS: readonly Component[] = ["actors", "gateways", "query", "ingest"];

type Plain = Readonly<Record<string, unknown>>;

/** Specs do not change, and the planner asks often. */
const known = new WeakMap<ClickClusterSpec, Map<Component, string>>();

export function releaseOf(spec: ClickClusterSpec, component: Component): string {
  const releases = known.get(spec) ?? new Map<Component, string>();
  known.set(spec, releases);
  const release = releases.get(component) ?? nameOf(spec, component);
  releases.set(component, release);
  return release;
}

function nameOf(spec: ClickClusterSpec, component: Component): string {
  const { image, imagePullPolicy, redpanda, clickhouse, redis, tls, tokenKeys, adminKey, retention } = spec;
  const defaults = parseClickClusterSpec({
    image,
    tokenKeys: { name: tokenKeys.name },
    redpanda: { brokers: redpanda.brokers },
    clickhouse: { url: clickhouse.url },
    redis: { url: redis.url },
  });
  const own: Record<Component, Plain> = {
    // The topics' partitions are made from it.
    actors: { resources: spec.actors.resources, storage: spec.actors.storage, partitions: spec.shards.max },
    gateways: {
      resources: spec.gateways.resources,
      spool: spec.gateways.spool,
      publicUrl: spec.gateways.publicUrl,
    },
    query: { resources: spec.query.resources },
    ingest: { resources: spec.ingest.resources },
  };
  const ownDefaults: Record<Component, Plain> = {
    actors: { storage: defaults.actors.storage, partitions: defaults.shards.max },
    gateways: { spool: defaults.gateways.spool },
    query: {},
    ingest: {},
  };
  const all = { imagePullPolicy, redpanda, clickhouse, redis, tls, tokenKeys, adminKey, retention };
  const set = {
    image,
    brokers: redpanda.brokers,
    clickhouse: clickhouse.url,
    redis: redis.url,
    keys: tokenKeys.name,
    all: without(all, { ...defaults }),
    own: without(own[component], ownDefaults[component]),
  };
  return digestOf(set);
}

/** What of `value` is not as in `defaults`. */
function without(value: Plain, defaults: Plain): Plain {
  const kept: Record<string, unknown> = {};
  for (const [name, each] of Object.entries(value)) {
    const usual = defaults[name];
    if (each === undefined || isDeepStrictEqual(each, usual)) continue;
    const rest = isPlain(each) && isPlain(usual) ? without(each, usual) : each;
    // An object that has no default says something by being there, also when it is empty.
    if (isPlain(usual) && isPlain(rest) && Object.keys(rest).length === 0) continue;
    kept[name] = rest;
  }
  return kept;
}
