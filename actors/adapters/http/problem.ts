/**
 * Every refusal of the HTTP API, as an RFC 9457 problem document: `code` is stable and made for
 * programs, `detail` says what was wrong and what to do, `errors` names fields at fault.
 *
 * Invariants
 *  Q1 Every answer of 400 and above is application/problem+json, the framework's own too.
 *  Q2 A 5xx tells nothing of the inside (no message of an unknown error, no stack, no path);
 *     the log has it.
 */
import { STATUS_CODES } from "node:http";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { AdtallyError, type ErrorCode } from "../../core/errors.ts";
import type { FieldError } from "../../catalogue/ad.ts";
import type { Logger } from "../../runtime/log.ts";
import { schemaError } from "./schema-error.ts";

export type ProblemCode =
  | ErrorCode
  | "BODY_MALFORMED"
  | "BODY_NOT_JSON"
  | "BODY_NOT_UTF8"
  | "BODY_TOO_LARGE"
  | "INTERNAL"
  | "MEDIA_TYPE_UNSUPPORTED"
  | "NOT_READY"
  | "REQUEST_TIMEOUT"
  | "ROUTE_NOT_FOUND"
  | "URL_MALFORMED";

export interface ProblemExtra {
  readonly errors?: readonly FieldError[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** Throw it from any route or hook. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  readonly status: number;
  readonly code: ProblemCode;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: ProblemCode, detail: string, extra: ProblemExtra = {}) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.status = status;
    this.code = code;
    this.errors = extra.errors;
    this.headers = extra.headers ?? {};
  }
}

export const PROBLEM_TYPE = "application/problem+json";

export function problemBody(problem: HttpProblem): object {
  return {
    type: "about:blank",
    title: STATUS_CODES[problem.status] ?? "Error",
    status: problem.status,
    code: problem.code,
    detail: problem.message,
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
}

/** INPUT_INVALID that names the fields at fault. */
export function invalidInput(errors: readonly FieldError[]): HttpProblem {
  const detail = errors.map(({ field, reason }) => (field === "" ? reason : `${field} ${reason}`)).join("; ");
  return new HttpProblem(400, "INPUT_INVALID", detail, { errors });
}

/** Codes with a status of their own; any other is 503 when a retry may help, else 500. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  CATALOGUE_CONFLICT: 409,
  DEADLINE_EXCEEDED: 504,
  INPUT_INVALID: 400,
  NOT_FOUND: 404,
  PERMISSION_DENIED: 403,
  RATE_LIMITED: 429,
  UNAUTHENTICATED: 401,
};

/** The framework's errors that a client causes. All others are ours. */
const FRAMEWORK: Readonly<Record<string, readonly [status: number, code: ProblemCode, detail: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, "BODY_TOO_LARGE", "the body is larger than this route takes"],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, "BODY_NOT_JSON", "the body is empty; this route takes a JSON object"],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    400,
    "BODY_MALFORMED",
    "the body is not as long as Content-Length says",
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    415,
    "MEDIA_TYPE_UNSUPPORTED",
    "this route does not take that Content-Type; the API takes application/json, the import application/x-ndjson",
  ],
  FST_ERR_BAD_URL: [400, "URL_MALFORMED", "the path is not valid percent-encoded UTF-8"],
  FST_ERR_MAX_PARAM_LENGTH: [404, "ROUTE_NOT_FOUND", "a part of the path is longer than any id"],
};

export function toProblem(error: unknown, request: FastifyRequest): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof AdtallyError) return fromAdtally(error);
  const framework = error as FastifyError;
  if (framework.validation !== undefined) {
    return invalidInput(framework.validation.map((each) => schemaError(each, framework.validationContext)));
  }
  if (framework.code === "FST_ERR_HANDLER_TIMEOUT" && !request.raw.complete) {
    return new HttpProblem(408, "REQUEST_TIMEOUT", "the body did not arrive in time", {
      headers: { connection: "close" },
    });
  }
  const known = FRAMEWORK[framework.code];
  if (known !== undefined) return new HttpProblem(...known);
  if (framework.code === "FST_ERR_HANDLER_TIMEOUT") {
    return new HttpProblem(504, "DEADLINE_EXCEEDED", "the answer took too long; try again", { cause: error });
  }
  return internal(error);
}

function internal(cause: unknown): HttpProblem {
  return new HttpProblem(500, "INTERNAL", "this is our fault, not yours; the server's log says more", {
    cause,
  });
}

function fromAdtally(error: AdtallyError): HttpProblem {
  const status = STATUS_OF[error.code];
  const retryAfterS = String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1_000) / 1_000)));
  if (status !== undefined) {
    const headers = status === 429 ? { "retry-after": retryAfterS } : {};
    return new HttpProblem(status, error.code, error.message, { cause: error, headers });
  }
  if (error.code === "COUNT_SINK_REJECTED") {
    const detail =
      "ClickHouse refuses what this needs: it stays so until mended. GET /readyz and the log say what to do";
    return new HttpProblem(503, error.code, detail, { cause: error });
  }
  if (error.after !== "retry") return internal(error);
  const detail = `not possible for the moment; try again in ${retryAfterS} s`;
  return new HttpProblem(503, error.code, detail, {
    cause: error,
    headers: { "retry-after": retryAfterS },
  });
}

export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: Logger,
): FastifyReply {
  const problem = toProblem(error, request);
  if (problem.status >= 500) {
    logger.error(
      { err: problem.cause ?? problem, method: request.method, route: request.routeOptions.url },
      "request failed",
    );
  }
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .header("cache-control", "no-store")
    .header("content-type", PROBLEM_TYPE)
    .send(Buffer.from(JSON.stringify(problemBody(problem))));
}

export function routeNotFound(request: FastifyRequest): HttpProblem {
  const path = request.url.split("?", 1)[0]!.slice(0, 200);
  return new HttpProblem(
    404,
    "ROUTE_NOT_FOUND",
    `nothing answers ${request.method} ${path}; GET /openapi.json lists what does`,
  );
}
