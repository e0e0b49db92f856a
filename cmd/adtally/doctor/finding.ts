/** What a check comes to, and how one is run: in bounded time, and never with a crash. */
import { messageOf } from "../../../actors/core/errors.ts";
import type { Clock } from "../../../actors/runtime/clock.ts";
import { withDeadline } from "../../../actors/runtime/deadline.ts";

export type Status = "ok" | "warning" | "failed" | "skipped";

export interface Finding {
  /** What was looked at: `gateway`, `kafka`. */
  readonly check: string;
  readonly status: Status;
  readonly detail: string;
  /** What to do; null where nothing is to be done. */
  readonly remedy: string | null;
}

export const ok = (check: string, detail: string): Finding => ({ check, status: "ok", detail, remedy: null });
export const warning = (check: string, detail: string, remedy: string): Finding => ({
  check,
  status: "warning",
  detail,
  remedy,
});
export const failed = (check: string, detail: string, remedy: string): Finding => ({
  check,
  status: "failed",
  detail,
  remedy,
});
/** Not told where it is: a remedy that tells how. */
export const skipped = (check: string, remedy: string): Finding => ({
  check,
  status: "skipped",
  detail: "not looked at: where it is was not said",
  remedy,
});

export interface Looked {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** What throws is a failure of the check's own name. */
export async function looked(
  { clock, timeoutMs }: Looked,
  check: string,
  remedy: string,
  work: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await withDeadline(clock, timeoutMs, check, work());
  } catch (error) {
    return [failed(check, messageOf(error), remedy)];
  }
}

/** Clocks may differ by this much (Limits.clockSkewMs is what breaks; this is what is odd). */
export const ODD_SKEW_MS = 2_500;

/** A clock that was read between two readings of ours. */
export function skewFinding(
  check: string,
  theirsMs: number,
  beforeMs: number,
  afterMs: number,
): Finding | undefined {
  const skewMs = theirsMs < beforeMs ? theirsMs - beforeMs : Math.max(0, theirsMs - afterMs);
  if (Math.abs(skewMs) <= ODD_SKEW_MS) return undefined;
  const way = skewMs > 0 ? "ahead of" : "behind";
  return warning(
    check,
    `its clock is ${(Math.abs(skewMs) / 1_000).toFixed(1)} s ${way} this machine's`,
    "have both machines follow NTP: a click that was received in the future is not counted",
  );
}
