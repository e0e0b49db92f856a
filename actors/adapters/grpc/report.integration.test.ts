/** Reports asked for and given, over plain gRPC and over mutual TLS. */
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { AdtallyError } from "../../core/errors.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { grpcClientCredentials, grpcServerCredentials, type Callers } from "../tls/grpc.ts";
import { testAuthority, withFolder } from "../tls/tls.fixture.ts";
import { createReportClient } from "./report-client.ts";
import { createGatewayService, createHostService } from "./report-service.ts";
import { createGrpcServer } from "./server.ts";
import type { ServerCredentials } from "@grpc/grpc-js";
import type { GatewayStatus, HostStatus } from "../../load/report.ts";

const limits = { ...DEFAULT_LIMITS, drainDeadlineMs: 100 };
const clock = systemClock;
const logger = silentLogger;
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const host: HostStatus = {
  host: "trial-actors-0",
  assignmentVersion: 7,
  held: new Map([
    [0, 1],
    [63, 7],
  ]),
  clicksPerSecond: 12_345.5,
  cpuPercent: 61.25,
  lagClicks: 900,
  spillClicks: 800,
  topAds: [
    { adId: 1001, clicksPerSecond: 600, error: 2.5 },
    { adId: 18_446_744_073_709_551_615n, clicksPerSecond: 5, error: 0 },
  ],
  memory: { residentBytes: 200_000_000, limitBytes: 8_000_000_000 },
};
const gateway: GatewayStatus = {
  host: "gateway-1",
  clicksPerSecond: 10,
  cpuPercent: 3,
  spoolClicks: 44,
  spilledClicks: 55,
  memory: { residentBytes: 1, limitBytes: 2 },
};

async function serve(report: () => Promise<HostStatus>, credentials?: ServerCredentials) {
  const services = [
    createHostService({ report, limits, logger }),
    createGatewayService({ report: () => Promise.resolve(gateway), limits, logger }),
  ];
  const server = createGrpcServer({ services, limits, clock, ...(credentials && { credentials }) });
  ends.push(() => server.drain());
  return `127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
}

function ask(credentials?: Parameters<typeof createReportClient>[0]["credentials"]) {
  const client = createReportClient({ limits, clock, ...(credentials && { credentials }) });
  ends.push(() => client.close());
  return client;
}

describe("reports of load", () => {
  it("arrive as they were given", async () => {
    const address = await serve(() => Promise.resolve(host));
    expect(await ask().host(address, 5_000)).toEqual(host);
    expect(await ask().gateway(address, 5_000)).toEqual(gateway);
  });

  it("A1 one that cannot be made, or comes too late, or from nobody, is an error", async () => {
    const failing = await serve(() => Promise.reject(new AdtallyError("LOG_UNAVAILABLE", "no broker")));
    await expect(ask().host(failing, 5_000)).rejects.toThrow(/actor at 127.*no broker/);
    const silent = await serve(() => new Promise(() => undefined));
    await expect(ask().host(silent, 100)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await expect(ask().host("127.0.0.1:1", 5_000)).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("over mutual TLS the operator may ask, by any address of the host, and nothing else; a gateway may not ask", async () => {
    const folder = await withFolder();
    ends.push(() => folder.remove());
    const authority = await testAuthority();
    const open = async (program: string) => {
      const files = folder.files(program);
      await files.issue(authority, { program }, authority.certificate);
      return files.open();
    };
    const callers: Callers = { GatewayService: ["gateway"], HostService: ["operator"] };
    const address = await serve(
      () => Promise.resolve(host),
      grpcServerCredentials(await open("actor"), callers),
    );
    const by = async (program: string) => {
      const credentials = grpcClientCredentials(await open(program), ["actor"]);
      return ask({ actor: credentials, gateway: credentials });
    };
    const operator = await by("operator");
    expect(await operator.host(address, 5_000)).toEqual(host);
    await expect(operator.gateway(address, 5_000)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    const other = await by("gateway");
    await expect(other.host(address, 5_000)).rejects.toThrow(
      "names spiffe://adtally/gateway, and spiffe://adtally/operator is wanted",
    );
  });
});
