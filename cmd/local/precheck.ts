/**
 * Addresses that cannot be listened on are known before anything is started; the real listen, at
 * the end, still judges for itself.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { listenError, type ListenAttempt } from "../../actors/runtime/listen-error.ts";
import type { LocalConfig } from "./config.ts";

/** @throws PORT_IN_USE, CONFIG_INVALID */
export async function assertAddresses(
  at: Pick<LocalConfig, "host" | "httpPort" | "grpcPort">,
): Promise<void> {
  const { host, httpPort, grpcPort } = at;
  await assertCanListen({ what: "HTTP", host, port: httpPort, portFlag: "--http-port" });
  await assertCanListen({ what: "gRPC", host, port: grpcPort, portFlag: "--grpc-port" });
}

/** @throws PORT_IN_USE, CONFIG_INVALID */
export async function assertCanListen(attempt: ListenAttempt): Promise<void> {
  const server = createServer();
  try {
    server.listen(attempt.port, attempt.host);
    await once(server, "listening");
  } catch (error) {
    throw listenError(attempt, error as NodeJS.ErrnoException);
  }
  server.close();
  await once(server, "close");
}
