/**
 * Errors in ClickHouse's own form: number, name, text, and the HTTP status that the real
 * server gives for each (its exceptionCodeToHTTPStatus), chosen by name.
 */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: number;
  readonly errorName: string;

  constructor(code: number, errorName: string, detail: string) {
    super(`Code: ${code}. DB::Exception: ${detail} (${errorName})`);
    this.code = code;
    this.errorName = errorName;
  }
}

export const tooManyQueries = (limit: number): EngineError =>
  new EngineError(202, "TOO_MANY_SIMULTANEOUS_QUERIES", `Too many simultaneous queries. Maximum: ${limit}.`);
export const timedOut = (seconds: number): EngineError =>
  new EngineError(159, "TIMEOUT_EXCEEDED", `Timeout exceeded: the query was given ${seconds} seconds.`);
export const readOnlyRefused = (why: string): EngineError =>
  new EngineError(164, "READONLY", `Cannot execute query in readonly mode. ${why}`);
export const bodyTooLarge = (limit: number): EngineError =>
  new EngineError(307, "TOO_MANY_BYTES", `The request's body is longer than the ${limit} bytes allowed.`);
export const shuttingDown = (): EngineError =>
  new EngineError(236, "ABORTED", "The server is shutting down.");

const STATUS: readonly (readonly [status: number, names: string])[] = [
  [401, "REQUIRED_PASSWORD"],
  [403, "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED"],
  [
    400,
    "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE " +
      "CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER " +
      "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 " +
      "CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_UUID DUPLICATE_COLUMN ILLEGAL_COLUMN " +
      "UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST " +
      "UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
  ],
  [
    404,
    "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE " +
      "UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT " +
      "UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE",
  ],
  [413, "QUERY_IS_TOO_LARGE"],
  [501, "NOT_IMPLEMENTED"],
  [503, "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK"],
  [411, "HTTP_LENGTH_REQUIRED"],
  [408, "TIMEOUT_EXCEEDED"],
  [415, "UNSUPPORTED_MEDIA_TYPE"],
];
const statusByName = new Map(STATUS.flatMap(([status, names]) => names.split(" ").map((n) => [n, status])));

export function httpStatusOf(errorName: string): number {
  return statusByName.get(errorName) ?? 500;
}

/** The engine's own failure as it came out of chdb, or anything else as a LOGICAL_ERROR. */
export function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const form = /^Code: (\d+)\. DB::Exception: (.*) \(([A-Z][A-Z0-9_]+)\)\s*$/s.exec(text);
  if (form === null) return new EngineError(49, "LOGICAL_ERROR", text);
  // A nested failure repeats the prefix and the version; the innermost text is what helps.
  const detail = form[2]!
    .replaceAll(/Code: \d+\. DB::Exception: /g, "")
    .replaceAll(/ \([A-Z][A-Z0-9_]+\) \(version [^()]*\)\.?/g, "");
  return new EngineError(Number(form[1]), form[3]!, detail);
}
