/**
 * Live streams over real connections: 500 at once, one of which does not read. The feed's clock is
 * told when to move, so that minutes pass in moments; the bytes are those of the server itself.
 */
import { get, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { afterEach, expect, test } from "vitest";
import { createApi } from "../../actors/adapters/http/api.ts";
import { HttpProblem } from "../../actors/adapters/http/problem.ts";
import { encodeDelta } from "../../actors/live/delta.ts";
import type { EndEvent, SecondEvent } from "../../actors/live/event.ts";
import { deltaOf, liveWorld, START_S, textOf, type LiveWorld } from "../../actors/live/live.fixture.ts";
import { liveChannel } from "../../actors/live/publisher.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { liveRoutes } from "./live-routes.ts";

const CLIENTS = 500;
const WAIT = { timeout: 60_000, interval: 20 };
const KEYS = new Map<string, "all" | ReadonlySet<bigint>>([
  ["all", "all"],
  ["ten", new Set([10n])],
]);

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(world: LiveWorld) {
  const { app } = createApi({
    limits: world.limits,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    readiness: () => [],
    version: "0",
    authenticate: () => undefined,
  });
  const feed = world.feed();
  const responses = new Set<ServerResponse>();
  app.addHook("onRequest", async (_request, reply) => {
    responses.add(reply.raw);
  });
  const authorise = async ({
    headers,
  }: {
    readonly headers: { readonly authorization?: string | undefined };
  }) => {
    const advertisers = KEYS.get(headers.authorization ?? "");
    if (advertisers === undefined) throw new HttpProblem(401, "UNAUTHENTICATED", "no such key");
    return { advertisers };
  };
  app.register(liveRoutes({ feed, authorise, limits: world.limits }));
  await app.listen({ host: "127.0.0.1", port: 0 });
  closing.push(() => app.close());
  return { app, feed, responses, port: (app.server.address() as { port: number }).port };
}

interface Client {
  readonly seconds: Map<string, SecondEvent>;
  end: EndEvent | undefined;
  lastId: string | undefined;
  isOver: boolean;
  close(): void;
}

function open(port: number, headers: Record<string, string> = {}, query = ""): Promise<Client> {
  const client: Client = { seconds: new Map(), end: undefined, lastId: undefined, isOver: false, close };
  const request = get({
    host: "127.0.0.1",
    port,
    path: `/v1/reports/live${query}`,
    agent: false,
    headers: { authorization: "all", ...headers },
  });
  function close() {
    request.destroy();
  }
  closing.push(close);
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response: IncomingMessage) => {
      expect([response.statusCode, response.headers["content-type"]]).toEqual([
        200,
        "text/event-stream; charset=utf-8",
      ]);
      let text = "";
      response.on("error", () => undefined);
      response.on("close", () => (client.isOver = true));
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const events = text.split("\n\n");
        text = events.pop()!;
        for (const event of events) take(client, event);
      });
      resolve(client);
    });
  });
}

function take(client: Client, text: string): void {
  const fields = new Map(text.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]));
  const data: unknown = JSON.parse(fields.get("data") ?? "null");
  client.lastId = fields.get("id") ?? client.lastId;
  if (fields.get("event") === "end") client.end = data as EndEvent;
  if (fields.get("event") === "second") client.seconds.set((data as SecondEvent).second, data as SecondEvent);
}

/** Asks, and reads nothing. */
function openDeaf(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  closing.push(() => socket.destroy());
  socket.pause();
  socket.on("error", () => undefined);
  socket.write("GET /v1/reports/live HTTP/1.1\r\nhost: x\r\nauthorization: all\r\n\r\n");
  return new Promise((resolve) => socket.on("connect", () => resolve(socket)));
}

const problem = async (app: FastifyInstance, url: string, headers: Record<string, string> = {}) => {
  const answer = await app.inject({ url, headers: { authorization: "all", ...headers } });
  return [answer.statusCode, answer.json<{ code: string }>().code];
};

