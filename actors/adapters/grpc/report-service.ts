/** HostService and GatewayService: what a program says of its load, to the operator. */
import { statusOf } from "./status.ts";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import type { GatewayStatus, HostStatus } from "../../load/report.ts";
import type { Limits } from "../../core/limits.ts";
import type { Logger } from "../../runtime/log.ts";
import type { GrpcService } from "./server.ts";

export interface ReportServiceDeps<Status> {
  readonly report: () => Promise<Status>;
  readonly limits: Pick<Limits, "overloadRetryAfterMs">;
  readonly logger: Logger;
}

export function createHostService(deps: ReportServiceDeps<HostStatus>): GrpcService {
  return serviceOf("HostService", deps, (status) => ({
    ...status,
    held: Object.fromEntries(status.held),
    topAds: status.topAds.map((each) => ({ ...each, adId: String(each.adId) })),
  }));
}

export function createGatewayService(deps: ReportServiceDeps<GatewayStatus>): GrpcService {
  return serviceOf("GatewayService", deps, (status) => status);
}

function serviceOf<Status>(
  name: string,
  { report, limits, logger }: ReportServiceDeps<Status>,
  encode: (status: Status) => object,
): GrpcService {
  return {
    name,
    handlers: {
      Report(_call: ServerUnaryCall<unknown, unknown>, reply: sendUnaryData<unknown>): void {
        report().then(
          (status) => reply(null, encode(status)),
          (error: unknown) => {
            logger.warn({ error }, "a report could not be made");
            reply(statusOf(error, limits));
          },
        );
      },
    },
  };
}
