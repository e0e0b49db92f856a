/**
 * TLS towards servers that are not ours (Kafka, Redis, ClickHouse), from certificates that
 * renew. The server's host name is checked as usual, against the authorities of the same files.
 */
import { Agent, type AgentOptions } from "node:https";
import { createSecureContext, type ConnectionOptions, type SecureContext } from "node:tls";
import type { Certificates } from "./certificates.ts";
import type { AnyFiles, Material } from "./material.ts";

/** For kafkajs (`ssl`) and ioredis (`tls`): both copy these options anew for each connection. */
export function clientTls(certificates: Certificates<AnyFiles>): ConnectionOptions {
  const current = currentContext(certificates);
  return {
    get secureContext() {
      return current();
    },
  };
}

/** For @clickhouse/client (`http_agent`), or any other client of HTTPS. */
export function httpsAgent(certificates: Certificates<AnyFiles>, options: AgentOptions): Agent {
  const current = currentContext(certificates);
  // A resumed session would show the certificate that it began with.
  const agent = new Agent({ ...options, maxCachedSessions: 0 });
  const createConnection = agent.createConnection.bind(agent);
  agent.createConnection = (connection, callback) =>
    createConnection({ ...connection, secureContext: current() } as typeof connection, callback);
  return agent;
}

function currentContext(certificates: Certificates<AnyFiles>): () => SecureContext {
  let material: Material<AnyFiles> | undefined;
  let context: SecureContext | undefined;
  return () => {
    if (context === undefined || material !== certificates.current) {
      material = certificates.current;
      const { ca, cert, key } = material;
      context = createSecureContext({ ca, cert, key });
    }
    return context;
  };
}
