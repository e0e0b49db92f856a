/** GET /v1/reports: the report API, as JSON, CSV or Parquet. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import type { Report } from "../../actors/adapters/clickhouse/reports.ts";
import { toParquet } from "../../actors/adapters/http/parquet.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import type { Access, ReportQuery } from "../../actors/reports/query.ts";
import {
  REPORT_FIELDS,
  readReportQuery,
  type ReportField,
  type ReportInput,
  type ReportLimits,
} from "../../actors/reports/read-query.ts";
import { toCsv, toObjects } from "../../actors/reports/render.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { reportSchema } from "./report-schema.ts";

export interface ReportRouteDeps {
  readonly desk: ReportDesk;
  readonly clock: Clock;
  readonly limits: ReportLimits & Pick<Limits, "reportMaxRows">;
  readonly onRequest: (request: FastifyRequest) => Promise<void>;
  readonly accessOf: (request: FastifyRequest) => Access;
}

const TYPES = {
  json: "application/json",
  csv: "text/csv",
  parquet: "application/vnd.apache.parquet",
} as const;
type Format = keyof typeof TYPES;

type Query = ReportInput & { readonly format?: Format };

/** One report, as an answer: of a key's question, or of a shared link's. */
export type AnswerReport = (asked: {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly input: Query;
  readonly access: Access;
  /** Where the page behind a cursor is asked for. */
  readonly next: (cursor: string) => string;
}) => Promise<FastifyReply>;

/** @throws what is wrong with the question, as its answer would */
export type CheckReport = (input: Query, access: Access) => Promise<void>;

export function createReportAnswers({
  clock,
  desk,
  limits,
}: Pick<ReportRouteDeps, "clock" | "desk" | "limits">): {
  readonly answer: AnswerReport;
  readonly check: CheckReport;
} {
  const read = (input: Query, nowMs: number): ReportQuery => {
    const { faults, query } = readReportQuery(input, { nowMs, limits });
    if (faults !== undefined) throw invalidInput(faults);
    return query;
  };
  return {
    async answer({ access, input, next, reply, request }) {
      const format = input.format ?? accepted(request.headers.accept);
      const nowMs = clock.now();
      const asked = read(input, nowMs);
      // A file is whole, unless a page of it was asked for.
      const isPage = format === "json" || input.limit !== undefined;
      const query = isPage ? asked : { ...asked, limit: limits.reportMaxRows };
      const report = await desk.report(query, access, nowMs);
      reply.header("cache-control", "no-store");
      reply.header("vary", "accept");
      if (report.next !== null) reply.header("link", `<${next(report.next)}>; rel="next"`);
      return send(reply, format, query, report);
    },
    async check(input, access) {
      const nowMs = clock.now();
      await desk.report({ ...read(input, nowMs), limit: 1 }, access, nowMs);
    },
  };
}

export function addReportRoute(app: FastifyInstance, deps: ReportRouteDeps): void {
  const { accessOf, limits, onRequest } = deps;
  const { answer } = createReportAnswers(deps);

  app.get<{ Querystring: Query }>(
    "/v1/reports",
    { schema: reportSchema(limits), onRequest },
    async (request, reply) =>
      answer({
        request,
        reply,
        input: request.query,
        access: accessOf(request),
        next: (cursor) => nextUrl(request, cursor),
      }),
  );
}

/** The first of ours that the header names; JSON for whoever takes anything. */
function accepted(header: string | undefined): Format {
  const named = (header ?? "").split(",").map((part) => part.split(";", 1)[0]!.trim().toLowerCase());
  const formats = Object.keys(TYPES) as Format[];
  for (const type of named) {
    const format = formats.find((each) => TYPES[each] === type);
    if (format !== undefined) return format;
  }
  return "json";
}

function nextUrl(request: FastifyRequest<{ Querystring: Query }>, cursor: string): string {
  const given = [...REPORT_FIELDS, "format" as const].flatMap((field): [string, string][] => {
    const value = request.query[field as ReportField];
    return value === undefined || field === "cursor" ? [] : [[field, value]];
  });
  return `/v1/reports?${new URLSearchParams([...given, ["cursor", cursor]])}`;
}

function send(reply: FastifyReply, format: Format, query: ReportQuery, report: Report): FastifyReply {
  if (format === "csv") {
    reply.header("content-disposition", 'attachment; filename="report.csv"');
    return reply.type(`${TYPES.csv}; charset=utf-8; header=present`).send(Buffer.from(toCsv(report)));
  }
  if (format === "parquet") {
    reply.header("content-disposition", 'attachment; filename="report.parquet"');
    return reply.type(TYPES.parquet).send(toParquet(report));
  }
  // Written here: the columns differ from question to question, which the framework's serialiser cannot know.
  return reply.type(`${TYPES.json}; charset=utf-8`).send(Buffer.from(JSON.stringify(toJson(query, report))));
}

const rfc3339 = (timeMs: number): string => new Date(timeMs).toISOString();

function toJson(query: ReportQuery, report: Report): object {
  const { columns, next, previousSpan, previousTotal, rawSinceMs, rowCount, span, total, watermarkMs } =
    report;
  return {
    from: rfc3339(span.fromMs),
    to: rfc3339(span.toMs),
    time_zone: query.timeZone,
    granularity: query.granularity,
    group_by: query.groupBy,
    columns: columns.map(({ name }) => name),
    rows: toObjects(report),
    row_count: rowCount,
    total,
    previous_from: previousSpan === undefined ? null : rfc3339(previousSpan.fromMs),
    previous_to: previousSpan === undefined ? null : rfc3339(previousSpan.toMs),
    previous_total: previousTotal ?? null,
    raw_since: rfc3339(rawSinceMs),
    watermark: watermarkMs === undefined ? null : rfc3339(watermarkMs),
    next,
  };
}
