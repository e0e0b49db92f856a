/**
 * A data plane that obeys: its actor hosts hold what the published assignment gives them (a ConfigMap,
 * as the real ones read it), its gateways have nothing, its backends answer.
 */
import { decodeAssignment, type Assignment } from "../actors/assignment/assignment.ts";
import type { HostReport } from "../actors/load/report.ts";
import { decodeTable } from "../actors/routing/table-json.ts";
import type { RoutingTable } from "../actors/routing/table.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import type { Backends } from "./plan/world.ts";
import type { DataPlane, SharedTexts } from "./observe/data-plane.ts";

export interface ObedientHosts extends DataPlane {
  /** By "namespace/name": what was offered to the fast copy last. */
  readonly copies: ReadonlyMap<string, SharedTexts>;
  assignment(key: string): Assignment;
  routing(key: string): RoutingTable;
  /** Hosts that do not answer. */
  readonly silent: Set<string>;
  spooled: number;
  lag: number;
  backendsAre: Backends;
  /** Fields of every report, in place of a quiet host's. */
  load: Partial<HostReport>;
  /** How often a host was asked. */
  questions: number;
}

export function obedientHosts(): ObedientHosts {
  const copies = new Map<string, SharedTexts>();
  /** Hosts take up what they have heard of; they follow the newest. */
  const followed = new Map<string, Assignment>();
  const none: Assignment = { version: 0, hosts: new Map(), shards: new Map() };
  const hosts: ObedientHosts = {
    copies,
    silent: new Set(),
    spooled: 0,
    lag: 0,
    backendsAre: { redpanda: true, clickhouse: true, redis: true },
    load: {},
    questions: 0,
    assignment: (key) => followed.get(key) ?? none,
    routing: (key) => decodeTable(copies.get(key)?.routing ?? "{}", 0, DEFAULT_LIMITS),
    hostReport({ metadata }, name) {
      hosts.questions += 1;
      if (hosts.silent.has(name)) return Promise.reject(new Error("silent on purpose"));
      const { shards, version } = hosts.assignment(`${metadata.namespace}/${metadata.name}`);
      const own = [...shards].filter(([, owner]) => owner.host === name);
      return Promise.resolve({
        assignmentVersion: version,
        held: new Map(own.map(([shard, { epoch }]) => [shard, epoch])),
        clicksPerSecond: 0,
        cpuPercent: 1,
        lagClicks: hosts.lag,
        topAds: [],
        ...hosts.load,
      });
    },
    spooledClicks: () => Promise.resolve(hosts.spooled),
    backends: () => Promise.resolve(hosts.backendsAre),
    copy({ metadata }, texts) {
      const key = `${metadata.namespace}/${metadata.name}`;
      copies.set(key, texts);
      if (texts.assignment === undefined) return;
      const next = decodeAssignment(texts.assignment);
      if (next.version > (followed.get(key)?.version ?? 0)) followed.set(key, next);
    },
    forget: () => undefined,
    close: () => Promise.resolve(),
  };
  return hosts;
}
