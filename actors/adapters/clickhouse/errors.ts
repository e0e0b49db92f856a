/**
 * What each of ClickHouse's errors means to a caller: may the same request succeed?
 *
 *  soon    Yes, in a moment: the client itself tries again within its deadline.
 *  later   Yes, when the server has recovered: asking at once would add to its load. The caller
 *          backs off (COUNT_SINK_UNAVAILABLE).
 *  refuse  No: the request, the schema or the rights are at fault (COUNT_SINK_REJECTED).
 *
 * "Soon" includes errors that leave open whether a write was applied: all our writes may be
 * repeated (absolute, versioned counts; rows named by their place in the log).
 */
import { ClickHouseError } from "@clickhouse/client";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { tlsFault } from "../tls/faults.ts";

export type ErrorClass = "soon" | "later" | "refuse";

/** Code, name and class. What is not listed is refused: an unknown error is not retried blindly. */
export const ERROR_CLASSES: readonly (readonly [code: number, name: string, errorClass: ErrorClass])[] = [
  [76, "CANNOT_OPEN_FILE", "soon"],
  [159, "TIMEOUT_EXCEEDED", "later"],
  [160, "TOO_SLOW", "later"],
  [198, "DNS_ERROR", "soon"],
  [202, "TOO_MANY_SIMULTANEOUS_QUERIES", "soon"],
  [203, "NO_FREE_CONNECTION", "soon"],
  [209, "SOCKET_TIMEOUT", "soon"],
  [210, "NETWORK_ERROR", "soon"],
  [225, "NO_ZOOKEEPER", "later"],
  [236, "ABORTED", "soon"],
  [241, "MEMORY_LIMIT_EXCEEDED", "later"],
  [242, "TABLE_IS_READ_ONLY", "later"],
  [243, "NOT_ENOUGH_SPACE", "later"],
  [252, "TOO_MANY_PARTS", "later"],
  [279, "ALL_CONNECTION_TRIES_FAILED", "soon"],
  [285, "TOO_FEW_LIVE_REPLICAS", "later"],
  [286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "later"],
  [319, "UNKNOWN_STATUS_OF_INSERT", "soon"],
  [394, "QUERY_WAS_CANCELLED", "soon"],
  [425, "SYSTEM_ERROR", "later"],
  [439, "CANNOT_SCHEDULE_TASK", "later"],
  [999, "KEEPER_EXCEPTION", "later"],
  [16, "NO_SUCH_COLUMN_IN_TABLE", "refuse"],
  [33, "CANNOT_READ_ALL_DATA", "refuse"],
  [47, "UNKNOWN_IDENTIFIER", "refuse"],
  [60, "UNKNOWN_TABLE", "refuse"],
  [62, "SYNTAX_ERROR", "refuse"],
  [81, "UNKNOWN_DATABASE", "refuse"],
  [164, "READONLY", "refuse"],
  [192, "UNKNOWN_USER", "refuse"],
  [193, "WRONG_PASSWORD", "refuse"],
  [452, "SETTING_CONSTRAINT_VIOLATION", "refuse"],
  [497, "ACCESS_DENIED", "refuse"],
  [516, "AUTHENTICATION_FAILED", "refuse"],
];

const classByName = new Map(ERROR_CLASSES.map(([, name, errorClass]) => [name, errorClass]));
const classByCode = new Map(ERROR_CLASSES.map(([code, , errorClass]) => [code, errorClass]));

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

export function classifyError(error: unknown): ErrorClass {
  if (error instanceof AdtallyError) return error.after === "retry" ? "soon" : "refuse";
  if (error instanceof ClickHouseError)
    return classByName.get(error.type ?? "") ?? classByCode.get(Number(error.code)) ?? "refuse";
  // Whoever renews a file, here or there, mends it while this program runs.
  return tlsFault(error, "clickhouse") === undefined ? "soon" : "later";
}

/** What to do about it, where the cause lies with the configuration. */
function advice(error: unknown): string {
  const name = error instanceof ClickHouseError ? (error.type ?? "") : codeOf(error);
  if (name === "AUTHENTICATION_FAILED" || name === "WRONG_PASSWORD" || name === "UNKNOWN_USER")
    return "; check the user and the password that adtally is given for ClickHouse";
  if (name === "ACCESS_DENIED") return "; give this user the rights that it names";
  if (name === "TOO_MANY_PARTS") return "; merges are behind: it goes on by itself when they catch up";
  if (name === "NOT_ENOUGH_SPACE") return "; make room on the server's disk";
  if (name === "TABLE_IS_READ_ONLY") return "; the table's replica has lost its Keeper";
  const fault = tlsFault(error, "clickhouse");
  return fault === undefined ? "" : `; ${fault}`;
}

/** `doing` names what was asked: 'an insert'. */
export function asSinkError(error: unknown, doing: string): AdtallyError {
  if (error instanceof AdtallyError) return error;
  const why =
    error instanceof ClickHouseError
      ? `code ${error.code} ${error.type ?? ""}: ${error.message}`
      : `${messageOf(error)}${codeOf(error) === "" ? "" : ` (${codeOf(error)})`}`;
  return classifyError(error) === "refuse"
    ? new AdtallyError("COUNT_SINK_REJECTED", `ClickHouse refused ${doing}: ${why}${advice(error)}`, {
        cause: error,
      })
    : new AdtallyError("COUNT_SINK_UNAVAILABLE", `ClickHouse did not take ${doing}: ${why}${advice(error)}`, {
        cause: error,
      });
}
