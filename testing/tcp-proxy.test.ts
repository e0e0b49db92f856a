import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

describe("the proxy that fails on demand", () => {
  let heard: string;
  let proxy: TcpProxy;
  let closeServer: () => Promise<unknown>;

  beforeEach(async () => {
    heard = "";
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => {
        heard += chunk.toString();
        socket.write(chunk.toString().toUpperCase());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const targetPort = typeof address === "object" && address !== null ? address.port : 0;
    proxy = await startTcpProxy({ targetPort });
    closeServer = () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    };
  });
  afterEach(async () => {
    await proxy.close();
    await closeServer();
  });

  async function open() {
    const client = { said: "", isOpen: true, socket: connect(proxy.port, "127.0.0.1") };
    client.socket.on("data", (chunk) => (client.said += chunk.toString()));
    client.socket.on("error", () => undefined).on("close", () => (client.isOpen = false));
    await new Promise((resolve) => client.socket.once("connect", resolve));
    return client;
  }

  it("passes everything on, both ways", async () => {
    const client = await open();
    client.socket.write("abc");
    await expect.poll(() => client.said).toBe("ABC");
    client.socket.destroy();
    await expect.poll(() => proxy.connections).toBe(0);
  });

  it.each([
    ["to-server", "", ""],
    ["to-client", "abc", ""],
    ["both", "", ""],
  ] as const)("holds %s until it is healed, and loses nothing", async (direction, heardThen, saidThen) => {
    const client = await open();
    proxy.hold(direction);
    client.socket.write("abc");
    await sleep(100);
    expect([heard, client.said]).toEqual([heardThen, saidThen]);
    proxy.heal();
    await expect.poll(() => client.said).toBe("ABC");
  });

  it("loses the answer to one request that is meant, and breaks its connection", async () => {
    const client = await open();
    proxy.loseAnswer((chunk) => chunk.toString() === "this");
    client.socket.write("that");
    await expect.poll(() => client.said).toBe("THAT");
    client.socket.write("this");
    await expect.poll(() => client.isOpen).toBe(false);
    expect([heard, client.said, proxy.lostAnswers]).toEqual(["thatthis", "THAT", 1]);
    const next = await open();
    next.socket.write("this");
    await expect.poll(() => next.said).toBe("THIS");
  });

  it("forgets connections without a word, and makes new ones", async () => {
    const client = await open();
    client.socket.write("a");
    await expect.poll(() => client.said).toBe("A");
    proxy.forget();
    client.socket.write("b");
    await sleep(100);
    expect([client.said, client.isOpen, heard]).toEqual(["A", true, "a"]);
    const next = await open();
    next.socket.write("c");
    await expect.poll(() => next.said).toBe("C");
  });

  it("refuses until it is healed", async () => {
    const client = await open();
    proxy.refuse();
    await expect.poll(() => client.isOpen).toBe(false);
    const refused = await open();
    await expect.poll(() => refused.isOpen).toBe(false);
    proxy.heal();
    const next = await open();
    next.socket.write("a");
    await expect.poll(() => next.said).toBe("A");
  });
});
