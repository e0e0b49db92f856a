import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import type { ClickHouseOptions } from "./options.ts";

/** A server that answers as each test says; ClickHouse itself is in the integration tests. */
let server: Server;
let sockets: Set<Socket>;
let requests: { readonly url: URL; readonly body: string }[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;
let clickhouse: ClickHouse;

beforeEach(async () => {
  sockets = new Set();
  requests = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests.push({
        url: new URL(request.url ?? "/", "http://server"),
        body: Buffer.concat(chunks).toString("latin1"),
      });
      answer(response, request);
    });
  });
  // Its own keep-alive is each test's.
  server.keepAliveTimeout = 0;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
});
afterEach(async () => {
  await clickhouse.close();
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

function connect(options: Partial<ClickHouseOptions> = {}): ClickHouse {
  clickhouse = connectClickHouse({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...options,
  });
  return clickhouse;
}
const fail = (response: ServerResponse, code: number, name: string) =>
  response
    .writeHead(500, { "X-ClickHouse-Exception-Code": String(code) })
    .end(`Code: ${code}. DB::Exception: as ordered. (${name}) (version 26.1)\n`);
const insert = () => clickhouse.insertBytes("INSERT INTO t FORMAT RowBinary", [Buffer.from("rows")]);

describe("K2 retries", () => {
  test("an insert goes again after an error that passes, with the same bytes", async () => {
    answer = (response) => {
      if (requests.length < 3) fail(response, 202, "TOO_MANY_SIMULTANEOUS_QUERIES");
      else response.end();
    };
    connect();
    await insert();
    expect(requests.map(({ body }) => body)).toEqual(["rows", "rows", "rows"]);
  });

  test("an insert whose connection breaks goes again", async () => {
    answer = (response) => {
      if (requests.length === 1) response.destroy();
      else response.end();
    };
    connect();
    await insert();
    expect(requests).toHaveLength(2);
  });

  test("attempts are counted, and the last failure is told", async () => {
    answer = (response) => fail(response, 236, "ABORTED");
    connect({ attempts: 3 });
    await expect(insert()).rejects.toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
      message: expect.stringContaining("code 236 ABORTED"),
    });
    expect(requests).toHaveLength(3);
  });

  test("a server under pressure is not pressed: its caller backs off", async () => {
    answer = (response) => fail(response, 252, "TOO_MANY_PARTS");
    connect();
    await expect(insert()).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
    expect(requests).toHaveLength(1);
  });

  test("what cannot succeed is refused at once, with what to do", async () => {
    answer = (response) => fail(response, 516, "AUTHENTICATION_FAILED");
    connect();
    await expect(insert()).rejects.toMatchObject({
      code: "COUNT_SINK_REJECTED",
      message: expect.stringContaining("check the user and the password"),
    });
    expect(requests).toHaveLength(1);
  });

  test("a statement is not tried again", async () => {
    answer = (response) => fail(response, 236, "ABORTED");
    connect();
    await expect(clickhouse.command("CREATE TABLE t (a UInt8) ENGINE = Memory")).rejects.toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
    });
    expect(requests).toHaveLength(1);
  });

  test("nothing is tried again by a closed client", async () => {
    answer = (response) => fail(response, 236, "ABORTED");
    connect({ attempts: 100 });
    const failing = expect(insert()).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
    await expect.poll(() => requests.length).toBeGreaterThan(0);
    await clickhouse.close();
    const tried = requests.length;
    await failing;
    expect(requests.length).toBeLessThanOrEqual(tried + 1);
  });
});

describe("K1 deadline", () => {
  test("a server that never answers is given up, and told so", async () => {
    answer = () => undefined;
    connect({ deadlineMs: 300 });
    const startedAt = systemClock.monotonic();
    await expect(insert()).rejects.toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
      message: "ClickHouse did not answer an insert within 300 ms",
    });
    expect(systemClock.monotonic() - startedAt).toBeLessThan(2_000);
  });

  test("a server that drips its answer is given up too", async () => {
    answer = (response) => {
      const drip = systemClock.every(50, () => void response.write("1\n"));
      response.write("1\n");
      response.on("close", () => drip.cancel());
    };
    connect({ deadlineMs: 300 });
    await expect(clickhouse.bytes("SELECT 1")).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
  });

  test("retries end with the deadline, whatever attempts are left", async () => {
    answer = (response) => fail(response, 236, "ABORTED");
    connect({ deadlineMs: 400, attempts: 1_000 });
    const startedAt = systemClock.monotonic();
    await expect(insert()).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
    expect(systemClock.monotonic() - startedAt).toBeLessThan(2_000);
  });

  test("a slow answer within the deadline is waited for, longer than a socket may be idle", async () => {
    answer = (response) => void systemClock.after(600, () => response.end("slow"));
    connect({ idleSocketMs: 200 });
    expect((await clickhouse.bytes("SELECT 1")).toString()).toBe("slow");
    expect(requests).toHaveLength(1);
  });
});

describe("idle sockets", () => {
  test("are used again", async () => {
    answer = (response) => response.end();
    connect();
    for (let i = 0; i < 3; i++) await insert();
    expect(sockets.size).toBe(1);
  });

  test("are let go a second before the server's Keep-Alive says", async () => {
    answer = (response) => response.setHeader("Keep-Alive", "timeout=2").end();
    connect({ idleSocketMs: 60_000 });
    await insert();
    const [first] = sockets;
    await sleep(systemClock, 600);
    expect(first!.closed).toBe(false);
    await expect.poll(() => sockets.size, { timeout: 900 }).toBe(0);
    await insert();
    expect(requests).toHaveLength(2);
  });

  test("are let go after idleSocketMs where the server says nothing, or more", async () => {
    answer = (response) => response.setHeader("Keep-Alive", "timeout=30").end();
    connect({ idleSocketMs: 300 });
    await insert();
    expect(sockets.size).toBe(1);
    await expect.poll(() => sockets.size, { timeout: 2_000 }).toBe(0);
  });
});

test("a user and a password go as basic authorisation", async () => {
  let authorization: string | undefined;
  answer = (response, request) => {
    authorization = request.headers.authorization;
    response.end();
  };
  connect({ username: "adtally", password: "s3cret" });
  await insert();
  expect(authorization).toBe(`Basic ${Buffer.from("adtally:s3cret").toString("base64")}`);
});
