import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { IncomingHttpHeaders } from "node:http";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectClickHouse } from "./client.ts";
import { readTlsFiles, type ClickHouseOptions } from "./options.ts";

/** An HTTPS server that asks for a client certificate, as ClickHouse does; authorities by openssl. */
let dir: string;
let server: Server;
let url: string;
let seen: { readonly client: string | undefined; readonly headers: IncomingHttpHeaders };

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
}
function makeAuthority(name: string): void {
  openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.pem`,
  );
}
function makeCertificate(name: string, authority: string, subjectAltName: string): void {
  openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-addext",
    `subjectAltName=${subjectAltName}`,
    "-addext",
    "basicConstraints=critical,CA:FALSE",
    "-CA",
    `${authority}.pem`,
    "-CAkey",
    `${authority}.key`,
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.pem`,
  );
}
const file = (name: string) => path.join(dir, name);

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "adtally-clickhouse-tls-"));
  makeAuthority("authority");
  makeAuthority("stranger");
  makeCertificate("server", "authority", "IP:127.0.0.1");
  makeCertificate("gateway", "authority", "DNS:gateway");
  server = createServer(
    {
      ca: await readFile(file("authority.pem")),
      cert: await readFile(file("server.pem")),
      key: await readFile(file("server.key")),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      const subject = socket.authorized ? socket.getPeerCertificate().subject.CN : undefined;
      seen = { client: Array.isArray(subject) ? subject[0] : subject, headers: request.headers };
      request.resume().on("end", () => response.end('{"a":1}\n'));
    },
  );
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  rmSync(dir, { recursive: true, force: true });
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
  const tls = await readTlsFiles({ ca: file("authority.pem") });
  expect(await ask({ tls, username: "adtally", password: "secret" })).toEqual([{ a: 1 }]);
  expect(seen.client).toBeUndefined();
  expect(seen.headers.authorization).toBe(`Basic ${Buffer.from("adtally:secret").toString("base64")}`);
});

test("a client certificate without a password is the login", async () => {
  const tls = await readTlsFiles({
    ca: file("authority.pem"),
    cert: file("gateway.pem"),
    key: file("gateway.key"),
  });
  await ask({ tls, username: "adtally" });
  expect(seen.client).toBe("gateway");
  expect(seen.headers).toMatchObject({
    "x-clickhouse-user": "adtally",
    "x-clickhouse-ssl-certificate-auth": "on",
  });
  expect(seen.headers.authorization).toBeUndefined();
});

test("a client certificate beside a password is no login", async () => {
  const tls = await readTlsFiles({
    ca: file("authority.pem"),
    cert: file("gateway.pem"),
    key: file("gateway.key"),
  });
  await ask({ tls, username: "adtally", password: "secret" });
  expect(seen.client).toBe("gateway");
  expect(seen.headers["x-clickhouse-ssl-certificate-auth"]).toBeUndefined();
  expect(seen.headers.authorization).toBeDefined();
});

test.each([
  ["another authority's server", async () => readTlsFiles({ ca: file("stranger.pem") })],
  ["a private authority's server, where none is given", () => Promise.resolve({})],
])("%s is refused, and the message says where to look", async (_, tls) => {
  await expect(ask({ tls: await tls(), password: "secret" })).rejects.toMatchObject({
    code: "COUNT_SINK_REJECTED",
    message: expect.stringContaining("tls.ca"),
  });
});
