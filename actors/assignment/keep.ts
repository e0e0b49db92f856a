/**
 * Which shards have to be assigned, and for how long: pure, for everyone who publishes an assignment.
 *
 *  U1 A shard is assigned while a live generation routes to it: one by which a click that counts,
 *     or a copy of one, may still come (shardsInUse: token life, lateness and clock skew are in it).
 *  U2 It stays assigned for as long after that as the log keeps what gateways spilled: clicks that
 *     wait there, or on the disk of a gateway that was away, have an owner to decide on them, and
 *     the shard's own last counts have reached ClickHouse. The time counts from the first
 *     publication that finds the shard unrouted, and is published with it.
 */
import type { Limits } from "../core/limits.ts";
import { shardsInUse, type RoutingTable } from "../routing/table.ts";
import type { Assignment, ShardOwner } from "./assignment.ts";

/** The shards that the next assignment has to have. */
export function shardsToKeep(
  current: Assignment,
  table: RoutingTable,
  nowMs: number,
  limits: Limits,
): readonly number[] {
  const kept = [...current.shards].filter(([, owner]) => !isOver(owner, nowMs, limits));
  return [...new Set([...shardsInUse(table, nowMs, limits), ...kept.map(([shard]) => shard)])];
}

/** U2 */
function isOver({ unroutedSinceMs }: ShardOwner, nowMs: number, limits: Limits): boolean {
  return unroutedSinceMs !== undefined && nowMs - unroutedSinceMs > limits.logRetentionMs;
}

/** The assignment with the time of each shard that nothing routes to any more. */
export function markUnrouted(
  assignment: Assignment,
  table: RoutingTable,
  nowMs: number,
  limits: Limits,
): Assignment {
  const inUse = new Set(shardsInUse(table, nowMs, limits));
  const shards = [...assignment.shards].map(([shard, owner]): [number, ShardOwner] => {
    const { unroutedSinceMs = nowMs, ...rest } = owner;
    return [shard, inUse.has(shard) ? rest : { ...rest, unroutedSinceMs }];
  });
  return { ...assignment, shards: new Map(shards) };
}

/** Whether `next` says nothing that `current` does not say, their versions aside. */
export function isSameAssignment(current: Assignment, next: Assignment): boolean {
  const { hosts, shards } = current;
  if (current.version === 0 || hosts.size !== next.hosts.size || shards.size !== next.shards.size)
    return false;
  const isSameOwner = (a: ShardOwner, b: ShardOwner | undefined): boolean =>
    a.host === b?.host && a.epoch === b.epoch && a.unroutedSinceMs === b.unroutedSinceMs;
  return (
    [...hosts].every(([host, address]) => next.hosts.get(host) === address) &&
    [...shards].every(([shard, owner]) => isSameOwner(owner, next.shards.get(shard)))
  );
}
