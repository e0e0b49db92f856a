import { Metadata } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { describeShardPort, shortSubmission } from "../../ports/shard-port.conformance.ts";
import { systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createDirectShardPort } from "../direct/direct-shard-port.ts";
import { MemoryShard } from "../memory/memory-shard.ts";
import { loadProtos } from "./protos.ts";
import { createGrpcServer } from "./server.ts";
import { createShardClient } from "./shard-client.ts";
import { decodeSubmission, encodeShardAnswers, scatter } from "./shard-codec.ts";
import { createShardService } from "./shard-service.ts";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";

const protos = loadProtos();

async function openPort(limits: Limits) {
  const shards = new Map([0, 1, 2].map((n) => [n, new MemoryShard(systemClock, limits.mailboxMaxClicks)]));
  const direct = createDirectShardPort({ shards, clock: systemClock, limits: DEFAULT_LIMITS });
  const quick = { ...limits, drainDeadlineMs: 50 };
  const serve = () => {
    const service = createShardService({
      shards: direct,
      limits: quick,
      clock: systemClock,
      logger: silentLogger,
    });
    return createGrpcServer({
      services: [service],
      limits: quick,
      clock: systemClock,
    });
  };
  let server = serve();
  const bound = await server.listen("127.0.0.1", 0);
  const client = createShardClient({
    address: `127.0.0.1:${bound}`,
    protos,
    limits,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  const under = {
    port: client,
    async sever() {
      await server.drain();
      server = serve();
      await server.listen("127.0.0.1", bound);
    },
    async close() {
      client.close();
      await server.drain();
    },
  };
  return { under, shard: (n: number) => shards.get(n)! };
}

describeShardPort("gRPC", openPort);

it("H1 refuses rows that are not what the submission says, and the stream goes on", async () => {
  const { under, shard } = await openPort(DEFAULT_LIMITS);
  await expect(under.port.submit(shortSubmission(0))).rejects.toMatchObject({ code: "INPUT_INVALID" });
  expect(shard(0).rows).toHaveLength(0);
  await under.close();
});

it("Q7 H5 what is submitted in one turn is one message each way: 64 shards cost 64 of them a batch", async () => {
  const sizes: number[] = [];
  const handlers = {
    Submit: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.sendMetadata(new Metadata());
      call.on("data", (bytes: Buffer) => {
        const answers = scatter(bytes).map((each) => {
          const { requestId, submission } = decodeSubmission(each);
          const outcomes = new Uint8Array(2 * submission.count);
          return { requestId, result: { offset: submission.shard, outcomes } };
        });
        sizes.push(answers.length);
        call.write(encodeShardAnswers(answers));
      });
      call.on("end", () => call.end());
    },
  };
  const server = createGrpcServer({
    services: [{ name: "ShardService", raw: true, handlers }],
    limits: DEFAULT_LIMITS,
    clock: systemClock,
  });
  const client = createShardClient({
    address: `127.0.0.1:${await server.listen("127.0.0.1", 0)}`,
    protos,
    limits: DEFAULT_LIMITS,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  const shards = Array.from({ length: 64 }, (_, shard) => shard);
  const results = await Promise.all(
    shards.map((shard) => client.submit({ shard, count: 1, rows: Buffer.alloc(100) })),
  );
  expect(results.map(({ offset }) => offset)).toEqual(shards);
  expect(sizes).toEqual([64]);
  client.close();
  await server.drain();
});
