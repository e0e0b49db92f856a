import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClickServer, type ClickServer } from "../../actors/adapters/http/click-server.ts";
import { adToJson } from "../../actors/catalogue/ad.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { exampleAd } from "../../actors/ports/catalogue.conformance.ts";
import { sleep, systemClock } from "../../actors/runtime/clock.ts";
import { ADMIN, createTestApi, type FixtureOptions } from "./api.fixture.ts";

let server: ClickServer;
let port: number;
let close: () => Promise<unknown>;

/** The API behind the gateway's own server. */
async function serve(options: FixtureOptions = {}) {
  const api = await createTestApi(options);
  await api.app.ready();
  server = createClickServer({
    clicks: (_request, response) => void response.end("clicked"),
    others: (request, response) => void api.app.routing(request, response),
    clock: systemClock,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
  });
  port = await server.listen("127.0.0.1", 0);
  close = async () => {
    server.server.closeAllConnections();
    await server.drain();
    await api.app.close();
  };
  return api;
}

let api: Awaited<ReturnType<typeof serve>>;
beforeEach(async () => {
  api = await serve();
});
afterEach(() => close());

const line = (n: number) => `${JSON.stringify(adToJson(exampleAd(BigInt(n))))}\n`;

const codeOf = (problem: unknown) => (problem as { code: string }).code;

function startImport(headers: Record<string, string> = ADMIN) {
  return httpRequest({ port, host: "127.0.0.1", method: "POST", path: "/v1/ads/import", headers });
}

describe("the API behind the gateway's server", () => {
  test("answers requests over one kept connection", async () => {
    for (let n = 1; n <= 3; n++) {
      const response = await fetch(`http://127.0.0.1:${port}/v1/ads`, {
        method: "POST",
        headers: { ...ADMIN, "content-type": "application/json" },
        body: line(n),
      });
      expect(response.status).toBe(201);
    }
    const missing = await fetch(`http://127.0.0.1:${port}/nowhere`);
    expect([missing.status, missing.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
  });

  test.each(["DELETE", "POST"])(
    "a %s that names a content type and sends no body is answered",
    async (method) => {
      const headers = { ...ADMIN, "content-type": "application/json" };
      const path = method === "DELETE" ? "/v1/keys/0123456789ab" : "/v1/ads";
      const request = httpRequest({ port, host: "127.0.0.1", method, path, headers });
      // Else Node says that the body has no bytes.
      request.useChunkedEncodingByDefault = false;
      request.end();
      const [response] = (await once(request, "response")) as [IncomingMessage];
      const problem: unknown = JSON.parse(await text(response));
      expect([response.statusCode, codeOf(problem)]).toEqual([400, "BODY_NOT_JSON"]);
    },
  );

  test("a body that stops coming is 408 after its deadline", async () => {
    await close();
    api = await serve({ limits: { httpRequestTimeoutMs: 100 } });
    const socket = connect(port, "127.0.0.1");
    socket.write(
      "POST /v1/ads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-key\r\n" +
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('"code":"REQUEST_TIMEOUT"');
  });
});

test.each(["GET /click", "GET /healthz", "POST /v1/ads", "GET /v1/ads/1"])(
  "%s with a body that nobody reads is answered, and its connection closed",
  async (what) => {
    const socket = connect(port, "127.0.0.1");
    socket.write(`${what} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 \d{3} [^]*\r\nConnection: close\r\n/i);
  },
);

describe("POST /v1/ads/import", () => {
  test("may last longer than any other request, as long as it moves", async () => {
    await close();
    const short = { httpHeadersTimeoutMs: 100, httpRequestTimeoutMs: 300, importProgressIntervalMs: 100 };
    api = await serve({ limits: short });
    const request = startImport();
    const answered = once(request, "response");
    for (let n = 1; n <= 10; n++) {
      request.write(line(n));
      await sleep(systemClock, 100);
    }
    request.end();
    const [response] = await answered;
    const reports = (await text(response))
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each));
    expect(reports.at(-1)).toEqual({ lines: 10, imported: 10, rejected: 0, errors: [] });
    expect(reports.length).toBeGreaterThan(3);
  });

  test("streams 50,000 ads in, with progress while they come and the bad lines at the end", async () => {
    const request = startImport({ ...ADMIN, "content-type": "application/x-ndjson" });
    const answered = once(request, "response");
    for (let n = 1; n <= 50_000; n += 1_000) {
      const some = Array.from({ length: 1_000 }, (_, k) => line(n + k)).join("");
      if (!request.write(some)) await once(request, "drain");
    }
    request.end("not json\n");
    const [response] = await answered;
    expect(response.statusCode).toBe(200);
    expect(response.headers["content-type"]).toBe("application/x-ndjson");
    const reports = (await text(response))
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each));
    expect(reports.at(-1)).toMatchObject({ lines: 50_001, imported: 50_000, rejected: 1 });
    expect(reports.at(-1).errors).toEqual([{ line: 50_001, reason: expect.stringContaining("not JSON") }]);
    expect(api.catalogue.peek(50_000)).toEqual(exampleAd(50_000n));
  });

  test("what fetch sends with any content type is taken; nothing at all is refused by name", async () => {
    const url = `http://127.0.0.1:${port}/v1/ads/import`;
    for (const type of ["application/x-www-form-urlencoded", "application/json", "text/plain"]) {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...ADMIN, "content-type": type },
        body: line(1) + line(2).trimEnd(),
      });
      expect(await response.json()).toEqual({ lines: 2, imported: 2, rejected: 0, errors: [] });
    }
    const empty = await fetch(url, { method: "POST", headers: ADMIN });
    expect([empty.status, codeOf(await empty.json())]).toEqual([400, "BODY_MALFORMED"]);
    const stranger = await fetch(url, { method: "POST", body: line(3) });
    expect([stranger.status, codeOf(await stranger.json())]).toEqual([401, "UNAUTHENTICATED"]);
    expect(api.catalogue.peek(3)).toBeUndefined();
  });

  test("a stream that falls silent is cut off; what it had brought may be sent again", async () => {
    await close();
    api = await serve({ limits: { httpRequestTimeoutMs: 100, importBatchAds: 10 } });
    const request = startImport();
    for (let n = 1; n <= 25; n++) request.write(line(n));
    const [error] = await once(request, "error").catch((cause: unknown) => [cause]);
    expect(error).toMatchObject({ code: "ECONNRESET" });
    expect(api.catalogue.peek(20)).toBeDefined();
    expect(api.catalogue.peek(21)).toBeUndefined();
  });

  test("a caller that goes away in the middle leaves the server well", async () => {
    const request = startImport();
    request.on("error", () => {});
    request.write(line(1));
    await once(server.server, "request");
    request.destroy();
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  });
});
