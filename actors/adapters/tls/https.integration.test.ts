import { createServer, get, type Server } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Kafka, logLevel } from "kafkajs";
import { Redis } from "ioredis";
import { createServer as createTlsServer } from "node:tls";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { createApi } from "../http/api.ts";
import { createClickServer } from "../http/click-server.ts";
import { clientTls, httpsAgent } from "./clients.ts";
import { httpsOptions, renewHttps } from "./https.ts";
import { testAuthority, validity, withFolder } from "./tls.fixture.ts";
import type { AddressInfo } from "node:net";
import type { Authority } from "./authority.ts";
import type { Certificates } from "./certificates.ts";
import type { Program } from "./names.ts";
import type { TestFiles } from "./tls.fixture.ts";

let folder: Awaited<ReturnType<typeof withFolder>>;
let authority: Authority;
let own: TestFiles;
let certificates: Certificates;
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await withFolder();
  authority = await testAuthority();
  own = folder.files("query");
  await own.issue(authority, { program: "query" });
  certificates = await own.open("query");
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await folder.remove();
});

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

async function serve(callers: readonly Program[] | "anyone"): Promise<number> {
  const server: Server = createServer(httpsOptions(certificates, callers), (_request, response) =>
    response.end("here"),
  );
  renewHttps(server, certificates, callers);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return portOf(server);
}

/** The body, or the error's code. */
function fetched(port: number, ca: string, client: { cert?: string; key?: string } = {}): Promise<string> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, ca, agent: false as const, ...client };
    get(options, (response) => response.on("data", (body) => resolve(String(body)))).on("error", (error) =>
      resolve((error as NodeJS.ErrnoException).code ?? error.message),
    );
  });
}

describe("HTTPS for anyone", () => {
  it("needs no certificate of the client; the next connection sees the renewed certificate", async () => {
    const port = await serve("anyone");
    expect(await fetched(port, authority.certificate)).toBe("here");
    const next = await testAuthority("next");
    expect(await fetched(port, next.certificate)).toMatch(/SELF_SIGNED|UNABLE_TO/);
    await own.issue(next, { program: "query" });
    await expect.poll(() => fetched(port, next.certificate)).toBe("here");
    expect(await fetched(port, authority.certificate)).toMatch(/SELF_SIGNED|UNABLE_TO/);
  });

  it("a connection that is open goes on", async () => {
    const port = await serve("anyone");
    const socket: TLSSocket = connect({ host: "127.0.0.1", port, ca: authority.certificate });
    ends.push(() => socket.destroy());
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    await own.issue(await testAuthority("next"), { program: "query" });
    await expect.poll(() => certificates.current.ca.toString()).not.toBe(authority.certificate);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(String(await new Promise((resolve) => socket.once("data", resolve)))).toMatch(/^HTTP\/1.1 200/);
  });

  it("the click server serves it", async () => {
    const clicks = createClickServer({
      clicks: (_request, response) => void response.end("click"),
      others: (_request, response) => response.end("other"),
      clock: systemClock,
      limits: DEFAULT_LIMITS,
      certificates,
    });
    const port = await clicks.listen("127.0.0.1", 0);
    ends.push(() => clicks.drain());
    expect(await fetched(port, authority.certificate)).toBe("other");
    await own.issue(await testAuthority("next"), { program: "query" });
    await expect.poll(() => fetched(port, authority.certificate)).toMatch(/SELF_SIGNED|UNABLE_TO/);
  });
});

it("the API's own server speaks it, and renews", async () => {
  const { app } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    version: "1",
    authenticate: () => undefined,
    readiness: () => [],
    certificates,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  ends.push(() => app.close());
  expect(await fetched(portOf(app.server), authority.certificate)).toContain('"status":404');
  await own.issue(await testAuthority("next"), { program: "query" });
  await expect
    .poll(() => fetched(portOf(app.server), authority.certificate))
    .toMatch(/SELF_SIGNED|UNABLE_TO/);
});

describe("HTTPS for programs of ours", () => {
  it("lets in those named, with a certificate of the authority that is valid, and nobody else", async () => {
    const port = await serve(["gateway"]);
    const shown = async (by: Authority, program: string, hours = 0) => {
      const { certificate: cert, key } = await by.issue({ program, hosts: [], ...validity(hours) });
      return fetched(port, authority.certificate, { cert, key });
    };
    expect(await shown(authority, "gateway")).toBe("here");
    const refused = /ECONNRESET|EPIPE|CERTIFICATE|UNKNOWN_CA|ALERT|hang up/i;
    expect(await fetched(port, authority.certificate)).toMatch(refused);
    expect(await shown(authority, "query")).toMatch(refused);
    expect(await shown(authority, "gateway", -1.5)).toMatch(refused);
    expect(await shown(await testAuthority(), "gateway")).toMatch(refused);
  });
});

describe("clients of servers that are not ours", () => {
  /** Serial numbers of the certificates that clients showed. */
  async function recorder(): Promise<{ port: number; shown: Set<string> }> {
    const shown = new Set<string>();
    const server = createTlsServer({ ...httpsOptions(certificates, ["query"]), ALPNProtocols: ["http/1.1"] });
    server.on("secureConnection", (socket: TLSSocket) => {
      shown.add(socket.getPeerCertificate().serialNumber);
      socket.on("error", () => undefined);
      socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    return { port: portOf(server), shown };
  }

  it.each<[string, (port: number) => () => void]>([
    [
      "kafkajs",
      (port) => {
        const kafka = new Kafka({
          brokers: [`localhost:${port}`],
          ssl: clientTls(certificates),
          retry: { retries: 0 },
          logLevel: logLevel.NOTHING,
        });
        return () => {
          const admin = kafka.admin();
          void admin.connect().catch(() => admin.disconnect());
        };
      },
    ],
    [
      "ioredis",
      (port) => {
        const redis = new Redis({
          host: "localhost",
          port,
          tls: clientTls(certificates),
          lazyConnect: true,
          retryStrategy: () => null,
        });
        redis.on("error", () => undefined);
        ends.push(() => redis.disconnect());
        return () => void redis.connect().catch(() => undefined);
      },
    ],
    [
      "HTTPS, as of ClickHouse's client",
      (port) => {
        const agent = httpsAgent(certificates, { keepAlive: true, maxSockets: 2 });
        ends.push(() => agent.destroy());
        return () =>
          void get({ host: "localhost", port, agent }, (response) => response.resume()).on(
            "error",
            () => undefined,
          );
      },
    ],
  ])("%s shows the certificate of now at each connection", async (_name, client) => {
    const { port, shown } = await recorder();
    const dial = client(port);
    dial();
    await expect.poll(() => shown.size).toBe(1);
    await own.issue(authority, { program: "query" });
    await expect
      .poll(() => {
        dial();
        return shown.size;
      })
      .toBe(2);
  });
});
