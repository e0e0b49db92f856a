/**
 * What a program of a cluster knows of the published routing table and assignment: followed by
 * notices of their change, and for the table by reading again, as its age counts.
 *
 *  W1 Nothing that was known is forgotten or replaced by less: a table that lacks a generation, or
 *     changed one, and an assignment of a lower version, are refused, loudly.
 *  W2 What cannot be read or understood leaves what is known in force. The table's age goes on
 *     counting: past its lead it answers no more for itself (routing/table.ts).
 */
import { decodeAssignment, NO_ASSIGNMENT, type Assignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { emptyTable, tableOf, type RoutingTable } from "../../actors/routing/table.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";

export interface FollowerDeps {
  readonly state: SharedState;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RoutingFollower {
  /** Empty before the first was read. */
  readonly table: RoutingTable;
  /** Reads now. @throws SHARED_STATE_UNAVAILABLE, also where nothing is published yet */
  refresh(): Promise<void>;
  close(): void;
}

/** A fraction of the lead, so that a few failed readings do no harm. */
const READINGS_PER_LEAD = 60;
export const NOT_PUBLISHED = "nothing is published yet: run npm run assign -- --help";

/** @throws INPUT_INVALID where W1 does not hold */
export function assertSucceeds(next: RoutingTable, known: RoutingTable): void {
  for (const generation of known.newestFirst) {
    const same = next.generations.get(generation.number);
    const plain = (each: typeof generation) => encodeTable(tableOf([each], 0));
    if (same !== undefined && plain(same) === plain(generation)) continue;
    const what = same === undefined ? "lacks" : "has changed";
    throw new AdtallyError(
      "INPUT_INVALID",
      `routing: the published table ${what} generation ${generation.number}`,
    );
  }
}

export function followRouting({ state, limits, clock, logger }: FollowerDeps): RoutingFollower {
  let table = emptyTable(-Infinity);
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const beganAtMs = clock.now();
    const text = await state.read();
    if (text === undefined) {
      throw new AdtallyError(
        "SHARED_STATE_UNAVAILABLE",
        table.newestFirst.length > 0 ? "the table is gone" : NOT_PUBLISHED,
      );
    }
    let next: RoutingTable;
    try {
      next = decodeTable(text, beganAtMs, limits);
      assertSucceeds(next, table);
    } catch (error) {
      throw new AdtallyError("SHARED_STATE_UNAVAILABLE", messageOf(error), { cause: error });
    }
    const before = table.newestFirst[0]?.number ?? 0;
    const newest = next.newestFirst[0]?.number ?? 0;
    if (newest > before) logger.info({ generation: newest }, "routing table taken up");
    table = next;
  }
  const refresh = (): Promise<void> => {
    reading ??= read().finally(() => (reading = undefined));
    return reading;
  };
  const refreshSoon = () =>
    void refresh().catch((error: unknown) =>
      logger.warn({ error: messageOf(error) }, "the routing table could not be read again"),
    );
  const watch = state.watch(() => {
    if (table.newestFirst.length > 0) refreshSoon();
  });
  const timer = clock.every(limits.routingLeadMs / READINGS_PER_LEAD, () => {
    if (table.newestFirst.length > 0) refreshSoon();
  });
  return {
    get table() {
      return table;
    },
    refresh,
    close() {
      timer.cancel();
      watch.close();
    },
  };
}

export interface AssignmentFollower {
  /** The newest; version 0 before the first. */
  readonly assignment: Assignment;
  refresh(): Promise<void>;
  close(): void;
}

export function followAssignment(
  { state, logger }: Pick<FollowerDeps, "state" | "logger">,
  onChange: (assignment: Assignment) => void,
): AssignmentFollower {
  let assignment = NO_ASSIGNMENT;

  function take(text: string): void {
    let next: Assignment;
    try {
      next = decodeAssignment(text);
    } catch (error) {
      logger.error({ error: messageOf(error) }, "the published assignment is refused");
      return;
    }
    if (next.version < assignment.version) {
      logger.error({ found: next.version, known: assignment.version }, "an older assignment is refused");
    }
    if (next.version <= assignment.version) return;
    assignment = next;
    onChange(next);
  }
  const watch = state.watch(take);
  return {
    get assignment() {
      return assignment;
    },
    async refresh() {
      const text = await state.read();
      if (text === undefined) throw new AdtallyError("SHARED_STATE_UNAVAILABLE", NOT_PUBLISHED);
      take(text);
    },
    close: () => watch.close(),
  };
}
