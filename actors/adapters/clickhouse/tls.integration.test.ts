/** The client against an HTTPS server that asks for a client certificate, as ClickHouse does. */
import { createServer, type Server } from "node:https";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Authority } from "../tls/authority.ts";
import { testAuthority, validity, withFolder, type TestFiles } from "../tls/tls.fixture.ts";
import { connectClickHouse } from "./client.ts";
import type { ClickHouseOptions } from "./options.ts";

let folder: Awaited<ReturnType<typeof withFolder>>;
let authority: Authority;
let own: TestFiles;
let server: Server;
let url: string;
let seen: { readonly serial: string | undefined; readonly headers: IncomingHttpHeaders };

async function serve(by: Authority, byHours = 0, hosts = ["127.0.0.1"]): Promise<void> {
  const { certificate: cert, key } = await by.issue({ hosts, ...validity(byHours) });
  const tls = { ca: authority.certificate, cert, key, requestCert: true, rejectUnauthorized: false };
  server = createServer(tls, (request, response) => {
    const socket = request.socket as TLSSocket;
    const serial = socket.authorized ? socket.getPeerCertificate().serialNumber : undefined;
    seen = { serial, headers: request.headers };
    request.resume().on("end", () => response.end('{"a":1}\n'));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
beforeEach(async () => {
  folder = await withFolder();
  authority = await testAuthority();
  own = folder.files("query");
  await own.issue(authority, { program: "query" });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await folder.remove();
});

async function ask(options: Omit<ClickHouseOptions, "url">): Promise<unknown> {
  const clickhouse = connectClickHouse({ url, ...options });
  try {
    return await clickhouse.rows("SELECT 1 AS a");
  } finally {
    await clickhouse.close();
  }
}

test("a server of the given authority is spoken to, with user and password", async () => {
  await serve(authority);
  const certificates = await own.openAuthority();
  expect(await ask({ certificates, username: "adtally", password: "secret" })).toEqual([{ a: 1 }]);
  expect(seen.serial).toBeUndefined();
  expect(seen.headers.authorization).toBe(`Basic ${Buffer.from("adtally:secret").toString("base64")}`);
});

test("a client certificate without a password is the login", async () => {
  await serve(authority);
  await ask({ certificates: await own.open(), username: "adtally" });
  expect(seen.serial).toBeDefined();
  expect(seen.headers).toMatchObject({
    "x-clickhouse-user": "adtally",
    "x-clickhouse-ssl-certificate-auth": "on",
  });
  expect(seen.headers.authorization).toBeUndefined();
});

test("a client certificate beside a password is no login", async () => {
  await serve(authority);
  await ask({ certificates: await own.open(), username: "adtally", password: "secret" });
  expect(seen.serial).toBeDefined();
  expect(seen.headers["x-clickhouse-ssl-certificate-auth"]).toBeUndefined();
  expect(seen.headers.authorization).toBeDefined();
});

test("the certificate was read at the start alone: a renewed one is shown by the next connection", async () => {
  await serve(authority);
  const certificates = await own.open();
  const clickhouse = connectClickHouse({ url, certificates, username: "adtally", idleSocketMs: 20 });
  await clickhouse.rows("SELECT 1 AS a");
  const first = seen.serial;
  await own.issue(authority, { program: "query" });
  const serial = async () => {
    await clickhouse.rows("SELECT 1 AS a");
    return seen.serial;
  };
  await expect.poll(serial, { interval: 50 }).not.toBe(first);
  expect(seen.serial).toBeDefined();
  await clickhouse.close();
});

test.each<[string, RegExp, () => Promise<void>]>([
  [
    "another authority's",
    /is of no authority in --clickhouse-tls-ca/,
    async () => serve(await testAuthority("a stranger's")),
  ],
  ["an expired one", /CERT_HAS_EXPIRED.*has expired: renew it/, () => serve(authority, -1.5)],
  [
    "another host's",
    /ALTNAME_INVALID.*does not name the host that it is reached at/,
    () => serve(authority, 0, ["clickhouse.example"]),
  ],
])(
  "a server's certificate is refused by name: %s; and waited for, as it may be renewed",
  async (_, why, begin) => {
    await begin();
    const asking = ask({ certificates: await own.openAuthority(), password: "secret" });
    await expect(asking).rejects.toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
      message: expect.stringMatching(why) as string,
    });
  },
);

test("a private authority's server is refused where no authority is given", async () => {
  await serve(authority);
  await expect(ask({ password: "secret" })).rejects.toThrow(/--clickhouse-tls-ca/);
});
