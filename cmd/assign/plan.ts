/** What is to be published, from what is published and what is wanted: pure. */
import { assign, NO_ASSIGNMENT, type Assignment } from "../../actors/assignment/assignment.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { addGeneration, emptyTable, shardsInUse, type RoutingTable } from "../../actors/routing/table.ts";

export interface Wanted {
  readonly hosts: ReadonlyMap<string, string>;
  readonly shards: number;
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

/**
 * Shards that old generations had stay assigned: their clicks may still come, and their last ones
 * may not be in ClickHouse yet.
 * @throws INPUT_INVALID
 */
export function planPublication(published: Published, wanted: Wanted, nowMs: number, limits: Limits): Plan {
  const before = published.routing ?? emptyTable(nowMs);
  const isNew = before.newestFirst[0]?.shardCount !== wanted.shards;
  const routing = isNew ? addGeneration(before, { shardCount: wanted.shards }, nowMs, limits) : before;
  const current = published.assignment ?? NO_ASSIGNMENT;
  const shards = new Set([...shardsInUse(routing, nowMs, limits), ...current.shards.keys()]);
  const next = assign(current, wanted.hosts, [...shards]);
  return { routing: isNew ? routing : undefined, assignment: isSame(current, next) ? undefined : next };
}

function isSame(current: Assignment, next: Assignment): boolean {
  const plain = ({ hosts, shards }: Assignment) =>
    JSON.stringify([[...hosts].sort(), [...shards].sort(([a], [b]) => a - b)]);
  return current.version > 0 && plain(current) === plain(next);
}
