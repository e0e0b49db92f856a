/** LiveService over a real connection: what is told, resumed, refused, and how a stream ends. */
import { Client, credentials, Metadata, type ClientReadableStream } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { AdtallyError } from "../../core/errors.ts";
import { encodeDelta } from "../../live/delta.ts";
import { deltaOf, liveWorld, START_MS, START_S } from "../../live/live.fixture.ts";
import { liveChannel } from "../../live/publisher.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger as logger } from "../../runtime/log.ts";
import { createLiveService } from "./live-service.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import { createGrpcServer } from "./server.ts";

const WAIT = { timeout: 20_000, interval: 10 };
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Response {
  readonly resumeToken: string;
  readonly second?: {
    readonly startMs: string;
    readonly clicksPerSecond: string;
    readonly over: boolean;
    readonly ads: readonly { readonly adId: string; readonly clicks: string }[];
  };
}

async function serve() {
  const world = liveWorld({ drainDeadlineMs: 500 });
  const service = createLiveService({
    feed: world.feed(),
    async authorise(metadata) {
      if (metadata.get("authorization")[0] !== "ten")
        throw new AdtallyError("UNAUTHENTICATED", "no such key");
      return { advertisers: new Set([10n]) };
    },
    limits: world.limits,
    logger,
  });
  const server = createGrpcServer({ services: [service], limits: world.limits, clock: systemClock });
  ends.push(() => server.drain());
  const client = new Client(`127.0.0.1:${await server.listen("127.0.0.1", 0)}`, credentials.createInsecure());
  ends.push(() => client.close());
  const { WatchClicks: method } = serviceOf(loadProtos(), "LiveService");
  const watch = (request: object, key = "ten") => {
    const metadata = new Metadata();
    metadata.set("authorization", key);
    const { path, requestSerialize, responseDeserialize } = method!;
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize as (value: object) => Buffer,
      responseDeserialize as (bytes: Buffer) => Response,
      request,
      metadata,
    ) as ClientReadableStream<Response>;
    const told: Response[] = [];
    const state: { error: { code: number; details: string } | undefined } = { error: undefined };
    call.on("data", (response: Response) => told.push(response));
    call.on("error", (error) => (state.error = error as unknown as { code: number; details: string }));
    ends.push(() => call.cancel());
    return { call, told, state };
  };
  let offset = 0;
  const tell = async () => {
    const second = START_S + offset;
    const delta = deltaOf({ fromOffset: offset++, second, clicks: { 1001: 2, 2002: 3 } });
    await world.bus.append(liveChannel(0), encodeDelta(delta));
    await world.clock.advance(1_000);
  };
  return { server, watch, tell };
}

test("tells seconds of what the key may see, and goes on with the resume token", async () => {
  const { watch, tell, server } = await serve();
  const first = watch({});
  await expect
    .poll(async () => {
      await tell();
      return first.told.length;
    }, WAIT)
    .toBeGreaterThan(2);
  first.call.cancel();
  for (let at = 0; at < 5; at += 1) await tell();
  const again = watch({ resumeToken: first.told.at(-1)!.resumeToken });
  await expect.poll(() => again.told.length, WAIT).toBeGreaterThan(4);
  const bySecond = new Map(
    [...first.told, ...again.told].map(({ second }) => [Number(second!.startMs), second!]),
  );
  const starts = [...bySecond.keys()].sort((a, b) => a - b);
  expect(starts).toEqual(starts.map((_, at) => starts[0]! + at * 1_000));
  expect(starts[0]).toBeGreaterThanOrEqual(START_MS);
  for (const { clicksPerSecond, ads } of bySecond.values())
    expect([clicksPerSecond, ads.map(({ adId, clicks }) => [adId, clicks])]).toEqual(["2", [["1001", "2"]]]);
  await server.drain();
  await expect
    .poll(() => again.state.error, WAIT)
    .toMatchObject({ code: 14, details: expect.stringMatching(/stopping/) as string });
});

test("refuses by name who has no key, and what it is asked wrongly", async () => {
  const { watch } = await serve();
  const [unknown, token, recent] = [
    watch({}, "none"),
    watch({ resumeToken: "1" }),
    watch({ recentSeconds: 121 }),
  ];
  await expect
    .poll(() => [unknown, token, recent].map(({ state }) => state.error?.code), WAIT)
    .toEqual([16, 3, 3]);
});
