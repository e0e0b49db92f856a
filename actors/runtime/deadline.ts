/** A bound on how long a caller waits for a promise; the work behind it is not cancelled. */
import { AdtallyError } from "../core/errors.ts";
import type { Clock } from "./clock.ts";

/** @throws DEADLINE_EXCEEDED, naming what was waited for, or what the promise rejects with */
export function withDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  what: string,
  work: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(deadlineMs, () =>
      reject(new AdtallyError("DEADLINE_EXCEEDED", `${what} did not answer within ${deadlineMs} ms`)),
    );
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
