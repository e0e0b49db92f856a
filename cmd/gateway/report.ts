/** What a gateway says of itself to the operator: GatewayService, on a port of its own. */
import { createGatewayService } from "../../actors/adapters/grpc/report-service.ts";
import { createGrpcServer } from "../../actors/adapters/grpc/server.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import { grpcServerCredentials } from "../../actors/adapters/tls/grpc.ts";
import { LOAD_SPAN_MS } from "../../actors/load/host-load.ts";
import type { GatewayStatus } from "../../actors/load/report.ts";
import type { ShardPort } from "../../actors/ports/shard-port.ts";
import { createRecentRate } from "../../actors/runtime/recent-rate.ts";
import type { SpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";
import type { SpoolDrainer } from "../../actors/spill/spool-drainer.ts";
import { measureProcess } from "../lib/process-load.ts";
import type { Program } from "../lib/program.ts";

export interface GatewayReporting {
  /** What came for the shards, since the beginning. */
  readonly offered: { readonly clicks: number };
  readonly stats: SpillingShardPort["stats"];
  readonly drainer: Pick<SpoolDrainer, "backlog">;
}

type ReportConfig = {
  readonly host: string;
  readonly hostName: string;
  readonly internalPort: number | undefined;
};

/** The port with its clicks counted as they come. */
export function countedPort(port: ShardPort, offered: { clicks: number }): ShardPort {
  return {
    submit(submission) {
      offered.clicks += submission.count;
      return port.submit(submission);
    },
  };
}

/** The port taken; undefined where none is wanted. With certificates the operator alone may ask. */
export async function serveReports(
  program: Program<ReportConfig>,
  tls: Certificates | undefined,
  { offered, stats, drainer }: GatewayReporting,
): Promise<number | undefined> {
  const { clock, config, life, limits, logger } = program;
  if (config.internalPort === undefined) return undefined;
  const clicks = createRecentRate(clock, LOAD_SPAN_MS, () => offered.clicks);
  const usage = measureProcess(clock, LOAD_SPAN_MS);

  async function report(): Promise<GatewayStatus> {
    // At least so many: what is on the disk is counted by blocks.
    const spoolClicks = await drainer.backlog();
    return {
      host: config.hostName,
      clicksPerSecond: clicks.perSecond(),
      cpuPercent: usage.cpuPercent(),
      spoolClicks,
      spilledClicks: stats.spilled,
      memory: usage.memory(),
    };
  }

  const server = createGrpcServer({
    services: [createGatewayService({ report, limits, logger })],
    limits,
    clock,
    portFlag: "--internal-port",
    ...(tls && { credentials: grpcServerCredentials(tls, ["operator"]) }),
  });
  life.onStop("the internal port", async () => {
    await server.drain();
    clicks.close();
    usage.close();
  });
  return server.listen(config.host, config.internalPort);
}
