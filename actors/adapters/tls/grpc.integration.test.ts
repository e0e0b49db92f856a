import { Client, credentials, ServerCredentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { submissionOf } from "../../ports/shard-port.conformance.ts";
import { systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { loadProtos, rawServiceOf } from "../grpc/protos.ts";
import { createGrpcServer } from "../grpc/server.ts";
import { createShardClient } from "../grpc/shard-client.ts";
import { createShardService } from "../grpc/shard-service.ts";
import { MemoryShard } from "../memory/memory-shard.ts";
import { grpcClientCredentials, grpcServerCredentials } from "./grpc.ts";
import { testAuthority, validity, withFolder } from "./tls.fixture.ts";
import type { Authority } from "./authority.ts";
import type { Certificates } from "./certificates.ts";
import type { ChannelCredentials, ServiceError } from "@grpc/grpc-js";

const protos = loadProtos();
const limits = { ...DEFAULT_LIMITS, submitDeadlineMs: 2_000, drainDeadlineMs: 100, reconnectMinMs: 10 };
const ends: (() => Promise<void> | void)[] = [];
let folder: Awaited<ReturnType<typeof withFolder>>;
let authority: Authority;

beforeEach(async () => {
  folder = await withFolder();
  authority = await testAuthority();
  ends.push(() => folder.remove());
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serveShards(certificates: Certificates) {
  const shard = new MemoryShard(systemClock, limits.mailboxMaxClicks);
  const service = createShardService({ shards: shard, limits, clock: systemClock, logger: silentLogger });
  const credentials = grpcServerCredentials(certificates, ["gateway", "actor"]);
  const server = createGrpcServer({ services: [service], limits, clock: systemClock, credentials });
  const port = await server.listen("127.0.0.1", 0);
  ends.push(() => server.drain());
  return { address: `127.0.0.1:${port}`, shard };
}

function connect(address: string, credentials?: ChannelCredentials) {
  const shared = { address, protos, limits, clock: systemClock, random: systemRandom, logger: silentLogger };
  const client = createShardClient(credentials === undefined ? shared : { ...shared, credentials });
  ends.push(() => client.close());
  return client;
}

/** The host's certificate files and the host; what a gateway with `own` files makes of it. */
async function between(
  host: { authority?: Authority; program?: string } = {},
  gateway: { authority?: Authority; program?: string; trust?: Authority } = {},
) {
  const ofHost = folder.files("actor");
  await ofHost.issue(
    host.authority ?? authority,
    { program: host.program ?? "actor" },
    authority.certificate + (host.authority?.certificate ?? ""),
  );
  const { address, shard } = await serveShards(await ofHost.open());
  const ofGateway = folder.files("gateway");
  const by = gateway.authority ?? authority;
  const trusted = authority.certificate + (gateway.authority?.certificate ?? "");
  await ofGateway.issue(by, { program: gateway.program ?? "gateway" }, trusted);
  const certificates = await ofGateway.open();
  return {
    address,
    shard,
    ofHost,
    ofGateway,
    client: connect(address, grpcClientCredentials(certificates, ["actor"])),
  };
}

/** Why a host cannot be called: one plain call, with its error. */
function callError(address: string, credentials: ChannelCredentials): Promise<ServiceError> {
  const client = new Client(address, credentials, { "grpc.ssl_target_name_override": "actor" });
  ends.push(() => client.close());
  const { path, requestSerialize, responseDeserialize } = rawServiceOf(protos, "ShardService")["Submit"]!;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  return new Promise((resolve, reject) => {
    stream
      .on("data", () => reject(new Error("it answered")))
      .on("metadata", () => reject(new Error("it opened")));
    stream.on("error", (error) => resolve(error as ServiceError));
  });
}

describe("mTLS between gateway and actor host", () => {
  it("a gateway and an actor host of one authority trust each other", async () => {
    const { client, shard } = await between();
    await client.submit(submissionOf(0, 1, 2));
    expect(shard.rows).toHaveLength(2);
  });

  it("a gateway of another authority is refused", async () => {
    const { client, shard } = await between({}, { authority: await testAuthority("other") });
    await expect(client.submit(submissionOf(0, 1, 1))).rejects.toMatchObject({ code: "ABORTED" });
    expect(shard.rows).toHaveLength(0);
    expect(client.isReachable).toBe(false);
  });

  it("an actor host of another authority is refused by the gateway", async () => {
    const { client, shard } = await between({ authority: await testAuthority("other") });
    await expect(client.submit(submissionOf(0, 1, 1))).rejects.toThrow(/certificate|signature|issuer/i);
    expect(shard.rows).toHaveLength(0);
  });

  it("a program of ours that has no business there is refused by name, on both ends", async () => {
    const { client, address, ofGateway } = await between({}, { program: "query" });
    await expect(client.submit(submissionOf(0, 1, 1))).rejects.toThrow(
      "the peer's certificate names spiffe://adtally/query, and spiffe://adtally/gateway or spiffe://adtally/actor is wanted",
    );
    const wanted = grpcClientCredentials(await ofGateway.open(), ["query"]);
    expect((await callError(address, wanted)).details).toContain(
      "the peer's certificate names spiffe://adtally/actor, and spiffe://adtally/query is wanted",
    );
  });

  it("a certificate that names no program is refused", async () => {
    const { client } = await between({}, { program: "gateway/../x" });
    await expect(client.submit(submissionOf(0, 1, 1))).rejects.toThrow(/is wanted/);
  });

  it("a gateway without a certificate, and one in plain text, are refused", async () => {
    const { address, shard } = await between();
    const bare = connect(
      address,
      credentials.createSsl(Buffer.from(authority.certificate), null, null, {
        checkServerIdentity: () => undefined,
      }),
    );
    await expect(bare.submit(submissionOf(0, 1, 1))).rejects.toMatchObject({ code: "ABORTED" });
    await expect(connect(address).submit(submissionOf(0, 1, 1))).rejects.toMatchObject({ code: "ABORTED" });
    expect(shard.rows).toHaveLength(0);
  });

  it("an expired certificate is refused by the peer", async () => {
    const { address } = await between();
    const { certificate, key } = await authority.issue({ program: "gateway", hosts: [], ...validity(-1.5) });
    const expired = credentials.createSsl(
      Buffer.from(authority.certificate),
      Buffer.from(key),
      Buffer.from(certificate),
      {
        checkServerIdentity: () => undefined,
      },
    );
    await expect(connect(address, expired).submit(submissionOf(0, 1, 1))).rejects.toMatchObject({
      code: "ABORTED",
    });
  });

  it("an actor host whose certificate has expired is refused by name", async () => {
    const { certificate, key } = await authority.issue({ program: "actor", hosts: [], ...validity(-1.5) });
    const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
    const expired = ServerCredentials.createSsl(Buffer.from(authority.certificate), [pair], false);
    const server = createGrpcServer({ services: [], limits, clock: systemClock, credentials: expired });
    const port = await server.listen("127.0.0.1", 0);
    ends.push(() => server.drain());
    const ofGateway = folder.files("gateway");
    await ofGateway.issue(authority, { program: "gateway" });
    const client = connect(`127.0.0.1:${port}`, grpcClientCredentials(await ofGateway.open(), ["actor"]));
    await expect(client.submit(submissionOf(0, 1, 1))).rejects.toThrow(/certificate has expired/);
  });
});

describe("rotation under an open server", () => {
  it("another authority, in two steps: streams that are open go on, new ones use the new files", async () => {
    const { client, address, shard, ofHost, ofGateway } = await between();
    await client.submit(submissionOf(0, 1, 1));
    const next = await testAuthority("next");
    const both = authority.certificate + next.certificate;
    const hostCertificates = await ofHost.open();

    // Host first, trusting both; the gateway with its old files still gets in.
    await ofHost.issue(next, { program: "actor" }, both);
    await ofGateway.write(both, await authority.issue({ program: "gateway", hosts: [], ...validity() }));
    await expect.poll(() => hostCertificates.current.ca.toString()).toBe(both);
    const second = connect(address, grpcClientCredentials(await ofGateway.open(), ["actor"]));
    await expect
      .poll(() =>
        second.submit(submissionOf(0, 2, 1)).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);

    // The old authority leaves: its certificates open no new stream, the open ones go on.
    await ofHost.issue(next, { program: "actor" });
    await expect.poll(() => hostCertificates.current.ca.toString()).toBe(next.certificate);
    await expect
      .poll(async () => {
        const old = connect(address, grpcClientCredentials(await ofGateway.open(), ["actor"]));
        return old.submit(submissionOf(0, 3, 1)).then(
          () => "in",
          (error: { code: string }) => error.code,
        );
      })
      .toBe("ABORTED");
    await client.submit(submissionOf(0, 4, 1));
    await second.submit(submissionOf(0, 5, 1));

    // A client that was there all along comes back with the files of now.
    await ofGateway.issue(next, { program: "gateway" });
    const third = connect(address, grpcClientCredentials(await ofGateway.open(), ["actor"]));
    await third.submit(submissionOf(0, 6, 1));
    expect(shard.accepted()).toBeGreaterThanOrEqual(5);
  });

  it("a client that was refused gets in by itself once its files are renewed", async () => {
    const other = await testAuthority("other");
    const { client, ofGateway, shard } = await between({}, { authority: other });
    await expect.poll(() => client.submit(submissionOf(0, 1, 1)).catch(() => "refused")).toBe("refused");
    await ofGateway.issue(authority, { program: "gateway" });
    await expect.poll(() => client.isReachable, { timeout: 20_000 }).toBe(true);
    await client.submit(submissionOf(0, 2, 1));
    expect(shard.rows).toHaveLength(1);
  });
});
