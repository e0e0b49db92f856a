/** ClickService and PlacementService on a real socket, as a client in any language sees them. */
import http2 from "node:http2";
import { Client, Metadata, credentials, status as Status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  encodeClick,
  encodeClickBatch,
  decodeClickBatchResult,
} from "../../actors/adapters/grpc/click-client.ts";
import { loadProtos, rawServiceOf, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import { Reason, Verdict } from "../../actors/core/verdict.ts";
import { COLD_AD, UNKNOWN_AD, openGateway } from "./gateway-fixture.ts";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import type { ClickBatchResult } from "../../actors/adapters/grpc/click-client.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { GatewayUnderTest } from "./gateway-fixture.ts";

const protos = loadProtos();
const clickService = serviceOf(protos, "ClickService");
const raw = rawServiceOf(protos, "ClickService");

let gateway: GatewayUnderTest;
let client: Client;

async function open(limits: Partial<Limits> = {}): Promise<void> {
  gateway = await openGateway(limits);
  client = new Client(`127.0.0.1:${gateway.grpcPort}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
}
afterEach(async () => {
  client.close();
  await gateway.drain();
});

function keyed(key: string | undefined): Metadata {
  const metadata = new Metadata();
  if (key !== undefined) metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

type Plain = Record<string, unknown>;

function call(method: string, request: object, key?: string, service = clickService): Promise<Plain> {
  const { path, requestSerialize, responseDeserialize } = service[method]!;
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, response?: object) =>
      error === null ? resolve(response as Plain) : reject(error);
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      keyed(key),
      { deadline: Date.now() + 5_000 },
      done,
    );
  });
}

/** A StreamClicks call with its results as they come, and its end. */
function openStream(key?: string) {
  const { path, requestSerialize, responseDeserialize } = raw["StreamClicks"]!;
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    keyed(key),
  );
  const results: ClickBatchResult[] = [];
  stream.on("data", (bytes: Buffer) => results.push(decodeClickBatchResult(bytes)));
  const ended = new Promise<Partial<ServiceError>>((resolve) => {
    stream.on("error", resolve);
    stream.on("end", () => resolve({ code: Status.OK }));
  });
  return { stream, results, ended };
}

const tokenOf = (adId?: bigint, ageMs?: number) => gateway.impression(adId, ageMs).token;
const batchOf = (id: number, count: number) =>
  encodeClickBatch(
    id,
    Array.from({ length: count }, () => encodeClick({ token: tokenOf() })),
  );

describe("SubmitClick and SubmitClicks", () => {
  beforeEach(() => open());

  it("answer with verdict, reason and place", async () => {
    const token = tokenOf();
    const first = await call("SubmitClick", { click: { token } });
    expect(first).toMatchObject({ verdict: "VERDICT_ACCEPTED", reason: "REASON_UNSPECIFIED" });
    const place = gateway.shards.get(first["shard"] as number)!;
    expect(place.accepted()).toBe(1);
    expect(first["offset"]).toBe("0");
    expect(await call("SubmitClick", { click: { token } })).toMatchObject({ verdict: "VERDICT_DUPLICATE" });
    expect(await call("SubmitClick", { click: { token: Buffer.alloc(44) } })).not.toHaveProperty("shard");
  });

  it("answer each click of a batch in order", async () => {
    const repeated = tokenOf();
    const clicks = [
      { token: repeated },
      { token: repeated },
      { token: Buffer.alloc(3) },
      { token: tokenOf(COLD_AD) },
      { token: tokenOf(UNKNOWN_AD) },
      { token: tokenOf(1001n, 3 * 3_600_000) },
      {},
    ];
    const { verdicts, reasons } = await call("SubmitClicks", { clicks });
    expect(verdicts).toEqual(
      ["ACCEPTED", "DUPLICATE", "BAD_SIGNATURE", "ACCEPTED", "UNKNOWN_AD", "EXPIRED", "REFUSED"].map(
        (v) => `VERDICT_${v}`,
      ),
    );
    expect((reasons as string[]).slice(4)).toEqual([
      "REASON_AD_NOT_IN_CATALOGUE",
      "REASON_TOKEN_EXPIRED",
      "REASON_CLICK_ID_MISSING",
    ]);
  });

  it("take click ids from an admin's key, which has every scope", async () => {
    const click = { clickId: gateway.impression().impressionId, adId: "1001" };
    expect(await call("SubmitClick", { click }, "admin-key")).toMatchObject({ verdict: "VERDICT_ACCEPTED" });
  });

  it("take click ids from a key of scope submit alone", async () => {
    const { impressionId } = gateway.impression();
    const click = { clickId: impressionId, adId: "1001" };
    expect(await call("SubmitClick", { click })).toMatchObject({ reason: "REASON_CLIENT_NOT_TRUSTED" });
    expect(await call("SubmitClick", { click }, "placement-key")).toMatchObject({
      reason: "REASON_CLIENT_NOT_TRUSTED",
    });
    expect(await call("SubmitClick", { click }, "submit-key")).toMatchObject({ verdict: "VERDICT_ACCEPTED" });
    await expect(call("SubmitClick", { click }, "wrong")).rejects.toMatchObject({
      code: Status.UNAUTHENTICATED,
    });
  });

  it("are RESOURCE_EXHAUSTED with a hint when a shard is overloaded", async () => {
    gateway.each((shard) => shard.beOverloaded());
    const refused = (await call("SubmitClick", { click: { token: tokenOf() } }).catch(
      (e: unknown) => e,
    )) as ServiceError;
    expect(refused.code).toBe(Status.RESOURCE_EXHAUSTED);
    expect(refused.metadata.get("retry-after-ms")).toEqual(["50"]);
  });

  it("refuse more clicks than a batch may have, and messages larger than may be, by name", async () => {
    const many = { clicks: Array.from({ length: 5_001 }, () => ({})) };
    await expect(call("SubmitClicks", many)).rejects.toMatchObject({
      code: Status.INVALID_ARGUMENT,
      details: expect.stringContaining("at most 5000") as string,
    });
    const large = { clicks: [{ userAgent: Buffer.alloc(5 * 1024 * 1024) }] };
    await expect(call("SubmitClicks", large)).rejects.toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
  });

  it("refuse malformed bytes by name", async () => {
    await expect(
      call("SubmitClicks", Buffer.from([0x0a, 9, 1]), undefined, raw as never),
    ).rejects.toMatchObject({
      code: Status.INVALID_ARGUMENT,
      details: expect.stringContaining("malformed SubmitClicksRequest") as string,
    });
    expect(gateway.rowCount()).toBe(0);
  });
});

describe("StreamClicks", () => {
  it("answers many batches under way at once, matched by id", async () => {
    await open();
    const { stream, results, ended } = openStream();
    for (let id = 1; id <= 40; id++) stream.write(batchOf(id, 25));
    stream.end();
    expect(await ended).toMatchObject({ code: Status.OK });
    expect(results.map((result) => result.batchId).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    expect(results.every((result) => result.verdicts.every((verdict) => verdict === Verdict.ACCEPTED))).toBe(
      true,
    );
    expect(gateway.accepted()).toBe(1_000);
  });

  it("K1 has a window of batches under way, and reads no further until one is answered", async () => {
    await open({ streamWindowBatches: 3, submitDeadlineMs: 1_500 });
    gateway.each((shard) => shard.die());
    const { stream, results, ended } = openStream();
    for (let id = 1; id <= 10; id++) stream.write(batchOf(id, 1));
    stream.end();
    await expect.poll(() => gateway.rowCount()).toBe(3);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([gateway.rowCount(), results.length]).toEqual([3, 0]);
    // The three are refused at their deadline, which opens the window to the other seven.
    gateway.each((shard) => shard.beWell());
    await ended;
    expect(results.filter(({ refusal }) => refusal?.code === "DEADLINE_EXCEEDED")).toHaveLength(3);
    expect(results.filter(({ refusal }) => refusal === undefined)).toHaveLength(7);
  });

  it("K1 stops a client that does not read its results, and goes on once it reads", async () => {
    await open({ streamWindowBatches: 2 });
    // HTTP/2 by hand: grpc-js' own client buffers results without bound until the first read.
    const session = http2.connect(`http://127.0.0.1:${gateway.grpcPort}`);
    const path = raw["StreamClicks"]!.path;
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = session.request(headers);
    // Answers of 10 KB, so that some thirty of them fill what a stream may have in flight.
    const batch = encodeClickBatch(
      1,
      Array.from({ length: 5_000 }, () => Buffer.alloc(0)),
    );
    const frame = Buffer.concat([Buffer.alloc(5), batch]);
    frame.writeUInt32BE(batch.length, 1);
    const batches = 400;
    let taken = 0;
    const writeOn = (): void => {
      if (taken < batches) stream.write(frame, () => (taken++, writeOn()));
      else stream.end();
    };
    writeOn();
    const progress = async () => {
      const before = taken;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return taken - before;
    };
    await expect.poll(progress, { timeout: 20_000 }).toBe(0);
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(batches / 2);
    let answered = 0;
    stream.on("data", (bytes: Buffer) => (answered += bytes.length));
    await new Promise((resolve) => stream.on("end", resolve));
    expect([taken, answered > batches * 10_000]).toEqual([batches, true]);
    session.close();
  }, 15_000);

  it("K5 ends a stream whose key was revoked", async () => {
    await open({ keyRecheckMs: 0 });
    const { stream, results, ended } = openStream("submit-key");
    stream.write(batchOf(1, 3));
    await expect.poll(() => results).toHaveLength(1);
    gateway.revoke("submit-key");
    stream.write(batchOf(2, 3));
    expect(await ended).toMatchObject({ code: Status.UNAUTHENTICATED });
    expect(gateway.accepted()).toBe(3);
  });

  it("refuses by name the batch of a key that has made its calls, and none of a stream without a key", async () => {
    await open({ keySubmitCallsPerWindow: 1 });
    const keyedOne = openStream("submit-key");
    for (let id = 1; id <= 2; id++) keyedOne.stream.write(batchOf(id, 1));
    keyedOne.stream.end();
    await keyedOne.ended;
    expect(keyedOne.results.map(({ refusal }) => refusal?.code)).toEqual([undefined, "RATE_LIMITED"]);
    expect(keyedOne.results[1]!.refusal!.retryAfterMs).toBeGreaterThan(0);
    const keyless = openStream();
    for (let id = 1; id <= 2; id++) keyless.stream.write(batchOf(id, 1));
    keyless.stream.end();
    await keyless.ended;
    expect(keyless.results.every(({ refusal }) => refusal === undefined)).toBe(true);
  });

  it("K3 refuses an overloaded batch, or one of too many clicks, and goes on", async () => {
    await open();
    const { stream, results, ended } = openStream();
    gateway.each((shard) => shard.beOverloaded());
    stream.write(batchOf(1, 2));
    await expect.poll(() => results.length).toBe(1);
    gateway.each((shard) => shard.beWell());
    stream.write(
      encodeClickBatch(
        2,
        Array.from({ length: 5_001 }, () => Buffer.alloc(0)),
      ),
    );
    await expect.poll(() => results.length).toBe(2);
    stream.write(batchOf(3, 2));
    stream.end();
    await ended;
    expect(results[0]).toMatchObject({ batchId: 1, refusal: { code: "OVERLOADED", retryAfterMs: 50 } });
    expect(results[1]).toMatchObject({ batchId: 2, refusal: { code: "TOO_MANY_CLICKS", retryAfterMs: 0 } });
    expect(results[2]).toMatchObject({ batchId: 3, refusal: undefined });
    expect(results[0]!.verdicts).toHaveLength(0);
  });

  it("K3 a malformed batch ends the stream by name, after what came before it is answered", async () => {
    await open();
    gateway.each((shard) => shard.beSlow(60));
    const { stream, results, ended } = openStream();
    stream.write(batchOf(1, 3));
    stream.write(Buffer.from([0x12, 0x7f]));
    expect(await ended).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      details: expect.stringContaining("malformed ClickBatch") as string,
    });
    expect(results.map((result) => result.batchId)).toEqual([1]);
  });

  it("refuses what does not come in time by name: a shard, the catalogue", async () => {
    await open({ submitDeadlineMs: 60, catalogueDeadlineMs: 60 });
    gateway.failCatalogue();
    gateway.each((shard) => shard.die());
    const { stream, results, ended } = openStream();
    stream.write(batchOf(1, 1));
    stream.write(encodeClickBatch(2, [encodeClick({ token: tokenOf(COLD_AD) })]));
    stream.end();
    await ended;
    expect(results.map((result) => result.refusal?.code)).toEqual(["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]);
  });

  it("K2 refuses what would hold more bytes than may be under way", async () => {
    await open({ grpcInFlightMaxBytes: 1_000 });
    gateway.each((shard) => shard.beSlow(100));
    const { stream, results, ended } = openStream();
    stream.write(batchOf(1, 15));
    stream.write(batchOf(2, 15));
    stream.end();
    await ended;
    expect(results.map(({ batchId, refusal }) => [batchId, refusal?.code])).toEqual([
      [2, "OVERLOADED"],
      [1, undefined],
    ]);
  });

  it("K4 drains: what it took is answered, then UNAVAILABLE", async () => {
    await open();
    gateway.each((shard) => shard.beSlow(80));
    const { stream, results, ended } = openStream();
    stream.write(batchOf(1, 3));
    await expect.poll(() => gateway.rowCount()).toBe(3);
    const drained = gateway.drain();
    expect(await ended).toMatchObject({ code: Status.UNAVAILABLE });
    expect(results.map((result) => result.batchId)).toEqual([1]);
    await drained;
  });

  it("a stream that is cut off in mid-batch frees its place", async () => {
    await open({ grpcMaxClickStreams: 1, streamWindowBatches: 1 });
    // Never answered and its window full: nothing but the cut itself can free its place.
    gateway.each((shard) => shard.die());
    const first = openStream();
    first.stream.write(batchOf(1, 1));
    await expect.poll(() => gateway.rowCount()).toBe(1);
    expect(await openStream().ended).toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
    first.stream.cancel();
    await expect
      .poll(async () => {
        const { stream, ended } = openStream();
        stream.end();
        return (await ended).code;
      })
      .toBe(Status.OK);
  });

  it("a verdict has its reason", async () => {
    await open();
    const { stream, results, ended } = openStream("submit-key");
    stream.write(
      encodeClickBatch(1, [
        encodeClick({ clickId: Buffer.alloc(16), adId: 1001n }),
        encodeClick({ token: tokenOf() }),
      ]),
    );
    stream.end();
    await ended;
    expect([...results[0]!.verdicts]).toEqual([Verdict.REFUSED, Verdict.ACCEPTED]);
    expect([...results[0]!.reasons]).toEqual([Reason.CLICK_ID_NOT_UUIDV7, Reason.NONE]);
  });
});

describe("the other services", () => {
  beforeEach(() => open());

  it("placement issues for a key of its scope, and refuses others", async () => {
    const placement = serviceOf(protos, "PlacementService");
    const issue = (key?: string, adId = "1001") =>
      call("IssueImpressions", { adId, count: 2 }, key, placement);
    const { impressions } = (await issue("placement-key")) as { impressions: { token: Buffer }[] };
    expect(impressions).toHaveLength(2);
    expect(await call("SubmitClick", { click: { token: impressions[0]!.token } })).toMatchObject({
      verdict: "VERDICT_ACCEPTED",
    });
    await expect(issue()).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
    await expect(issue("admin-key")).resolves.toBeDefined();
    await expect(issue("submit-key")).rejects.toMatchObject({ code: Status.PERMISSION_DENIED });
    await expect(issue("placement-key", "9")).rejects.toMatchObject({ code: Status.NOT_FOUND });
  });

  it("health says SERVING, for the whole and for each service", async () => {
    const { service: health } = await import("grpc-health-check");
    for (const name of ["", "adtally.v1.ClickService", "adtally.v1.PlacementService"]) {
      const answer = await call("Check", { service: name }, undefined, health as never);
      expect(answer).toMatchObject({ status: "SERVING" });
    }
  });
});
