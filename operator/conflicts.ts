/**
 * The conflicts of one ClickCluster's rounds. Nearly all are over with the next look, which is soon; one
 * that lasts (a field that somebody else holds on to) must neither be tried as fast as it is refused,
 * nor keep everything that was planned behind it from ever being done.
 *
 *  F1 An action that was refused in so many rounds in a row is passed over, and the round goes on, if
 *     nothing that is planned behind it rests on it. The planner's order is otherwise kept (A4 of plan/plan.ts).
 */
import type { Action } from "./plan/actions.ts";

export interface Conflicts {
  /** Rounds in a row that had one. */
  readonly rounds: number;
  /** So many in a row are no coincidence. */
  readonly doLast: boolean;
  /** What was refused and is planned no more is forgotten. */
  begin(actions: readonly Action[]): void;
  done(action: Action): void;
  /** Counts one; whether the round may go on with the next action. */
  refused(action: Action): boolean;
  /** Whether the round had one. */
  end(): boolean;
}

const PATIENCE = 5;
/** Nothing that the planner puts behind these rests on them. */
const ALONE: ReadonlySet<Action["kind"]> = new Set([
  "apply-object",
  "delete-object",
  "apply-split",
  "delete-split",
  "set-split-status",
]);

/** The same thing in each round that plans it. */
export function whatOf(action: Action): string {
  if ("object" in action) return `${action.kind} ${action.object}`;
  if ("name" in action) return `${action.kind} ${action.name}`;
  if ("component" in action) return `${action.kind} ${action.component}`;
  return "host" in action ? `${action.kind} ${action.host}` : action.kind;
}

export function createConflicts(): Conflicts {
  const counts = new Map<string, number>();
  let rounds = 0;
  let isRefused = false;
  return {
    get rounds() {
      return rounds;
    },
    get doLast() {
      return rounds >= PATIENCE;
    },
    begin(actions) {
      isRefused = false;
      const planned = new Set(actions.map(whatOf));
      for (const what of [...counts.keys()]) if (!planned.has(what)) counts.delete(what);
    },
    done: (action) => void counts.delete(whatOf(action)),
    refused(action) {
      isRefused = true;
      const count = (counts.get(whatOf(action)) ?? 0) + 1;
      counts.set(whatOf(action), count);
      return count >= PATIENCE && ALONE.has(action.kind);
    },
    end() {
      rounds = isRefused ? rounds + 1 : 0;
      return isRefused;
    },
  };
}
