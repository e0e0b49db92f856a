/**
 * What is to be published, from what is published and what is wanted: pure. Which shards have to be
 * assigned is in actors/assignment/keep.ts (U1, U2), which the operator's planner goes by as well.
 */
import { assign, NO_ASSIGNMENT, type Assignment } from "../../actors/assignment/assignment.ts";
import { isSameAssignment, markUnrouted, shardsToKeep } from "../../actors/assignment/keep.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { addGeneration, changeTo, emptyTable, type RoutingTable } from "../../actors/routing/table.ts";

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
  const change = changeTo(before.newestFirst[0], wanted.shards, wanted.splits);
  const routing = change === undefined ? before : addGeneration(before, change, nowMs, limits);
  const current = published.assignment ?? NO_ASSIGNMENT;
  const shards = shardsToKeep(current, routing, nowMs, limits);
  const next = markUnrouted(assign(current, wanted.hosts, shards), routing, nowMs, limits);
  return {
    routing: change === undefined ? undefined : routing,
    assignment: isSameAssignment(current, next) ? undefined : next,
  };
}
