/**
 * What a program of a cluster knows of the published routing table and assignment: followed by
 * notices of their change, and for the table by reading again, as its age counts.
 *
 *  W1 Nothing that was known is forgotten or replaced by less: a table that lacks a generation that
 *     a click can still name, or changed one, and an assignment of a lower version, are refused, loudly.
 *  W2 What cannot be read or understood leaves what is known in force. The table's age goes on
 *     counting: past its lead it answers no more for itself (routing/table.ts).
 *  W3 A copy on disk is what was known in an earlier life, for the time until the document can be
 *     read. As a table it has no age that could be trusted: it routes what a token pins, and answers
 *     for no time. What is published decides over it: a table that does not succeed the copy shows
 *     it to be another cluster's, and it is set aside by name.
 */
import {
  decodeAssignment,
  encodeAssignment,
  NO_ASSIGNMENT,
  type Assignment,
} from "../../actors/assignment/assignment.ts";
import { AdtallyError, isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import type { LocalCopy } from "../../actors/replica/local-copy.ts";
import { emptyTable, tableOf, withoutRetired, type RoutingTable } from "../../actors/routing/table.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";

export interface FollowerDeps {
  readonly state: SharedState;
  readonly copy?: LocalCopy;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RoutingFollower {
  /** Empty before the first was read. */
  readonly table: RoutingTable;
  /** Reads now. @throws SHARED_STATE_UNAVAILABLE, also where nothing is published yet */
  refresh(): Promise<void>;
  /** As refresh; where that cannot be had, a copy will do (W3). */
  begin(): Promise<void>;
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

export function followRouting({ state, copy, limits, clock, logger }: FollowerDeps): RoutingFollower {
  let table = emptyTable(-Infinity);
  let isCopy = false;
  let saved = copy?.text;
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
      if (!isCopy) assertSucceeds(next, withoutRetired(table, beganAtMs, limits));
      else await checkCopy(next);
    } catch (error) {
      throw new AdtallyError("SHARED_STATE_UNAVAILABLE", messageOf(error), { cause: error });
    }
    const before = table.newestFirst[0]?.number ?? 0;
    const newest = next.newestFirst[0]?.number ?? 0;
    if (newest !== before) logger.info({ generation: newest }, "routing table taken up");
    table = next;
    isCopy = false;
    saved = saveWhereNew(copy, encodeTable(next), saved, logger);
  }

  /** W3 */
  async function checkCopy(next: RoutingTable): Promise<void> {
    try {
      assertSucceeds(next, withoutRetired(table, clock.now(), limits));
    } catch (error) {
      await copy?.setAside(`it is another cluster's, or from very long ago (${messageOf(error)})`);
      saved = undefined;
    }
  }

  try {
    if (saved !== undefined) table = decodeTable(saved, -Infinity, limits);
    isCopy = saved !== undefined;
  } catch (error) {
    void copy?.setAside(messageOf(error));
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
    async begin() {
      await refresh().catch((error: unknown) => orCopy(error, isCopy, "routing table", logger));
    },
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
  /** As refresh; where that cannot be had, a copy will do (W3). */
  begin(): Promise<void>;
  close(): void;
}

export function followAssignment(
  { state, copy, logger }: Pick<FollowerDeps, "state" | "copy" | "logger">,
  onChange: (assignment: Assignment) => void,
): AssignmentFollower {
  let assignment = NO_ASSIGNMENT;
  let saved = copy?.text;

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
    saved = saveWhereNew(copy, encodeAssignment(next), saved, logger);
  }
  const watch = state.watch(take);
  async function refresh(): Promise<void> {
    const text = await state.read();
    if (text === undefined) throw new AdtallyError("SHARED_STATE_UNAVAILABLE", NOT_PUBLISHED);
    take(text);
  }
  return {
    get assignment() {
      return assignment;
    },
    refresh,
    async begin() {
      await refresh().catch((error: unknown) => {
        orCopy(error, copy?.text !== undefined, "assignment", logger);
        if (assignment.version === 0) take(copy!.text!);
      });
    },
    close: () => watch.close(),
  };
}

function orCopy(error: unknown, hasCopy: boolean, what: string, logger: Logger): void {
  if (!hasCopy || !isAdtallyError(error, "SHARED_STATE_UNAVAILABLE")) throw error;
  logger.warn({ error: messageOf(error) }, `the ${what} cannot be read: going on with this program's copy`);
}

/** The text that the copy now has. */
function saveWhereNew(
  copy: LocalCopy | undefined,
  text: string,
  saved: string | undefined,
  logger: Logger,
): string {
  if (text === saved) return saved;
  copy?.save(text).catch((error: unknown) => {
    logger.error({ error: messageOf(error) }, "the copy of a shared document could not be written");
  });
  return text;
}
