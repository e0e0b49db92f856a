/**
 * The one error type that crosses a module's border on purpose.
 *
 * `after` says what the runtime does next, so that no caller needs to parse a message:
 *   retry   the same call may succeed later (idempotent targets only);
 *   refuse  the input is at fault: tell the sender by `code`, lose nothing else;
 *   halt    the state is impossible: stop the shard (or the program) and raise an alarm.
 */
export type After = "retry" | "refuse" | "halt";

const CODES = {
  ABORTED: "retry",
  APPEND_UNKNOWN: "retry",
  CATALOGUE_CONFLICT: "refuse",
  CATALOGUE_UNAVAILABLE: "retry",
  CONFIG_INVALID: "refuse",
  COUNT_SINK_REJECTED: "halt",
  COUNT_SINK_UNAVAILABLE: "retry",
  DATA_DIR_IN_USE: "refuse",
  DEADLINE_EXCEEDED: "retry",
  INPUT_INVALID: "refuse",
  KUBERNETES_CONFLICT: "retry",
  KUBERNETES_REFUSED: "refuse",
  KUBERNETES_UNAVAILABLE: "retry",
  LIMITS_INCONSISTENT: "halt",
  LOG_BEHIND_STATE: "halt",
  LOG_CORRUPT: "halt",
  LOG_FULL: "retry",
  LOG_STOPPED: "halt",
  LOG_UNAVAILABLE: "retry",
  NOT_FOUND: "refuse",
  NOT_KEPT: "retry",
  NOT_LEADER: "retry",
  NOT_OWNER: "retry",
  OFFSET_OUT_OF_RANGE: "halt",
  OVERLOADED: "retry",
  PERMISSION_DENIED: "refuse",
  PORT_IN_USE: "refuse",
  RATE_LIMITED: "retry",
  ROUTING_TABLE_STALE: "retry",
  SCHEMA_TOO_NEW: "refuse",
  SHARD_HALTED: "retry",
  SHARED_STATE_UNAVAILABLE: "retry",
  STATE_IMPOSSIBLE: "halt",
  STORE_CORRUPT: "retry",
  STORE_STOPPED: "halt",
  UNAUTHENTICATED: "refuse",
} as const satisfies Record<string, After>;

export type ErrorCode = keyof typeof CODES;

export interface ErrorExtra {
  readonly cause?: unknown;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** The one record of a log that the error is about: all behind it can be read. */
  readonly offset?: number;
}

export class AdtallyError extends Error {
  override readonly name = "AdtallyError";
  readonly code: ErrorCode;
  readonly after: After;
  readonly retryAfterMs: number | undefined;
  readonly offset: number | undefined;

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.after = CODES[code];
    this.retryAfterMs = extra.retryAfterMs;
    this.offset = extra.offset;
  }
}

export function isAdtallyError(error: unknown, code?: ErrorCode): error is AdtallyError {
  return error instanceof AdtallyError && (code === undefined || error.code === code);
}

/** An invariant of our own: false means that the state is impossible, and the shard stops. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AdtallyError("STATE_IMPOSSIBLE", message);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
