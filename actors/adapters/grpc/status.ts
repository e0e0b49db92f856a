/** How an error is told over gRPC: as a call's status, or as the refusal of one message of a stream. */
import { Metadata, status as Status } from "@grpc/grpc-js";
import { isAdtallyError } from "../../core/errors.ts";
import type { ServiceError } from "@grpc/grpc-js";
import type { ErrorCode, AdtallyError } from "../../core/errors.ts";
import type { Refusal } from "./click-codec.ts";

export const RETRY_AFTER_KEY = "retry-after-ms";

const STATUSES: Partial<Record<ErrorCode, Status>> = {
  OVERLOADED: Status.RESOURCE_EXHAUSTED,
  RATE_LIMITED: Status.RESOURCE_EXHAUSTED,
  INPUT_INVALID: Status.INVALID_ARGUMENT,
  UNAUTHENTICATED: Status.UNAUTHENTICATED,
  PERMISSION_DENIED: Status.PERMISSION_DENIED,
  NOT_FOUND: Status.NOT_FOUND,
  DEADLINE_EXCEEDED: Status.DEADLINE_EXCEEDED,
  ABORTED: Status.UNAVAILABLE,
  APPEND_UNKNOWN: Status.UNAVAILABLE,
  CATALOGUE_UNAVAILABLE: Status.UNAVAILABLE,
  COUNT_SINK_UNAVAILABLE: Status.UNAVAILABLE,
  LOG_STOPPED: Status.UNAVAILABLE,
  LOG_UNAVAILABLE: Status.UNAVAILABLE,
  ROUTING_TABLE_STALE: Status.UNAVAILABLE,
  NOT_KEPT: Status.UNAVAILABLE,
  NOT_OWNER: Status.UNAVAILABLE,
  SHARD_HALTED: Status.UNAVAILABLE,
};

/** What is not told to clients in detail: a defect of ours. The caller logs it. */
const INTERNAL_DETAIL = "internal error; sending it again is safe";

export interface RefusalPolicy {
  /** The hint where the error itself has none. */
  readonly overloadRetryAfterMs: number;
}

type CallStatus = Pick<ServiceError, "code" | "details" | "metadata">;

/** @returns a status to fail a call with; those that are worth a retry carry the hint as a trailer */
export function statusOf(error: unknown, policy: RefusalPolicy): Partial<ServiceError> & CallStatus {
  const metadata = new Metadata();
  const code = isAdtallyError(error) ? STATUSES[error.code] : undefined;
  if (!isAdtallyError(error) || code === undefined) {
    return { code: Status.INTERNAL, details: INTERNAL_DETAIL, metadata };
  }
  const retryAfterMs = hintOf(error, policy);
  if (retryAfterMs > 0) metadata.set(RETRY_AFTER_KEY, String(retryAfterMs));
  return { code, details: error.message, metadata };
}

/** The refusal of one batch. Codes that mean one thing to a client are one code to it. */
export function batchRefusalOf(error: unknown, policy: RefusalPolicy): Refusal {
  if (!isAdtallyError(error) || STATUSES[error.code] === undefined) {
    return { code: "INTERNAL", detail: INTERNAL_DETAIL, retryAfterMs: policy.overloadRetryAfterMs };
  }
  const unavailable = STATUSES[error.code] === Status.UNAVAILABLE;
  const retryAfterMs = hintOf(error, policy);
  return { code: unavailable ? "UNAVAILABLE" : error.code, detail: error.message, retryAfterMs };
}

/** Whether the error is a defect of ours, to be logged. */
export function isDefect(error: unknown): boolean {
  return !isAdtallyError(error) || STATUSES[error.code] === undefined;
}

function hintOf(error: AdtallyError, policy: RefusalPolicy): number {
  return error.after === "retry" ? Math.ceil(error.retryAfterMs ?? policy.overloadRetryAfterMs) : 0;
}
