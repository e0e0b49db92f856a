/** The query service's gRPC port: ReportService and LiveService, where a port was given for them. */
import type { ReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { authoriseReads, type Callers } from "../../actors/adapters/grpc/auth.ts";
import { createLiveService } from "../../actors/adapters/grpc/live-service.ts";
import { createReportsService } from "../../actors/adapters/grpc/reports-service.ts";
import { createGrpcServer } from "../../actors/adapters/grpc/server.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import { grpcServerCredentials } from "../../actors/adapters/tls/grpc.ts";
import type { ServerFiles } from "../../actors/adapters/tls/material.ts";
import type { LiveFeed } from "../../actors/live/feed.ts";
import type { Program } from "../lib/program.ts";
import type { QueryConfig } from "./config.ts";

export interface ReportsGrpcDeps {
  readonly desk: ReportDesk;
  /** Undefined where there is no bus to follow: then there is no LiveService. */
  readonly feed: LiveFeed | undefined;
  readonly callers: Callers;
  readonly certificates: Certificates<ServerFiles> | undefined;
}

/** @returns the port taken; nothing where none was asked for. @throws PORT_IN_USE */
export async function listenReportsGrpc(
  { clock, config, life, limits, logger }: Program<QueryConfig>,
  { callers, certificates, desk, feed }: ReportsGrpcDeps,
): Promise<{ readonly grpcPort?: number }> {
  if (config.grpcPort === undefined) return {};
  const authoriseFor = (service: string) =>
    authoriseReads(callers, `adtally.v1.${service}`, config.openReports);
  const server = createGrpcServer({
    services: [
      createReportsService({ desk, authorise: authoriseFor("ReportService"), clock, limits, logger }),
      ...(feed ? [createLiveService({ feed, authorise: authoriseFor("LiveService"), limits, logger })] : []),
    ],
    limits,
    clock,
    ...(certificates && { credentials: grpcServerCredentials(certificates, "anyone") }),
  });
  life.onStop("gRPC", () => server.drain());
  return { grpcPort: await server.listen(config.host, config.grpcPort) };
}
