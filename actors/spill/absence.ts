/**
 * Whether something that did not answer in time is asked again: by one question at a time, until
 * one is answered. Everybody else is told at once not to wait for it.
 *
 *  A1 While an overdue answer is owed, nothing more is asked.
 *  A2 After that one question is asked, and owed from its beginning, until one is answered.
 */
export interface Question {
  /** Its answer is late. */
  overdue(): void;
  /** It was answered, if only to refuse; or it failed. */
  end(isAnswered: boolean): void;
}

export interface Absence {
  /** Undefined: do not ask now. */
  ask(): Question | undefined;
}

export function createAbsence(): Absence {
  let isAway = false;
  let owed = 0;
  return {
    ask() {
      if (owed > 0) return undefined;
      let isOwed = isAway;
      if (isOwed) owed += 1;
      return {
        overdue() {
          if (isOwed) return;
          isOwed = true;
          isAway = true;
          owed += 1;
        },
        end(isAnswered) {
          if (isOwed) owed -= 1;
          if (isAnswered && owed === 0) isAway = false;
        },
      };
    },
  };
}
