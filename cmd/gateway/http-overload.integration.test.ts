/** The HTTP side of a gateway that is short of something: refused by name, bounded, and drained. */
import { connect } from "node:net";
import { Agent } from "node:http";
import { afterEach, expect, it } from "vitest";
import { RowAt } from "../../actors/block/row.ts";
import { COLD_AD, openGateway } from "./gateway-fixture.ts";
import { ask as askAt } from "./ask.ts";
import type { GatewayUnderTest } from "./gateway-fixture.ts";
import type { RequestOptions } from "node:http";

let gateway: GatewayUnderTest;
afterEach(() => gateway.drain());

const ask = (path: string, options: RequestOptions = {}) => askAt(gateway.httpPort, path, options);
const click = (options?: RequestOptions) => ask(`/click?i=${gateway.impression().tokenText}`, options);

it("an overloaded shard is 503 with a hint, and the same click counts afterwards", async () => {
  gateway = await openGateway();
  gateway.each((shard) => shard.beOverloaded());
  const path = `/click?i=${gateway.impression().tokenText}`;
  const refused = await ask(path);
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  expect(gateway.rowCount()).toBe(0);
  gateway.each((shard) => shard.beWell());
  expect((await ask(path)).status).toBe(302);
  expect(gateway.accepted()).toBe(1);
});

it("a shard that does not answer is 503 at the deadline, never a redirect that may be false", async () => {
  gateway = await openGateway({ submitDeadlineMs: 60 });
  gateway.each((shard) => shard.die());
  expect((await click()).status).toBe(503);
});

it("a catalogue that does not answer is 503 at its deadline", async () => {
  gateway = await openGateway({ catalogueDeadlineMs: 60 });
  gateway.failCatalogue();
  expect((await ask(`/click?i=${gateway.impression(COLD_AD).tokenText}`)).status).toBe(503);
});

it("A2 past the clicks that may wait, the next is 503 at once, and none is lost", async () => {
  gateway = await openGateway({ httpMaxWaitingClicks: 50 });
  gateway.each((shard) => shard.beSlow(150));
  const answers = await Promise.all(Array.from({ length: 80 }, () => click()));
  const counts = { redirected: 0, refused: 0 };
  for (const { status } of answers) counts[status === 302 ? "redirected" : "refused"] += 1;
  expect(counts).toEqual({ redirected: 50, refused: 30 });
  expect(gateway.accepted()).toBe(50);
  gateway.each((shard) => shard.beWell());
  expect((await click()).status).toBe(302);
});

it("A1 clicks of one turn reach a shard as few submissions", async () => {
  gateway = await openGateway();
  const agent = new Agent({ keepAlive: true, maxSockets: 100 });
  await Promise.all(Array.from({ length: 100 }, () => click({ agent })));
  await Promise.all(Array.from({ length: 1_000 }, () => click({ agent })));
  agent.destroy();
  const blocks = [...gateway.shards.values()].reduce((sum, shard) => sum + shard.appended, 0);
  expect(gateway.accepted()).toBe(1_100);
  expect(blocks).toBeLessThan(1_000);
});

it("headers that do not come are 408", async () => {
  gateway = await openGateway({ httpHeadersTimeoutMs: 100 });
  const answer = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(gateway.httpPort, "127.0.0.1", () =>
      socket.write("GET /click?i=a HTTP/1.1\r\nHost:"),
    );
    socket.on("data", (bytes) => (text += String(bytes))).on("close", () => resolve(text));
  });
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

it("a client that goes away while its click waits harms nothing, and the click counts", async () => {
  gateway = await openGateway();
  gateway.each((shard) => shard.beSlow(80));
  const socket = connect(gateway.httpPort, "127.0.0.1");
  socket.write(`GET /click?i=${gateway.impression().tokenText} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await expect.poll(() => gateway.rowCount()).toBe(1);
  socket.destroy();
  gateway.each((shard) => shard.beWell());
  expect((await click()).status).toBe(302);
  expect(gateway.accepted()).toBe(2);
});

it("drains: what it took is answered, then nobody can connect", async () => {
  gateway = await openGateway();
  gateway.each((shard) => shard.beSlow(100));
  const agent = new Agent({ keepAlive: true });
  const underWay = click({ agent });
  await expect.poll(() => gateway.rowCount()).toBe(1);
  const drained = gateway.drain();
  expect((await underWay).headers).toMatchObject({ connection: "close", location: expect.any(String) });
  await drained;
  await expect(click()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  agent.destroy();
});

it("X-Forwarded-For is believed from listed proxies alone, and its last foreign address taken", async () => {
  const ipOf = async (trusted: readonly string[], forwarded: string) => {
    gateway = await openGateway({}, trusted);
    await click({ headers: { "x-forwarded-for": forwarded } });
    const [row] = [...gateway.shards.values()].flatMap((shard) => shard.rows);
    await gateway.drain();
    return row!.bytes.toString("hex", RowAt.ip + 10, RowAt.ip + 16);
  };
  expect(await ipOf([], "203.0.113.9")).toBe("ffff7f000001");
  expect(await ipOf(["10.0.0.0/8"], "203.0.113.9")).toBe("ffff7f000001");
  expect(await ipOf(["127.0.0.1"], "203.0.113.9")).toBe("ffffcb007109");
  expect(await ipOf(["127.0.0.1", "10.0.0.0/8"], "198.51.100.1, 203.0.113.9, 10.1.2.3")).toBe("ffffcb007109");
  expect(await ipOf(["127.0.0.1"], "")).toBe("ffff7f000001");
  expect(await ipOf(["127.0.0.1"], "unknown")).toBe("000000000000");
});
