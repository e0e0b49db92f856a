/** The query service's gRPC port: ReportService, where a port was given for it. */
import type { ReportDesk } from "../../actors/adapters/clickhouse/report-desk.ts";
import { authoriseReads, type Callers } from "../../actors/adapters/grpc/auth.ts";
import { createReportsService } from "../../actors/adapters/grpc/reports-service.ts";
import { createGrpcServer } from "../../actors/adapters/grpc/server.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import { grpcServerCredentials } from "../../actors/adapters/tls/grpc.ts";
import type { ServerFiles } from "../../actors/adapters/tls/material.ts";
import type { Program } from "../lib/program.ts";
import type { QueryConfig } from "./config.ts";

export interface ReportsGrpcDeps {
  readonly desk: ReportDesk;
  readonly callers: Callers;
  readonly certificates: Certificates<ServerFiles> | undefined;
}

/** @returns the port taken; nothing where none was asked for. @throws PORT_IN_USE */
export async function listenReportsGrpc(
  { clock, config, life, limits, logger }: Program<QueryConfig>,
  { callers, certificates, desk }: ReportsGrpcDeps,
): Promise<{ readonly grpcPort?: number }> {
  if (config.grpcPort === undefined) return {};
  const authorise = authoriseReads(callers, "adtally.v1.ReportService", config.openReports);
  const server = createGrpcServer({
    services: [createReportsService({ desk, authorise, clock, limits, logger })],
    limits,
    clock,
    ...(certificates && { credentials: grpcServerCredentials(certificates, "anyone") }),
  });
  life.onStop("gRPC", () => server.drain());
  return { grpcPort: await server.listen(config.host, config.grpcPort) };
}
