/**
 * ReportService over gRPC: the same words as over HTTP, read by the same reader, answered by the
 * same desk. Served raw, and decoded here: grpc-js tells a caller of malformed bytes that the
 * fault was ours (INTERNAL).
 */
import type { MethodDefinition, ServerUnaryCall, ServiceDefinition, sendUnaryData } from "@grpc/grpc-js";
import type { Metadata } from "@grpc/grpc-js";
import { AdtallyError } from "../../core/errors.ts";
import { formatUuid } from "../../core/ids.ts";
import type { Limits } from "../../core/limits.ts";
import type { Cell } from "../../reports/answer.ts";
import { measuresOf, type Access, type ReportQuery } from "../../reports/query.ts";
import { readReportQuery, type ReportInput, type ReportLimits } from "../../reports/read-query.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { ReportDesk } from "../clickhouse/report-desk.ts";
import type { ClickExplanation, Report } from "../clickhouse/reports.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import type { GrpcService } from "./server.ts";
import { isDefect, statusOf } from "./status.ts";
import { malformed } from "./wire.ts";

export interface ReportsServiceDeps {
  readonly desk: ReportDesk;
  /** What the caller may see; throws for one that may not read reports at all. */
  readonly authorise: (metadata: Metadata) => Promise<Access>;
  readonly clock: Clock;
  readonly limits: ReportLimits & Pick<Limits, "overloadRetryAfterMs">;
  readonly logger: Logger;
}

/** As proto-loader decodes it: 64-bit numbers are decimal strings, enums their names. */
interface ReportRequest {
  readonly advertiserIds: readonly string[];
  readonly campaignIds: readonly string[];
  readonly adIds: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly timeZone: string;
  readonly granularity: string | number;
  readonly groupBy: readonly (string | number)[];
  readonly verdicts: readonly (string | number)[];
  readonly includeLate: boolean;
  readonly top: number;
  readonly comparePrevious: boolean;
  readonly sort: string;
  readonly limit: number;
  readonly cursor: string;
}

/** What was left out stays out; a number is an enum's that this server does not know, and is refused as such. */
export function inputOf(request: ReportRequest): ReportInput {
  const list = (values: readonly (string | number)[], prefix: string, form = (name: string) => name) =>
    values.map((value) => form(String(value).replace(prefix, ""))).join(",");
  const lower = (name: string) => name.toLowerCase();
  const granularity = list([request.granularity], "REPORT_GRANULARITY_", lower);
  const said: Record<string, string> = {
    advertiser_id: request.advertiserIds.join(","),
    campaign_id: request.campaignIds.join(","),
    ad_id: request.adIds.join(","),
    from: request.from,
    to: request.to,
    time_zone: request.timeZone,
    granularity: granularity === "unspecified" ? "" : granularity,
    group_by: list(request.groupBy, "REPORT_GROUP_", lower),
    verdict: list(request.verdicts, "VERDICT_"),
    include: request.includeLate ? "late" : "",
    top: request.top === 0 ? "" : String(request.top),
    compare: request.comparePrevious ? "previous" : "",
    sort: request.sort,
    limit: request.limit === 0 ? "" : String(request.limit),
    cursor: request.cursor,
  };
  return Object.fromEntries(Object.entries(said).filter(([, text]) => text !== ""));
}

/** One cell of a row, by its column's name; undefined for what is not known: absent on the wire. */
function countsOf(query: ReportQuery, of: (name: string) => Cell | undefined): object {
  return Object.fromEntries(measuresOf(query).map((name) => [name, of(name) ?? undefined]));
}

const reasonOnWire = (reason: string): string => `REASON_${reason === "NONE" ? "UNSPECIFIED" : reason}`;

