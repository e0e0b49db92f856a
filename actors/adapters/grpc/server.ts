/**
 * A gRPC server of adtally: the services given to it, health and reflection. A gateway gives it
 * ClickService and PlacementService, an actor host ShardService.
 *
 * Start: listen → every service SERVING. Stop: NOT_SERVING → streams drained → no new calls →
 * calls under way end, or are cut off at `drainDeadlineMs`.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { listenError } from "../../runtime/listen-error.ts";
import { loadForReflection, loadProtos, rawServiceOf, serviceOf } from "./protos.ts";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";

const HEALTH_SERVICE = "grpc.health.v1.Health";

export interface GrpcService {
  /** As in its .proto, without the package. */
  readonly name: string;
  /** Handlers that take and give messages as bytes, with codecs of their own. */
  readonly raw?: boolean;
  readonly handlers: UntypedServiceImplementation;
  /** Ends streams that would else stay open for ever; may first let finish what is under way. */
  readonly drain?: () => void | Promise<void>;
}

export interface GrpcServerDeps {
  readonly services: readonly GrpcService[];
  readonly limits: Limits;
  readonly clock: Clock;
  /** Of TLS (adapters/tls/grpc.ts); without: plain text. */
  readonly credentials?: ServerCredentials;
  /** Named where the port is taken. */
  readonly portFlag?: string;
}

export interface GrpcServer {
  /** Serves on `host:port`, port 0 for any, and resolves with the port. @throws PORT_IN_USE */
  listen(host: string, port: number): Promise<number>;
  drain(): Promise<void>;
}

export function createGrpcServer(deps: GrpcServerDeps): GrpcServer {
  const { services, limits, clock, credentials = ServerCredentials.createInsecure() } = deps;
  const { portFlag = "--grpc-port" } = deps;
  const protos = loadProtos();
  const server = new Server({
    "grpc.max_receive_message_length": limits.grpcMessageMaxBytes,
    "grpc.max_send_message_length": limits.grpcMessageMaxBytes,
    "grpc.max_concurrent_streams": limits.grpcMaxStreamsPerConnection,
    "grpc.keepalive_time_ms": limits.grpcKeepaliveTimeMs,
    "grpc.keepalive_timeout_ms": limits.grpcKeepaliveTimeoutMs,
  });
  for (const { name, raw, handlers } of services) {
    server.addService(raw === true ? rawServiceOf(protos, name) : serviceOf(protos, name), handlers);
  }
  const names = ["", ...services.map(({ name }) => `adtally.v1.${name}`)];
  const health = new HealthImplementation();
  const setHealth = (status: "SERVING" | "NOT_SERVING"): void => {
    for (const name of names) health.setStatus(name, status);
  };
  setHealth("NOT_SERVING");
  health.addToServer(server);
  const listed = [...names.filter((name) => name !== ""), HEALTH_SERVICE];
  new ReflectionService(loadForReflection(), { services: listed }).addToServer(server);

  return {
    listen(host, port) {
      return new Promise((resolve, reject) => {
        const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
        server.bindAsync(address, credentials, (error, bound) => {
          if (error !== null) {
            reject(listenError({ what: "gRPC", host, port, portFlag }, error));
            return;
          }
          setHealth("SERVING");
          resolve(bound);
        });
      });
    },
    async drain() {
      setHealth("NOT_SERVING");
      await new Promise<void>((resolve) => {
        const timer = clock.after(limits.drainDeadlineMs, () => {
          server.forceShutdown();
          resolve();
        });
        void Promise.all(services.map(async (service) => service.drain?.())).then(() =>
          server.tryShutdown(() => {
            timer.cancel();
            resolve();
          }),
        );
      });
    },
  };
}
