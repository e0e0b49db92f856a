/**
 * Hands HTTP requests that come to an address of this machine on to a server that listens on
 * loopback and answers to no other name: the embedded ClickHouse engine, for pods of a node.
 */
import { Agent, createServer, request as ask } from "node:http";

export interface HttpForward {
  readonly url: string;
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 30_000;

export async function startHttpForward(host: string, targetPort: number): Promise<HttpForward> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((request, response) => {
    const headers = { ...request.headers, host: `127.0.0.1:${targetPort}` };
    const place = { host: "127.0.0.1", port: targetPort, path: request.url, method: request.method };
    const asked = ask({ ...place, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    asked.on("error", () => response.destroy());
    response.on("close", () => asked.destroy());
    request.pipe(asked);
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    url: `http://${host}:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      agent.destroy();
    },
  };
}