export function reportToWire(query: ReportQuery, report: Report): object {
  const { columns, next, previousTotal, rawSinceMs, rowCount, rows, span, total, watermarkMs } = report;
  const places = new Map(columns.map(({ name }, at) => [name, at]));
  return {
    fromMs: span.fromMs,
    toMs: span.toMs,
    rows: rows.map((row) => {
      const cell = (name: string): Cell | undefined => {
        const at = places.get(name);
        return at === undefined ? undefined : (row[at] ?? undefined);
      };
      const [verdict, reason] = [cell("verdict"), cell("reason")];
      return {
        startMs: cell("start"),
        endMs: cell("end"),
        advertiserId: cell("advertiser_id"),
        campaignId: cell("campaign_id"),
        adId: cell("ad_id"),
        ...(verdict !== undefined && { verdict: `VERDICT_${String(verdict)}` }),
        ...(reason !== undefined && { reason: reasonOnWire(String(reason)) }),
        rest: cell("rest") === true,
        counts: countsOf(query, cell),
        share: cell("share"),
        ...(query.compare && { previous: countsOf(query, (name) => cell(`previous_${name}`)) }),
        final: cell("status") === "final",
      };
    }),
    rowCount,
    total: countsOf(query, (name) => total[name as keyof typeof total]),
    ...(previousTotal && {
      previousTotal: countsOf(query, (name) => previousTotal[name as keyof typeof previousTotal]),
    }),
    rawSinceMs,
    ...(watermarkMs !== undefined && { watermarkMs }),
    next: next ?? "",
  };
}

function explanationToWire({ counted, has_more, reason, rows, verdict }: ClickExplanation): object {
  return {
    verdict: `VERDICT_${verdict}`,
    reason: reasonOnWire(reason),
    counted,
    rows: rows.map((row) => ({
      verdict: `VERDICT_${row.verdict}`,
      recordedVerdict: `VERDICT_${row.recorded_verdict}`,
      reason: reasonOnWire(row.reason),
      source: row.source,
      shard: row.shard,
      logOffset: row.log_offset,
      rowNumber: row.row_number,
      adId: row.ad_id,
      campaignId: row.campaign_id,
      advertiserId: row.advertiser_id,
      windowMs: Date.parse(row.window),
      clickTimeMs: Date.parse(row.click_time),
      receivedTimeMs: Date.parse(row.received_time),
      generation: row.generation,
      userAgent: row.user_agent,
    })),
    hasMore: has_more,
  };
}

export function createReportsService(deps: ReportsServiceDeps): GrpcService {
  const { authorise, clock, desk, limits, logger } = deps;
  const service = serviceOf(loadProtos(), "ReportService");

  async function report(request: ReportRequest, access: Access): Promise<object> {
    const nowMs = clock.now();
    const { faults, query } = readReportQuery(inputOf(request), { nowMs, limits });
    if (query !== undefined) return reportToWire(query, await desk.report(query, access, nowMs));
    const detail = faults.map(({ field, reason }) => `${field} ${reason}`).join("; ");
    throw new AdtallyError("INPUT_INVALID", detail);
  }

  async function explain({ impressionId }: { impressionId: Buffer }, access: Access): Promise<object> {
    if (impressionId.length !== 16)
      throw new AdtallyError("INPUT_INVALID", "impression_id must be a UUID of 16 bytes");
    return explanationToWire(await desk.explain(formatUuid(impressionId), access));
  }

  return {
    name: "ReportService",
    raw: true,
    handlers: {
      Report: unary(service, "Report", "ReportRequest", report),
      Explain: unary(service, "Explain", "ExplainRequest", explain),
    },
  };

  function unary<Request>(
    of: ServiceDefinition,
    name: string,
    message: string,
    answer: (request: Request, access: Access) => Promise<object>,
  ) {
    const { requestDeserialize, responseSerialize } = of[name] as MethodDefinition<Request, object>;
    const decode = (bytes: Buffer): Request => {
      try {
        return requestDeserialize(bytes);
      } catch (error) {
        throw malformed(message, error);
      }
    };
    const serve = async ({ metadata, request }: ServerUnaryCall<Buffer, Buffer>): Promise<Buffer> => {
      const access = await authorise(metadata);
      return responseSerialize(await answer(decode(request), access));
    };
    return (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void => {
      serve(call).then(
        (response) => reply(null, response),
        (error: unknown) => {
          if (isDefect(error)) logger.error({ error }, "a report failed");
          reply(statusOf(error, limits));
        },
      );
    };
  }
}
