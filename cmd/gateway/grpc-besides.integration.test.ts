/** What a gateway's gRPC port has besides clicks: bytes that are no message, and reflection. */
import { Client, Metadata, credentials, status as Status, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { loadProtos, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import { openGateway, type GatewayUnderTest } from "./gateway-fixture.ts";

let gateway: GatewayUnderTest;
let client: Client;
beforeEach(async () => {
  gateway = await openGateway();
  client = new Client(`127.0.0.1:${gateway.grpcPort}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
});
afterEach(async () => {
  client.close();
  await gateway.drain();
});

const same = (bytes: Buffer): Buffer => bytes;

it("fault 26: a malformed call for impressions is refused by name, and is no fault of ours", async () => {
  const { path } = serviceOf(loadProtos(), "PlacementService")["IssueImpressions"]!;
  const key = new Metadata();
  key.set("authorization", "Bearer placement-key");
  const send = (bytes: number[]): Promise<Buffer | undefined> =>
    new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, answer?: Buffer) =>
        error === null ? resolve(answer) : reject(error);
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), key, done);
    });
  const ad = [0x09, 0xe9, 0x03, 0, 0, 0, 0, 0, 0];
  await expect(send([...ad, 0x50, 0x01])).resolves.toBeDefined(); // an unknown field is none
  for (const bytes of [[0x09, 0xe9], [0x0a, 0xff, 0x01], [0xff], [...ad, 0x10]]) {
    await expect(send(bytes)).rejects.toMatchObject({
      code: Status.INVALID_ARGUMENT,
      details: expect.stringContaining("malformed IssueImpressionsRequest") as string,
    });
  }
});

/** What reflection answers to one request, given as bytes. */
async function reflect(request: Buffer): Promise<string> {
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const stream = client.makeBidiStreamRequest(path, same, same);
  const answer = new Promise<string>((resolve, reject) => {
    stream.on("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
    stream.on("error", reject);
  });
  stream.write(request);
  stream.end();
  return answer;
}
/** file_containing_symbol = 4 */
const describeSymbol = (name: string) =>
  reflect(Buffer.concat([Buffer.of(0x22, name.length), Buffer.from(name)]));

it("reflection lists the services, health among them", async () => {
  // list_services = 7
  const answer = await reflect(Buffer.from([0x3a, 0x01, 0x2a]));
  for (const name of ["adtally.v1.ClickService", "adtally.v1.PlacementService", "grpc.health.v1.Health"])
    expect(answer).toContain(name);
  expect(answer).not.toContain("adtally.v1.ShardService");
});

it("reflection names fields as the contract's files do, and a map's entry as grpcurl wants it", async () => {
  const placement = await describeSymbol("adtally.v1.PlacementService");
  for (const name of ["ad_id", "impression_id", "expires_at_ms"]) expect(placement).toContain(name);
  expect(placement).not.toMatch(/impressionId/);
  const health = await describeSymbol("grpc.health.v1.Health");
  for (const name of ["HealthCheckRequest", "StatusesEntry"]) expect(health).toContain(name);
});
