/**
 * The real engine behind TLS, ended by a small proxy as it speaks none itself: counts go in while
 * the certificates of both ends are renewed, to another authority in the end.
 */
import { connect as connectTcp, type AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { httpsOptions } from "../tls/https.ts";
import { testAuthority, withFolder } from "../tls/tls.fixture.ts";
import type { Certificates } from "../tls/certificates.ts";
import { connectClickHouse } from "./client.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";

let fixture: EngineFixture;
let folder: Awaited<ReturnType<typeof withFolder>>;
beforeAll(async () => {
  [fixture, folder] = await Promise.all([openEngineFixture(), withFolder()]);
  await fixture.clickhouse.command("CREATE TABLE default.taken (n UInt64) ENGINE = Memory");
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

/** Ends TLS with whoever shows a certificate of the authority, as of now. */
async function startTlsProxy(certificates: Certificates, targetPort: number) {
  const shown = new Set<string>();
  const server: Server = createServer(httpsOptions(certificates, ["actor"]), (client: TLSSocket) => {
    shown.add(client.getPeerCertificate().serialNumber);
    const engine = connectTcp({ port: targetPort, host: "127.0.0.1" });
    client.pipe(engine).pipe(client);
    client.on("error", () => engine.destroy());
    engine.on("error", () => client.destroy());
  });
  server.on("tlsClientError", () => undefined);
  const end = certificates.subscribe(({ ca, cert, key }) => server.setSecureContext({ ca, cert, key }));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    end();
    server.close();
  };
  return { url: `https://127.0.0.1:${port}`, shown, close };
}

test("rows go in over TLS while the certificates of both ends are renewed: none is lost", async () => {
  const [first, next] = await Promise.all([testAuthority("first"), testAuthority("next")]);
  const [own, theirs] = [folder.files("actor"), folder.files("clickhouse")];
  const both = first.certificate + next.certificate;
  await own.issue(first, { program: "actor" });
  await theirs.issue(first);
  const proxy = await startTlsProxy(await theirs.open(), Number(new URL(fixture.engine.url).port));
  const certificates = await own.open();
  // Sockets of a moment: each insert shows what is current.
  const clickhouse = connectClickHouse({ url: proxy.url, certificates, idleSocketMs: 1 });
  let sent = 0;
  let isOver = false;
  const inserting = (async () => {
    while (!isOver)
      await clickhouse.insertBytes("INSERT INTO default.taken FORMAT CSV", [Buffer.from(`${sent++}\n`)]);
  })();
  const seen = async (count: number) => expect.poll(() => proxy.shown.size, { timeout: 20_000 }).toBe(count);

  await seen(1);
  await own.issue(first, { program: "actor" }, both);
  await theirs.issue(first, {}, both);
  await seen(2);
  await theirs.issue(next, {}, both);
  await own.issue(next, { program: "actor" }, both);
  await seen(3);
  await theirs.issue(next);
  await own.issue(next, { program: "actor" });
  await seen(4);
  isOver = true;
  await inserting;
  const [row] = await clickhouse.rows<{ n: string }>("SELECT uniqExact(n) AS n FROM default.taken");
  expect(Number(row!.n)).toBe(sent);
  await clickhouse.close();
  proxy.close();
});