test("fault 20: of 500 clients one does not read: what waits for it is bounded, it is cut off by name, and all others are told each second", async () => {
  const world = liveWorld({ liveSlowClientMs: 3_600_000, liveHistoryMs: 600_000 });
  const { feed, port, responses } = await serve(world);
  const deaf = await openDeaf(port);
  const [deafResponse] = await expect
    .poll(() => [...responses], WAIT)
    .toHaveLength(1)
    .then(() => [...responses]);
  const clients = await Promise.all(Array.from({ length: CLIENTS - 1 }, () => open(port)));
  await expect.poll(() => feed.clients, WAIT).toBe(CLIENTS);

  // A hundred ads in each event: some 9 KB.
  const ads = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [1_000 + at, 1 + at]));
  const total = Object.values(ads).reduce((sum, clicks) => sum + clicks, 0);
  const most = { waiting: 0, rest: 0 };
  let seconds = 0;
  const isDeafFull = () => deafResponse!.writableNeedDrain;
  for (; seconds < 12; seconds += 1) {
    const delta = deltaOf({ fromOffset: seconds, second: START_S + seconds, clicks: ads });
    await world.bus.append(liveChannel(0), encodeDelta(delta));
    await world.clock.advance(1_000);
    for (const response of responses) {
      const where = response === deafResponse ? "waiting" : "rest";
      most[where] = Math.max(most[where], response.writableLength);
    }
  }
  await world.clock.advance(3_000);
  await expect
    .poll(
      () => clients.filter(({ seconds: own }) => own.get(textOf(START_S + 12))?.over === true).length,
      WAIT,
    )
    .toBe(CLIENTS - 1);
  for (const { seconds: own } of clients) {
    const told = Array.from({ length: 12 }, (_, at) => own.get(textOf(START_S + at)));
    expect(told.map((event) => event?.clicks_per_second)).toEqual(told.map(() => total));
  }

  // The kernel takes some megabytes for the one that does not read, then it is full.
  for (; !isDeafFull() && seconds < 900; seconds += 1) {
    for (const client of clients.splice(0, CLIENTS)) client.close();
    const delta = deltaOf({ fromOffset: seconds, second: START_S + seconds, clicks: ads });
    await world.bus.append(liveChannel(0), encodeDelta(delta));
    await world.clock.advance(1_000);
    most.waiting = Math.max(most.waiting, deafResponse!.writableLength);
  }
  expect(isDeafFull()).toBe(true);
  for (let more = 0; more < 30; more += 1) await world.clock.advance(1_000);
  most.waiting = Math.max(most.waiting, deafResponse!.writableLength);
  const oneEvent = 16 * 1_024;
  expect(most.waiting).toBeLessThanOrEqual(deafResponse!.writableHighWaterMark + oneEvent);
  expect(most.rest).toBeLessThanOrEqual(deafResponse!.writableHighWaterMark + oneEvent);

  await world.clock.advance(world.limits.liveSlowClientMs + 2_000);
  expect(feed.ended.SLOW_CLIENT).toBe(1);
  await expect.poll(() => feed.clients, WAIT).toBe(0);
  deaf.destroy();
}, 120_000);

test("goes on with Last-Event-ID, shows a key its own advertisers alone, and ends by name when the server stops", async () => {
  const world = liveWorld();
  const { app, feed, port } = await serve(world);
  const tell = async (offset: number) => {
    const delta = deltaOf({ fromOffset: offset, second: START_S + offset, clicks: { 1001: 2, 2002: 3 } });
    await world.bus.append(liveChannel(0), encodeDelta(delta));
    await world.clock.advance(1_000);
  };
  const [first, own] = await Promise.all([open(port), open(port, { authorization: "ten" })]);
  await tell(0);
  await expect.poll(() => first.seconds.size, WAIT).toBe(1);
  first.close();
  await expect.poll(() => feed.clients, WAIT).toBe(1);
  for (let at = 1; at < 8; at += 1) await tell(at);
  const again = await open(port, { "last-event-id": first.lastId! });
  const text = textOf(START_S + 7);
  await expect.poll(() => [again.seconds.has(text), own.seconds.has(text)], WAIT).toEqual([true, true]);
  const sum = (client: Client) =>
    [...client.seconds.values()].reduce((total, event) => total + event.clicks_per_second, 0);
  expect(sum({ ...again, seconds: new Map([...first.seconds, ...again.seconds]) })).toBe(8 * 5);
  expect(sum(own)).toBe(8 * 2);
  expect(JSON.stringify([...own.seconds.values()])).not.toContain("2002");
  await app.close();
  await expect.poll(() => [again.end?.code, own.end?.code], WAIT).toEqual(["DRAINING", "DRAINING"]);
});

test("refuses by name what it is asked wrongly, who has no key, and one client too many", async () => {
  const world = liveWorld({ liveMaxClients: 0 });
  const { app } = await serve(world);
  const live = "/v1/reports/live";
  expect(await problem(app, live, { authorization: "none" })).toEqual([401, "UNAUTHENTICATED"]);
  for (const query of ["ad_id=01", "campaign_id=x", "recent=121", "recent=-1", "nonsense=1"])
    expect(await problem(app, `${live}?${query}`)).toEqual([400, "INPUT_INVALID"]);
  expect(await problem(app, live)).toEqual([503, "OVERLOADED"]);
  const document = (await app.inject("/openapi.json")).json<{ paths: Record<string, { get: object }> }>();
  expect(JSON.stringify(document.paths[live]!.get)).toContain("text/event-stream");
});
