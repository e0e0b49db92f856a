/** A gateway that serves the public over TLS: clicks by HTTPS and gRPC, and certificates renewed under load. */
import { get } from "node:https";
import type { TLSSocket } from "node:tls";
import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { loadProtos, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import type { Authority } from "../../actors/adapters/tls/authority.ts";
import { testAuthority, withFolder, type TestFiles } from "../../actors/adapters/tls/tls.fixture.ts";
import { openGateway, type GatewayUnderTest } from "./gateway-fixture.ts";

let folder: Awaited<ReturnType<typeof withFolder>>;
let authority: Authority;
let own: TestFiles;
let gateway: GatewayUnderTest;
beforeEach(async () => {
  folder = await withFolder();
  authority = await testAuthority();
  own = folder.files("public");
  await own.issue(authority);
  gateway = await openGateway({}, [], await own.openPublic());
});
afterEach(async () => {
  await gateway.drain();
  await folder.remove();
});

interface Answer {
  readonly status: number | string;
  /** Of the server's certificate. */
  readonly serial?: string;
}

/** One click on a connection of its own, as a browser's first. */
function clickByHttps(ca = authority.certificate): Promise<Answer> {
  const path = `/click?i=${gateway.impression().tokenText}`;
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: gateway.httpPort, path, ca, agent: false as const };
    get(options, (response) => {
      const { serialNumber: serial } = (response.socket as TLSSocket).getPeerCertificate();
      response.resume().on("end", () => resolve({ status: response.statusCode ?? 0, serial }));
    }).on("error", (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message }));
  });
}

function openGrpc(ca = authority.certificate): Client {
  const secured = credentials.createSsl(Buffer.from(ca));
  return new Client(`localhost:${gateway.grpcPort}`, secured, { "grpc.use_local_subchannel_pool": 1 });
}

function clickByGrpc(client: Client): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = serviceOf(loadProtos(), "ClickService")[
    "SubmitClick"
  ]!;
  const request = { click: { token: gateway.impression().token } };
  const deadline = Date.now() + 5_000;
  return new Promise((resolve) =>
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline },
      (error, answer) => resolve(error === null ? (answer as { verdict: string }).verdict : error.details),
    ),
  );
}

it("takes clicks over HTTPS and gRPC from whoever trusts its authority, and nobody in plain text", async () => {
  expect((await clickByHttps()).status).toBe(302);
  const client = openGrpc();
  expect(await clickByGrpc(client)).toBe("VERDICT_ACCEPTED");
  client.close();
  expect(gateway.accepted()).toBe(2);

  const other = await testAuthority("another");
  expect((await clickByHttps(other.certificate)).status).toMatch(/UNABLE_TO|SELF_SIGNED/);
  const strange = openGrpc(other.certificate);
  expect(await clickByGrpc(strange)).toMatch(/certificate|signature|issuer/i);
  strange.close();
  await expect(fetch(`http://127.0.0.1:${gateway.httpPort}/click`)).rejects.toThrow();
  expect(gateway.accepted()).toBe(2);
});

it("renews its certificate five times under load, and no click fails", async () => {
  const client = openGrpc();
  const answers: Answer[] = [];
  const verdicts = new Set<unknown>();
  let isOver = false;
  const browse = async () => {
    while (!isOver) answers.push(await clickByHttps());
  };
  const stream = async () => {
    while (!isOver) verdicts.add(await clickByGrpc(client));
  };
  // A connection of its own a click, as SDKs that have just started.
  const connect = async () => {
    while (!isOver) {
      const fresh = openGrpc();
      verdicts.add(await clickByGrpc(fresh));
      fresh.close();
    }
  };
  const load = [browse(), browse(), browse(), stream(), connect()];
  const serials = () => new Set(answers.map(({ serial }) => serial));
  await expect.poll(() => serials().size).toBe(1);
  for (let renewals = 1; renewals <= 5; renewals++) {
    await own.issue(authority);
    await expect.poll(() => serials().size, { timeout: 20_000 }).toBe(1 + renewals);
  }
  isOver = true;
  await Promise.all(load);
  client.close();
  expect(answers.filter(({ status }) => status !== 302)).toEqual([]);
  expect([...verdicts]).toEqual(["VERDICT_ACCEPTED"]);
  expect(answers.length).toBeGreaterThan(50);
});
