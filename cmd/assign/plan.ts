/**
 * What is to be published, from what is published and what is wanted: pure.
 *
 *  U1 A shard is assigned while a live generation routes to it: one by which a click that counts,
 *     or a copy of one, may still come (shardsInUse: token life, lateness and clock skew are in it).
 *  U2 It stays assigned for as long after that as the log keeps what gateways spilled: clicks that
 *     wait there, or on the disk of a gateway that was away, have an owner to decide on them, and
 *     the shard's own last counts have reached ClickHouse. The time counts from the first
 *     publication that finds the shard unrouted, and is published with it.
 */
import {
  assign,
  NO_ASSIGNMENT,
  type Assignment,
  type ShardOwner,
} from "../../actors/assignment/assignment.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Generation } from "../../actors/routing/generation.ts";
import {
  addGeneration,
  emptyTable,
  shardsInUse,
  type RoutingChange,
  type RoutingTable,
} from "../../actors/routing/table.ts";

export interface Wanted {
  readonly hosts: ReadonlyMap<string, string>;
  readonly shards: number;
  /** Ways by ad: of all ads that are to be split, others are merged. Undefined: as it is published. */
  readonly splits?: ReadonlyMap<IdKey, number> | undefined;
}

export interface Published {
  readonly routing: RoutingTable | undefined;
  readonly assignment: Assignment | undefined;
}

export interface Plan {
  /** Undefined where what is published is as wanted. */
  readonly routing: RoutingTable | undefined;
  readonly assignment: Assignment | undefined;
}

/** @throws INPUT_INVALID */
export function planPublication(published: Published, wanted: Wanted, nowMs: number, limits: Limits): Plan {
  const before = published.routing ?? emptyTable(nowMs);
  const change = changeOf(before.newestFirst[0], wanted);
  const routing = change === undefined ? before : addGeneration(before, change, nowMs, limits);
  const current = published.assignment ?? NO_ASSIGNMENT;
  const inUse = new Set(shardsInUse(routing, nowMs, limits));
  const kept = [...current.shards].filter(([, owner]) => !isOver(owner, nowMs, limits));
  const shards = new Set([...inUse, ...kept.map(([shard]) => shard)]);
  const next = withUnrouted(assign(current, wanted.hosts, [...shards]), inUse, nowMs);
  return {
    routing: change === undefined ? undefined : routing,
    assignment: isSame(current, next) ? undefined : next,
  };
}

/** Undefined where the newest generation is as wanted. */
function changeOf(newest: Generation | undefined, wanted: Wanted): RoutingChange | undefined {
  const current = newest?.splits ?? new Map<IdKey, number>();
  const { shards: shardCount, splits = current } = wanted;
  const split = new Map([...splits].filter(([adId, ways]) => current.get(adId) !== ways));
  const merge = [...current.keys()].filter((adId) => !splits.has(adId));
  const isSame = newest?.shardCount === shardCount && split.size === 0 && merge.length === 0;
  return isSame ? undefined : { shardCount, split, merge };
}

/** U2 */
function isOver({ unroutedSinceMs }: ShardOwner, nowMs: number, limits: Limits): boolean {
  return unroutedSinceMs !== undefined && nowMs - unroutedSinceMs > limits.logRetentionMs;
}

function withUnrouted(assignment: Assignment, inUse: ReadonlySet<number>, nowMs: number): Assignment {
  const shards = [...assignment.shards].map(([shard, owner]): [number, ShardOwner] => {
    const { unroutedSinceMs = nowMs, ...rest } = owner;
    return [shard, inUse.has(shard) ? rest : { ...rest, unroutedSinceMs }];
  });
  return { ...assignment, shards: new Map(shards) };
}

function isSame(current: Assignment, next: Assignment): boolean {
  const plain = ({ hosts, shards }: Assignment) =>
    JSON.stringify([[...hosts].sort(), [...shards].sort(([a], [b]) => a - b)]);
  return current.version > 0 && plain(current) === plain(next);
}
