/**
 * A gateway: the HTTP and gRPC servers that take clicks, over one intake. The parts it stands on
 * are handed in, so that the embedded form and a cluster's gateway differ in those alone.
 */
import { createClickService } from "../../actors/adapters/grpc/click-service.ts";
import { createPlacementHandlers } from "../../actors/adapters/grpc/placement-service.ts";
import { createGrpcServer } from "../../actors/adapters/grpc/server.ts";
import { createClickHandler } from "../../actors/adapters/http/click-handler.ts";
import { PAGES, sendPage } from "../../actors/adapters/http/click-response.ts";
import { createClickServer } from "../../actors/adapters/http/click-server.ts";
import { createClientAddress } from "../../actors/adapters/http/client-address.ts";
import { grpcServerCredentials } from "../../actors/adapters/tls/grpc.ts";
import { createBatchIntake } from "../../actors/intake/batch.ts";
import { createIntake } from "../../actors/intake/intake.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import { unroutedPartition } from "../../actors/spill/unrouted.ts";
import type { GrpcServer, GrpcService } from "../../actors/adapters/grpc/server.ts";
import type { ClickServer, HttpHandler } from "../../actors/adapters/http/click-server.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import type { ServerFiles } from "../../actors/adapters/tls/material.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Audit } from "../../actors/keys/audit.ts";
import type { KeyLimits } from "../../actors/keys/key-limits.ts";
import type { Authenticate } from "../../actors/keys/authenticate.ts";
import type { PlacementService } from "../../actors/placement/service.ts";
import type { Catalogue } from "../../actors/ports/catalogue.ts";
import type { ShardPort } from "../../actors/ports/shard-port.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { TokenCodec } from "../../actors/token/token.ts";

export interface GatewayDeps {
  /** For gRPC, where an overloaded shard refuses: a client can wait. */
  readonly shardPort: ShardPort;
  /** For browsers, which cannot: where what a shard does not take is spilled. */
  readonly httpShardPort: ShardPort;
  readonly catalogue: Catalogue;
  readonly codec: TokenCodec;
  readonly routing: () => RoutingTable;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly authenticate: Authenticate;
  readonly keyLimits?: KeyLimits;
  readonly audit?: Pick<Audit, "note">;
  readonly placement: PlacementService;
  /** While false, clicks over HTTP are answered 503; without it they are always taken. */
  readonly isOpen?: () => boolean;
  /** Whether this machine's clock is known to be wrong: then no click is handed on. */
  readonly isClockOff?: () => boolean;
  /** The port for browsers keeps rows whose generation is not known (spill/unrouted.ts). */
  readonly keepsUnrouted?: boolean;
  /** While true, HTTP answers close their connections: what comes next goes to another gateway. */
  readonly isLeaving?: () => boolean;
  /** Takes every HTTP request but /click. */
  readonly httpHandler: HttpHandler;
  /** Further services on the same gRPC port: reports. */
  readonly grpcServices?: readonly GrpcService[];
  /** With: HTTPS, and gRPC over TLS, for anyone. Without: plain, as behind a balancer that ends TLS. */
  readonly certificates?: Certificates<ServerFiles> | undefined;
  /** Addresses or subnets of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[];
  readonly logger: Logger;
}

export interface GatewayAddress {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
}

export interface Gateway {
  readonly httpServer: ClickServer;
  readonly grpcServer: GrpcServer;
  /** Port 0 takes any; resolves with the ports taken. @throws PORT_IN_USE */
  listen(address: GatewayAddress): Promise<GatewayAddress>;
  /** Stops taking clicks and answers those it has. The shards must still be there. */
  drain(): Promise<void>;
}

export function createGateway(deps: GatewayDeps): Gateway {
  const { shardPort, catalogue, codec, routing, limits, clock, placement, logger } = deps;
  const { certificates, authenticate, keyLimits, audit } = deps;
  const callers = { authenticate, keyLimits, audit };
  const intake = createIntake({
    codec,
    routing,
    peek: (adId) => catalogue.peek(adId),
    limits,
    ...(deps.keepsUnrouted === true && { unroutedLane: unroutedPartition(limits) }),
    ...(deps.isClockOff && { isClockOff: deps.isClockOff }),
  });
  const batches = createBatchIntake({
    intake,
    limits,
    load: (adIds) => withDeadline(clock, limits.catalogueDeadlineMs, "the catalogue", catalogue.load(adIds)),
    submit: (part) => shardPort.submit(part),
  });
  const clickService = createClickService({ ...callers, batches, clock, limits, logger });
  const placementHandlers = createPlacementHandlers({ ...callers, placement, limits, logger });
  const grpcServer = createGrpcServer({
    services: [
      clickService,
      { name: "PlacementService", raw: true, handlers: placementHandlers },
      ...(deps.grpcServices ?? []),
    ],
    limits,
    clock,
    ...(certificates && { credentials: grpcServerCredentials(certificates, "anyone") }),
  });
  const clientAddress = createClientAddress(deps.trustedProxies ?? []);
  const clicks = createClickHandler({
    intake,
    codec,
    catalogue,
    shardPort: deps.httpShardPort,
    clientAddress,
    clock,
    limits,
    logger,
  });
  const { isOpen = () => true } = deps;
  const httpServer = createClickServer({
    clicks: (request, response) => {
      if (isOpen()) clicks(request, response);
      else sendPage(response, PAGES.busy, ["Retry-After", "1"]);
    },
    others: deps.httpHandler,
    ...(deps.isLeaving && { isLeaving: deps.isLeaving }),
    clock,
    limits,
    ...(certificates && { certificates }),
  });

  return {
    httpServer,
    grpcServer,
    async listen({ host, httpPort, grpcPort }) {
      const http = await httpServer.listen(host, httpPort);
      return { host, httpPort: http, grpcPort: await grpcServer.listen(host, grpcPort) };
    },
    async drain() {
      await Promise.all([httpServer.drain(), grpcServer.drain()]);
    },
  };
}
